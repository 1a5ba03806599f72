"""One job: the way from checked arguments to the kernels: allocate, fill in the records, run."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _core
from ._arrays import (
    IMAGE_TYPES,
    MASK_TYPES,
    ArrayBatch,
    allocate,
    check_pair,
    copy_if_overlapping,
    image_batch,
    is_single_image,
    mask_batch,
    overlap,
)
from ._checks import checked_image_type, label_bits, value_ranges
from ._records import Batch, Inputs, Source
from ._values import check_conversion, refusal, unfit
from .plan import SAMPLE, DeviceSamples, Plan


@dataclass(slots=True)
class PlanInputs:
    """The values a plan is drawn from, each None, a numpy array [n] or an address on the GPU."""

    settings: bytes  # an Inputs record with nothing but the settings
    ids: NDArray[np.uint64] | int | None
    windows: NDArray[np.int32] | int | None
    sides: NDArray[np.int32] | int | None  # the thumbnails' longer sides; None: drawn
    strengths: NDArray[np.float32] | int | None  # of the noise; None: drawn

    def record(self) -> Any:
        """What the kernels read: the settings alone where nothing else is given."""
        record = self.settings
        for name in ("ids", "windows", "sides", "strengths"):
            values = getattr(self, name)
            if values is not None:
                if record is self.settings:
                    record = Inputs.from_buffer_copy(record)
                on_device = isinstance(values, int)
                setattr(record, name, (values if on_device else _core.address(values), on_device))
        return record


@lru_cache(maxsize=1024)  # the batches of a training loop differ in addresses and seeds alone
def _layout(
    n: int,
    canvas: tuple[int, int],
    antialias: bool,
    per_channel: bool,
    salt_vs_pepper: float,
    labels: tuple[int, ...] | None,
    value_range: tuple[float, float] | None,
    mask_type: str,
    mask_step: int,
    images: tuple[str, int, int] | None,
    x: tuple[str, int, tuple[int, int, int]] | None,
    y: tuple[int, tuple[int, int, int]] | None,
    source: tuple[Any, ...] | None,
    clips: tuple[int, int, int] | None,
) -> tuple[bytes, bytes]:
    """The records of a batch and of its source, if it has one, without addresses and seed.

    ``clips``: how many frames there are, and the outputs' strides along them.
    """
    bits = label_bits(labels, mask_type)
    batch = Batch(
        n=n,
        h=canvas[0],
        w=canvas[1],
        c=1,
        frames=1,
        mask_bytes=MASK_TYPES[mask_type],
        stacked=source is not None,
        source_mask_n=mask_step,
        antialias=antialias,
        per_channel=per_channel,
        salt_vs_pepper=salt_vs_pepper,
        label_count=len(bits),
    )
    for place, label in enumerate(bits):
        batch.labels[place] = label
    if images is not None and x is not None:
        image_type, batch.c, batch.source_image_n = images
        out_type, batch.image_n, (batch.image_y, batch.image_x, batch.image_c) = x
        batch.in_type, batch.out_type = IMAGE_TYPES[image_type], IMAGE_TYPES[out_type]
        batch.in_range, batch.out_range = value_ranges(value_range, image_type, out_type)
    if y is not None:
        batch.mask_n, (batch.mask_y, batch.mask_x, _) = y
    if clips is not None:
        batch.frames, batch.image_t, batch.mask_t = clips
    return bytes(batch), b"" if source is None else bytes(_source(*source))


def _source(
    size: tuple[int, int],
    mask: tuple[int, int, int],
    image: tuple[int, int, int] | None,
    frames: int = 1,
    mask_t: int = 0,
    image_t: int = 0,
) -> Any:
    """The source's record without addresses, from the strides of mask and image."""
    record = Source(
        h=size[0], w=size[1], frames=frames, mask_t=mask_t, mask_y=mask[0], mask_x=mask[1],
        image_t=image_t,
    )  # fmt: skip
    if image is not None:
        record.image_y, record.image_x, record.image_c = image
    return record


def batch_pair(
    images: Any,
    masks: Any,
    channels: str | None,
    out: tuple[Any, Any] | None = None,
    clips: bool = False,
) -> tuple[ArrayBatch, ArrayBatch]:
    """The checked images and masks; copies of those that writing ``out`` would change."""
    if out is not None:
        outputs = out_pair(out)
        images = copy_if_overlapping(images, "images", outputs)
        masks = copy_if_overlapping(masks, "masks", outputs)
    one = is_single_image(images, masks, channels, clips)
    pair = image_batch(images, channels, one, clips), mask_batch(masks, channels, one, clips)
    check_pair(*pair)
    return pair


