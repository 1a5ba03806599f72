"""One job: move label planes of any type, as a plan moves masks.

Arrays are numpy's or torch's. A mask comes as planes [k h w]: a label map has one, one-hot masks
and instances have more. The mask of a clip has planes for each frame, [t k h w]. Planes may be of
any type, floats included: pixels are copied as bits.
"""

from __future__ import annotations

import math
import sys
from functools import cache
from typing import Any

import numpy as np

from ..calls import apply
from ..plan import Plan


def refuse_background(planes: Any) -> None:
    """Raise if planes [... k h w] are one-hot with a channel for the background."""
    channels = planes.shape[-3]
    if partition(planes):
        raise ValueError(
            "masks must not hold the background as a channel, which would make the whole image "
            f"the ROI; got {channels} channels, one of them set at every pixel. Say one_hot=True "
            "if channel 0 is the background, one_hot=False if none is; or give the label map"
        )


def partition(planes: Any) -> bool:
    """Return whether every pixel has exactly one of two or more planes set."""
    if planes.shape[-3] < 2 or 0 in planes.shape:
        return False
    return bool(((planes != 0).sum(-3) == 1).all())


def follow(plan: Plan, planes: Any, one_hot: bool = False) -> Any:
    """Move planes [... k h w] of any type by the plan of one or n samples, the first axis then.

    ``one_hot``: plane 0 is the background, and is set around the thumbnail.
    """
    *rest, height, width = planes.shape
    if 0 in rest:
        return zeros(planes, (*rest, *plan.canvas), planes.dtype)
    quiet = plan[np.repeat(np.arange(len(plan)), math.prod(rest) // len(plan))]
    quiet.samples["noise"], quiet.value_range, quiet.frames = -1, None, False
    bits, one = as_bits(planes), None
    if one_hot and planes.shape[-3] > 1 and 0 not in planes.shape:
        one = bits.max()
        background = bits[..., :1, :, :] ^ one
        bits = _stacked(background, bits[..., 1:, :, :])
    bits = bits.reshape(-1, height, width)
    black = zeros(bits, bits.shape, "uint8")
    moved = apply(quiet, black, bits)[1].reshape(*rest, *plan.canvas)
    if one is not None:
        moved[..., 0, :, :] ^= one  # so that padding, which is 0, becomes background
    return as_type(moved, planes.dtype)


def is_floating(array: Any) -> bool:
    return _is_floating(array.dtype)


@cache  # the name of a type takes microseconds to make
def _is_floating(dtype: Any) -> bool:
    return "float" in str(dtype)


def as_bits(array: Any) -> Any:
    """Return floats as integers of their size, and anything else as it is."""
    return array.view(_dtype(array, f"int{8 * array.itemsize}")) if is_floating(array) else array


def _stacked(first: Any, rest: Any) -> Any:
    if isinstance(first, np.ndarray):
        return np.concatenate([first, rest], -3)
    return sys.modules["torch"].cat([first, rest], -3)


def as_type(bits: Any, dtype: Any) -> Any:
    return bits if bits.dtype == dtype else bits.view(dtype)


def zeros(like: Any, shape: Any, dtype: Any) -> Any:
    dtype = _dtype(like, dtype) if isinstance(dtype, str) else dtype
    if isinstance(like, np.ndarray):
        return np.zeros(shape, dtype)
    return like.new_zeros(tuple(shape), dtype=dtype)


def _dtype(array: Any, name: str) -> Any:
    return np.dtype(name) if isinstance(array, np.ndarray) else getattr(sys.modules["torch"], name)
