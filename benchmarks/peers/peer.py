"""One job: what is asked of a peer: whole SAS as a given plan says, only the numbers its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

import sasaug

KINDS = frozenset(sasaug.NOISES)
SEED = 1


@dataclass(frozen=True)
class Job:
    """A batch, and what to do to each of its samples."""

    images: Any  # uint8 or float32 [n h w], [n h w c] ("last") or [n c h w] ("first")
    masks: Any  # uint8 [n h w]
    layout: str
    settings: sasaug.SAS
    plan: sasaug.Plan

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        return self.plan.rows()

    @property
    def full(self) -> float:
        return 255.0 if self.images.dtype == np.uint8 else 1.0

    @property
    def bytes(self) -> int:
        return int(self.images.nbytes + self.masks.nbytes)


@dataclass(frozen=True)
class Peer:
    """`run(job)` gives new images and masks, in the job's layout and type."""

    run: Callable[[Job], tuple[Any, Any]]
    note: str
    kinds: frozenset[str] = KINDS  # those it has, with our formula; for others it does the nearest


def job(images: Any, masks: Any, layout: str, **settings: Any) -> Job:
    """All samples transformed; sides are even, so that every library means one centre."""
    channels = None if layout == "grey" else layout
    how = sasaug.SAS(p=1.0, apply_to="all", channels=channels, **settings)
    plan = how.plan(masks, seed=SEED)
    height, width = plan.canvas
    sizes = plan.samples["thumbnail"][:, 2:] // 2 * 2
    plan.samples["thumbnail"][:, 2:] = sizes
    plan.samples["thumbnail"][:, :2] = (np.array([width, height]) - sizes) // 2
    return Job(images, masks, layout, how, plan)


def sample_by_sample(
    job: Job,
    thumbnail: Callable[[dict[str, Any], Any, Any], tuple[Any, Any]],
    noise: Callable[[dict[str, Any], Any, Any], Any],
) -> tuple[Any, Any]:
    """A loop over samples of numpy arrays: `noise(row, canvas, label)` follows the thumbnail."""
    images, masks = np.empty_like(job.images), np.empty_like(job.masks)
    for s, row in enumerate(job.rows):
        canvas, masks[s] = thumbnail(row, job.images[s], job.masks[s])
        images[s] = canvas if row["noise"] is None else noise(row, canvas, masks[s])
    return images, masks
