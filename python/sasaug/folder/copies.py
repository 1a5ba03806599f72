"""One job: make the augmented copies of one case, in memory.

Every copy follows from its own image, masks, settings, seed and copy index: not from other files,
from the process that makes it, or from how many are made at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .. import apply
from .cases import Case, Loaded
from .job import Job, Row, Unusable, sample_id
from .rows import as_text

__all__ = ["Copy", "copies"]

BATCH_BYTES = 64 << 20  # of outputs held in memory at once, per thread
PLANNED = ("id", "transformed", "window", "thumbnail", "noise", "strength")  # of Plan.rows()
INDEX_DIGITS = 3  # of a copy's index in file names; more where there are more copies


@dataclass(frozen=True)
class Copy:
    """One output: its row of the manifest, and the bytes of two PNG files, or TIFF of a clip."""

    row: Row
    image: bytes
    mask: bytes


def copies(job: Job, case: Case, loaded: Loaded, source_hash: str) -> Iterator[Copy]:
    """Yield the copies of a case, in order.

    Raises
    ------
    Unusable
        The settings do not fit the image's size or the mask's type.
    """
    for some in _batches(job, loaded):
        yield from _batch(job, case, loaded, some, source_hash)


def _batches(job: Job, loaded: Loaded) -> Iterator[range]:
    """Yield ranges of copies small enough to be held in memory."""
    height, width = loaded.mask.shape[-2:]
    canvas = job.augment.canvas
    if canvas is not None:
        height, width = (canvas, canvas) if isinstance(canvas, int) else canvas
    channels = loaded.image.size // loaded.mask.size
    pixel = channels * loaded.image.itemsize + loaded.mask.itemsize
    each = _frames(loaded) * height * width * pixel
    step = max(1, BATCH_BYTES // each)
    for start in range(0, job.copies, step):
        yield range(start, min(start + step, job.copies))


def _batch(job: Job, case: Case, loaded: Loaded, some: range, source_hash: str) -> Iterator[Copy]:
    """Yield some copies, which are made together."""
    n = len(some)
    images = np.broadcast_to(loaded.image, (n, *loaded.image.shape))  # [n (t) h w] or [.. c]
    masks = np.broadcast_to(loaded.mask, (n, *loaded.mask.shape))  # [n (t) h w]
    ids = np.array([sample_id(case.key, copy) for copy in some], np.uint64)
    try:
        plan = job.augment.plan(masks, seed=job.seed, ids=ids, num_threads=1)
        x, y = apply(plan, images, masks, num_threads=1)
    except ValueError as error:
        raise Unusable(f"{case.image}: {error}") from error
    except MemoryError as error:
        raise Unusable(f"{case.image}: not enough memory ({error})") from error
    source_roi = _roi(job, loaded.mask)
    ending = suffix_of(job)
    for copy, planned, image, mask in zip(some, plan.rows(), x, y, strict=True):
        suffix = f"_{str(copy).zfill(max(INDEX_DIGITS, len(str(job.copies - 1))))}{ending}"
        row = as_text(
            {
                "image": f"images/{case.name}{suffix}",
                "mask": f"masks/{case.name}{suffix}",
                "source_image": case.image,
                "source_masks": case.joined_masks,
                "source_hash": source_hash,
                "source_orientations": loaded.orientations,
                "frames": _frames(loaded),
                "source_roi": source_roi,
                "copy": copy,
                "seed": job.seed,
                **{name: planned[name] for name in PLANNED},
                "canvas": plan.canvas,
                "roi": _roi(job, mask),
            }
        )
        yield Copy(row, _encode(image, job), _encode(mask, job))


def suffix_of(job: Job) -> str:
    """Return the suffix of the outputs."""
    return ".tif" if job.augment.frames else ".png"


def _frames(loaded: Loaded) -> int:
    """Return the number of frames; an image has one."""
    return len(loaded.mask) if loaded.mask.ndim == 3 else 1


def _roi(job: Job, mask: NDArray[Any]) -> int:
    """Count the pixels of the ROI."""
    labels = job.augment.labels
    return int(np.count_nonzero(mask if labels is None else np.isin(mask, labels)))


def _encode(image: NDArray[Any], job: Job) -> bytes:
    """Return an array [(t) h w] or [(t) h w 3] in RGB order as the bytes of a file."""
    frames = job.augment.frames
    if image.ndim == 3 + frames:
        image = np.ascontiguousarray(image[..., ::-1])
    if frames:
        return bytes(cv2.imencodemulti(".tif", list(image))[1])
    return bytes(cv2.imencode(".png", image)[1])
