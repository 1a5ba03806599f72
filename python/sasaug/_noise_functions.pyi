from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import ArrayLike

from ._types import Images

__all__ = ["gaussian", "poisson", "salt_pepper", "speckle"]

def noise_function(name: str) -> Callable[..., Any]: ...
def gaussian(
    images: Images | Sequence[Images],
    masks: Any,
    std: ArrayLike,
    *,
    seed: Any = ...,
    ids: ArrayLike | None = ...,
    labels: Sequence[int] | None = ...,
    per_channel: bool = ...,
    salt_vs_pepper: float = ...,
    value_range: tuple[float, float] | None = ...,
    check_values: bool | None = ...,
    out: Images | None = ...,
    dtype: Any = ...,
    channels: str | None = ...,
    frames: bool = ...,
    num_threads: int | None = ...,
) -> Images: ...
def speckle(
    images: Images | Sequence[Images],
    masks: Any,
    std: ArrayLike,
    *,
    seed: Any = ...,
    ids: ArrayLike | None = ...,
    labels: Sequence[int] | None = ...,
    per_channel: bool = ...,
    salt_vs_pepper: float = ...,
    value_range: tuple[float, float] | None = ...,
    check_values: bool | None = ...,
    out: Images | None = ...,
    dtype: Any = ...,
    channels: str | None = ...,
    frames: bool = ...,
    num_threads: int | None = ...,
) -> Images: ...
def salt_pepper(
    images: Images | Sequence[Images],
    masks: Any,
    amount: ArrayLike,
    *,
    seed: Any = ...,
    ids: ArrayLike | None = ...,
    labels: Sequence[int] | None = ...,
    per_channel: bool = ...,
    salt_vs_pepper: float = ...,
    value_range: tuple[float, float] | None = ...,
    check_values: bool | None = ...,
    out: Images | None = ...,
    dtype: Any = ...,
    channels: str | None = ...,
    frames: bool = ...,
    num_threads: int | None = ...,
) -> Images: ...
def poisson(
    images: Images | Sequence[Images],
    masks: Any,
    peak: ArrayLike,
    *,
    seed: Any = ...,
    ids: ArrayLike | None = ...,
    labels: Sequence[int] | None = ...,
    per_channel: bool = ...,
    salt_vs_pepper: float = ...,
    value_range: tuple[float, float] | None = ...,
    check_values: bool | None = ...,
    out: Images | None = ...,
    dtype: Any = ...,
    channels: str | None = ...,
    frames: bool = ...,
    num_threads: int | None = ...,
) -> Images: ...
