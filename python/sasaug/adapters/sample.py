"""One job: SAS on one sample of another library's pipeline; every adapter is a thin face of it.

Arrays are numpy's or torch's. A mask comes as planes [k h w]: a label map has one, one-hot masks
and instances have more. Masks may be of any type, floats included: pixels are copied as bits.
"""

from __future__ import annotations

import functools
import operator
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from .._checks import is_integer
from ..calls import apply
from ..plan import Plan
from ..settings import SAS

#: Of each step: the settings that are fixed, and the defaults of the others where they differ.
STEPS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "sas": ({"channels": None}, {}),
    "thumbnail": (
        {
            "channels": None, "noise": None, "labels": None, "per_channel": False,
            "salt_vs_pepper": 0.5, "small_fraction": 0.03, "apply_to": "all",
        },
        {"p": 1.0},
    ),
    "noise": (
        {
            "channels": None, "canvas": None, "thumbnail": None, "position": "center",
            "antialias": False, "small_fraction": 0.03, "apply_to": "all",
        },
        {"p": 1.0},
    ),
}  # fmt: skip

#: Of the value range: what interpolation in the pipeline before may have added to it.
OVERSHOOT = 0.25


def step_settings(step: str, given: dict[str, Any]) -> SAS:
    """The settings of whole SAS ("sas") or of one step ("thumbnail", "noise") alone."""
    fixed, defaults = STEPS[step]
    allowed = [field.name for field in fields(SAS) if field.name not in fixed]
    for name in given:
        if name not in allowed:
            raise TypeError(f"settings must be of {allowed}, got {name!r}")
    return SAS(**{**defaults, **given, **fixed})


@dataclass(frozen=True)
class Recipe:
    """What an adapter does to every sample.

    Attributes
    ----------
    settings : sasaug.SAS
        ``labels`` chooses the ROI; the plans are drawn for the ROI itself, a mask of 0 and 1.
    value_range : (float, float) or "sample", optional
        What black and full scale are in float images; "sample": the least and the greatest value
        of each image. Default: (0, 1). Integer images have their type's range.
    sample_seed : int, optional
        With it a sample's picture depends on this seed and the sample's id, on nothing else.
        Without, seeds come from the host.
    """

    settings: SAS
    value_range: tuple[float, float] | str | None = None
    sample_seed: int | None = None

    def __post_init__(self) -> None:
        if self.sample_seed is not None:
            if not is_integer(self.sample_seed):
                raise TypeError(f"sample_seed must be an integer or None, got {self.sample_seed!r}")
            if not 0 <= self.sample_seed < 2**64:
                raise ValueError(f"sample_seed must be in [0, 2^64), got {self.sample_seed}")
        if self.value_range is not None and self.value_range != "sample":
            try:
                low, high = (float(limit) for limit in self.value_range)
            except (TypeError, ValueError):
                low, high = 0.0, 0.0
            if not low < high:
                raise ValueError(
                    'value_range must be (low, high) with low < high, "sample" or None, '
                    f"got {self.value_range!r}"
                )

    def roi(self, planes: Any) -> Any:
        """Where any plane [k h w] holds one of the labels: bool [h w]."""
        labels = self.settings.labels
        if labels is None:
            return (planes != 0).any(0)
        return functools.reduce(operator.or_, (planes == label for label in labels)).any(0)

    def plan(self, roi: Any, seed: Callable[[], Any], sample_id: Any) -> Plan:
        """Draw what will be done to the sample with this ROI [h w].

        ``seed`` gives the host's seed or generator; it is not called where ids name the samples.
        """
        settings = replace(self.settings, labels=None)
        if self.sample_seed is None:
            return settings.plan(roi, seed=seed())
        if sample_id is None:
            raise ValueError(
                "sample_id must be given where sample_seed is: one integer of [0, 2^64) per "
                "augmentation of an image, such as epoch * len(dataset) + index; got None"
            )
        return settings.plan(roi, seed=self.sample_seed, ids=[int(sample_id)])

    def image(self, plan: Plan, image: Any, roi: Any) -> Any:
        """The image as the plan says: [c h w] of torch, [h w] or [h w c] of numpy.

        Or a batch, with a ROI [n h w] and one value range.
        """
        low, high = self._range(image)
        ready = image if (low, high) == (0, 1) else (image - low) / (high - low)
        if image.ndim == 2 or roi.ndim == 3:
            x = apply(plan, ready, roi)[0]
        else:
            x = apply(plan, ready[None], roi[None])[0][0]
        return x if (low, high) == (0, 1) else x * (high - low) + low

    def _range(self, image: Any) -> tuple[float, float]:
        """What is black and full scale in the image, if it is one of floats."""
        if "float" not in str(image.dtype) or 0 in image.shape:
            return 0, 1
        least, greatest = float(image.min()), float(image.max())
        if self.value_range == "sample":
            return least, greatest if greatest > least else least + 1
        assert not isinstance(self.value_range, str)
        low, high = self.value_range or (0.0, 1.0)
        room = OVERSHOOT * (high - low)
        if least < low - room or greatest > high + room:
            raise ValueError(
                f"image must have values in [{low:g}, {high:g}], or value_range must tell what is "
                f"black and full scale; got {least:g} to {greatest:g}"
            )
        return low, high


def follow(plan: Plan, planes: Any, samples: Sequence[int] | None = None) -> Any:
    """Label planes [k h w] of any type, moved as the plan moves the masks of ``samples``.

    By default all of them belong to the first.
    """
    quiet = plan[[0] * len(planes) if samples is None else samples]
    quiet.samples["noise"] = -1
    bits = planes
    if "float" in str(planes.dtype):
        bits = planes.view(_dtype(planes, f"int{8 * planes.itemsize}"))
    if isinstance(bits, np.ndarray):
        black = np.zeros(bits.shape, np.uint8)
    else:
        black = bits.new_zeros(bits.shape, dtype=_dtype(bits, "uint8"))
    return apply(quiet, black, bits)[1].view(planes.dtype)


def geometry(plan: Plan, sample: int = 0) -> tuple[float, float, float, float]:
    """(sx, sy, dx, dy): where x and y of a sample go, ``sx * x + dx`` and ``sy * y + dy``.

    In coordinates whose 0 is the image's edge; a pixel's centre is at a half.
    """
    x, y, width, height = (int(v) for v in plan.samples[sample]["window"])
    to_x, to_y, to_width, to_height = (int(v) for v in plan.samples[sample]["thumbnail"])
    sx, sy = to_width / max(width, 1), to_height / max(height, 1)
    return sx, sy, to_x - sx * x, to_y - sy * y


def undone(plan: Plan, size: tuple[int, int]) -> Plan:
    """The plan that takes its thumbnails back to where they came from, images of ``size`` (h, w).

    Geometry alone: noise stays.
    """
    samples = plan.samples.copy()
    samples["window"], samples["thumbnail"] = plan.samples["thumbnail"], plan.samples["window"]
    samples["noise"] = -1
    return replace(plan, samples=samples, canvas=size)


def changed(settings: SAS) -> str:
    """The settings that are not the defaults, as they were written."""
    default = SAS()
    names = [field.name for field in fields(SAS)]
    return ", ".join(
        f"{name}={getattr(settings, name)!r}"
        for name in names
        if getattr(settings, name) != getattr(default, name)
    )


def _dtype(array: Any, name: str) -> Any:
    return np.dtype(name) if isinstance(array, np.ndarray) else getattr(sys.modules["torch"], name)