def out_pair(out: Any) -> tuple[Any, Any]:
    if out is None:
        return None, None
    if not isinstance(out, (tuple, list)) or len(out) != 2:
        raise TypeError(f"out must be a pair of arrays (images, masks), got {type(out).__name__}")
    return out[0], out[1]


def run(
    plan: Plan,
    images: ArrayBatch,
    masks: ArrayBatch,
    out: tuple[Any, Any],
    dtype: Any,
    channels: str | None,
    threads: int,
    inputs: PlanInputs | None = None,
    write_masks: bool = True,
    check_values: bool | None = False,
    place: int = 0,
) -> tuple[Any, Any]:
    """Allocate the outputs and fill them by a checked plan, or by the one drawn from ``inputs``.

    ``check_values`` as in :class:`sasaug.SAS`, and raises what it says there. ``place``: the first
    sample's in the plan. Clips of different lengths give lists.
    """
    if images.clips and len(set(images.frames)) > 1:
        return run_each(
            plan, images, masks, out, dtype, channels, threads, inputs, write_masks, check_values
        )
    out_type = images.dtype if dtype is None else checked_image_type(dtype)
    x_name = "out[0]" if write_masks else "out"
    x = allocate(out[0], x_name, images, plan.canvas, out_type, channels)
    y = (
        allocate(out[1], "out[1]", masks, plan.canvas, masks.dtype, channels)
        if write_masks
        else None
    )
    if y is not None and out[0] is not None and overlap(x.frontend, x.arrays[0], y.arrays[0]):
        raise ValueError("out must be two arrays that share no memory, got overlapping ones")
    on_gpu = images.device is not None
    check = not on_gpu if check_values is None else check_values
    if check and "float" in images.dtype:
        if "float" not in out_type:
            check_conversion(plan, images)
        if on_gpu:
            if inputs is not None:
                launch(plan, None, masks, None, None, inputs, threads)
                inputs = None
            kinds = plan.samples["noise"][place : place + images.n]  # waits for the GPU
            noisy = np.flatnonzero(kinds >= 0)
            check_samples(plan, images, masks, channels, noisy.tolist(), threads, place)
    else:
        check = False
    first = launch(plan, images, masks, x, y, inputs, threads, check, out[0] is not None, place)
    if first >= 0:
        check_samples(plan, images, masks, channels, [first], threads, place)
    return x.arrays[0], None if y is None else y.arrays[0]


def run_each(
    plan: Plan,
    images: ArrayBatch,
    masks: ArrayBatch,
    out: tuple[Any, Any],
    dtype: Any,
    channels: str | None,
    threads: int,
    inputs: PlanInputs | None,
    write_masks: bool,
    check_values: bool | None,
) -> tuple[Any, Any]:
    """As :func:`run`, for clips of different lengths: a list of images and one of masks."""
    if out[0] is not None or out[1] is not None:
        raise ValueError(
            f"out must be None for clips of different lengths, which give lists: {images.frames} "
            "frames; call once for each clip to fill arrays of your own"
        )
    if inputs is not None:
        launch(plan, None, masks, None, None, inputs, threads)
    pairs = [
        run(
            plan, image, mask, out, dtype, channels, threads,
            write_masks=write_masks, check_values=check_values, place=s,
        )
        for s, (image, mask) in enumerate(zip(_each(images), _each(masks), strict=True))
    ]  # fmt: skip
    return [x for x, _ in pairs], [y for _, y in pairs] if write_masks else None


def _each(batch: ArrayBatch) -> list[ArrayBatch]:
    """The clips of a list, each as a single one."""
    return [
        replace(
            batch, arrays=[batch.arrays[s]], n=1, sizes=(batch.sizes[s],),
            strides=(batch.strides[s],), frames=(batch.frames[s],),
            frame_steps=(batch.frame_steps[s],), ragged=False, single=True,
        )
        for s in range(batch.n)
    ]  # fmt: skip


