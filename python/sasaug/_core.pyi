from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .noise import Kind

STREAM_VERSION: int
SAMPLE: np.dtype[Any]
NOISES: tuple[Kind, ...]
MAX_LABELS: int
MAX_CHANNELS: int

def philox4x32(counter: ArrayLike, key: ArrayLike) -> NDArray[np.uint32]: ...
def largest_sides(windows: NDArray[np.int32], canvas: tuple[int, int]) -> NDArray[np.int32]: ...
def draw_plan(drawing: tuple[Any, ...], num_threads: int, /) -> None: ...
def apply(
    drawing: tuple[Any, ...] | None,
    sources: list[tuple[int, tuple[int, int, int], int, tuple[int, int], tuple[int, int]]],
    steps: tuple[int, int] | None,
    image_type: int,
    out_type: int,
    mask_bytes: int,
    canvas: tuple[int, int, int],
    images: tuple[int, tuple[int, int, int, int]],
    masks: tuple[int, tuple[int, ...]] | None,
    plan: NDArray[Any],
    seed: int,
    antialias: bool,
    per_channel: bool,
    salt_vs_pepper: float,
    labels: list[int],
    num_threads: int,
    /,
) -> None: ...
def instruction_sets() -> list[str]: ...
def instruction_set() -> str: ...
def use_instruction_set(name: str) -> None: ...
