"""One job: find float images that are not in the unit that the value range says."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._arrays import ArrayBatch
from ._checks import value_ranges
from .plan import Plan

TOLERATED = 0.25  # of the range, beyond either end: as csrc/method/value.h has it


def unfit(x: Any, low: float, high: float) -> bool:
    """Whether any value is farther from the range than interpolation before could explain."""
    room = TOLERATED * (high - low)
    return bool((x < low - room).any() or (x > high + room).any())


def check_conversion(plan: Plan, images: ArrayBatch) -> None:
    """Raise ValueError if turning these floats into integers would clip them to black or white."""
    low, high, _ = value_ranges(plan.value_range, images.dtype, images.dtype)[0]
    for s, array in enumerate(images.arrays):
        x = images.frontend.to_numpy(array).astype(np.float32)
        if unfit(x, low, high):
            where = f"images[{s}]" if images.ragged else "images"
            raise refusal(plan, x, where)


def refusal(plan: Plan, x: Any, where: str) -> ValueError:
    low, high = plan.value_range or (0.0, 1.0)
    found = x[~np.isnan(x)]
    return ValueError(
        f"value_range must hold the values of float images: it is ({low:g}, {high:g}), got "
        f"{found.min():g} to {found.max():g} in {where}; pass value_range=(black, full scale) in "
        f"the images' own unit, such as {_likely(found)}, or check_values=False"
    )


def _likely(x: Any) -> str:
    if x.min() < 0:  # z-scores, Hounsfield units
        return f"({np.floor(x.min()):g}, {max(np.ceil(x.max()), 1):g})"
    for full in (255, 4095, 65535):
        if x.max() <= full:
            return f"(0, {full})"
    return f"(0, {np.ceil(x.max()):g})"
