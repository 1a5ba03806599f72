from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

STREAM_VERSION: int
SAMPLE: np.dtype[Any]
NOISES: tuple[Any, ...]  # dictionaries, which noise.Kind types: to stubtest a TypedDict is none
MAX_LABELS: int
MAX_CHANNELS: int

def philox4x32(counter: ArrayLike, key: ArrayLike) -> NDArray[np.uint32]: ...
def address(array: NDArray[Any], /) -> int: ...
def largest_sides(windows: NDArray[np.int32], canvas: tuple[int, int]) -> NDArray[np.int32]: ...
def run(
    n: int,
    canvas: tuple[int, int, int],
    types: tuple[int, int, int],
    sources: list[tuple[int, tuple[int, int, int], int, tuple[int, int], tuple[int, int]]],
    steps: tuple[int, int] | None,
    images: tuple[int, tuple[int, int, int, int]] | None,
    masks: tuple[int, tuple[int, ...]] | None,
    plan: NDArray[Any] | int,
    seed: int,
    options: tuple[bool, bool, float],
    labels: tuple[int, ...],
    drawing: tuple[Any, ...] | None,
    where: int | tuple[int, int],
    /,
) -> None: ...
def cuda_available() -> bool: ...
def instruction_sets() -> list[str]: ...
def instruction_set() -> str: ...
def use_instruction_set(name: str) -> None: ...