def launch(
    plan: Plan,
    images: ArrayBatch | None,
    masks: ArrayBatch,
    x: ArrayBatch | None,
    y: ArrayBatch | None,
    inputs: PlanInputs | None,
    threads: int,
    check: bool = False,
    check_first: bool = False,
    place: int = 0,
) -> int:
    """Run the kernels on the CPU, or on the GPU's current stream. Without ``x``: draw the plan.

    ``place``: where in the plan the batch's samples begin. Returns the first sample whose values
    ``check`` found not to be of the value range's unit, or -1; with ``check_first`` nothing has
    been written then.
    """
    if inputs is None and x is not None and 0 in x.arrays[0].shape:
        return -1  # nothing to do; and torch puts an empty array at address 0
    stored = plan.stored
    batch_record, source_record = _layout(
        masks.n,
        plan.canvas,
        plan.antialias,
        plan.per_channel,
        plan.salt_vs_pepper,
        plan.labels,
        plan.value_range,
        masks.dtype,
        masks.step,
        None if images is None else (images.dtype, images.c, images.step),
        None if x is None else (x.dtype, x.step, x.strides[0]),
        None if y is None else (y.step, y.strides[0]),
        None
        if masks.ragged
        else (
            masks.sizes[0],
            masks.strides[0],
            None if images is None else images.strides[0],
            masks.frames[0],
            masks.frame_steps[0],
            0 if images is None else images.frame_steps[0],
        ),
        None
        if x is None or not x.clips
        else (x.frames[0], x.frame_steps[0], 0 if y is None else y.frame_steps[0]),
    )
    batch = Batch.from_buffer_copy(batch_record)
    if masks.ragged:
        sources = _sources(images, masks)
        batch.sources = _core.address(sources)
    else:
        sources = Source.from_buffer_copy(source_record)
        sources.mask = masks.frontend.address(masks.arrays[0])
        if images is not None:
            sources.image = images.frontend.address(images.arrays[0])
        batch.sources = ctypes.addressof(sources)
    if isinstance(stored, DeviceSamples):
        batch.plan = stored.address()
        batch.plan_on_device = True
    else:
        batch.plan = _core.address(stored)
    if place:
        batch.plan += place * SAMPLE.itemsize
    batch.seed = plan.seed
    if x is not None:
        batch.images = x.frontend.address(x.arrays[0])
        if check:
            batch.check_values = True
            batch.check_first = check_first
    if y is not None:
        batch.masks = y.frontend.address(y.arrays[0])
    record = None if inputs is None else inputs.record()
    device = masks.device
    if device is None:
        first_unfit = _core.run(batch, record, threads)
        del sources  # kept until here
        return first_unfit
    # choosing a device by CUDA itself would leave a context behind on the one chosen before
    with masks.frontend.current(device):
        _core.run_cuda(batch, record, device, masks.frontend.stream(device))
    return -1


def check_samples(
    plan: Plan,
    images: ArrayBatch,
    masks: ArrayBatch,
    channels: str | None,
    samples: Iterable[int],
    threads: int,
    place: int = 0,
) -> None:
    """Raise ValueError for the first of these samples with values of another unit in its ROI."""
    quiet = plan[place : place + images.n]
    quiet.samples["noise"] = -1
    x, y = run(quiet, images, masks, (None, None), None, channels, threads)
    size: tuple[int, ...] = (images.frames[0], *plan.canvas) if images.clips else plan.canvas
    axes = (images.c, *size) if _first(images, channels) else (*size, images.c)
    thumbnails = images.frontend.to_numpy(x).reshape(-1, *axes)
    labels = masks.frontend.to_numpy(y).reshape(-1, *size)
    roi = labels != 0 if plan.labels is None else np.isin(labels, plan.labels)
    low, high, _ = value_ranges(plan.value_range, images.dtype, images.dtype)[0]
    for s in samples:
        inside = (slice(None), roi[s]) if _first(images, channels) else roi[s]
        found = thumbnails[s][inside].astype(np.float32)
        if unfit(found, low, high):
            raise refusal(plan, found, f"the ROI of sample {s + place}")


def _first(batch: ArrayBatch, channels: str | None) -> bool:
    return (channels or batch.frontend.channels) == "first"


def _sources(images: ArrayBatch | None, masks: ArrayBatch) -> NDArray[Any]:
    """The records of a ragged batch's sources."""
    table = np.zeros(masks.n, _core.SOURCE)
    table["h"], table["w"] = np.array(masks.sizes, np.int32).T
    table["mask"] = [masks.frontend.address(mask) for mask in masks.arrays]
    table["mask_y"], table["mask_x"], _ = np.array(masks.strides, np.int64).T
    table["frames"], table["mask_t"] = masks.frames, masks.frame_steps
    if images is not None:
        table["image"] = [images.frontend.address(image) for image in images.arrays]
        steps = np.array(images.strides, np.int64).T
        table["image_y"], table["image_x"], table["image_c"] = steps
        table["image_t"] = images.frame_steps
    return table
