"""One job: data loaders that augment, each as its library's users would write it.

The data set holds uint8 frames in memory: nothing is read or decoded. A sample goes through the
loader as image [1 h w] float32 in [0, 1] or uint8, and mask; batches are of 32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from inputs import SIZE, ellipses, frames
from peers import load
from peers.peer import Job, job
from torch.utils.data import DataLoader, Dataset, default_collate

import sasaug

BATCH = 32
SEED = 1
AUGMENT = sasaug.SAS(p=1.0, apply_to="all", channels="first")


class Frames(Dataset[Any]):
    """`length` samples out of 64 frames; `augment(image, mask, index)` per sample, if any."""

    def __init__(self, length: int, augment: Callable[[Any, Any, int], Any] | None) -> None:
        self.images, self.masks = frames(64), ellipses(64)
        self.length, self.augment = length, augment

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        image, mask = self.read(index % 64)
        if self.augment is not None:
            image, mask = self.augment(image, mask, index)
        return torch.as_tensor(image).reshape(1, SIZE, SIZE), torch.as_tensor(mask), index

    def read(self, place: int) -> tuple[Any, Any]:
        return self.images[place], self.masks[place]


@dataclass(frozen=True)
class Loading:
    """Where a library augments: each sample, in the collate function, or after the loader."""

    note: str
    sample: Callable[[Any, Any, int], Any] | None = None
    collate: Callable[[Any], Any] = default_collate
    after: Callable[[Any, Any], Any] | None = None


def batches(loading: Loading, length: int, workers: int) -> Any:
    """A loader whose workers live on from epoch to epoch."""
    return DataLoader(
        Frames(length, loading.sample), BATCH, num_workers=workers, collate_fn=loading.collate,
        persistent_workers=workers > 0, worker_init_fn=one_thread,
    )  # fmt: skip


def epoch(loader: Any, loading: Loading) -> Iterator[tuple[Any, Any]]:
    for images, masks, *_ in loader:
        yield loading.after(images, masks) if loading.after else (images, masks)


def one_thread(worker: int) -> None:
    torch.set_num_threads(1)


# ---- the contenders -------------------------------------------------------------------------


def ours_in_collate(samples: Any) -> Any:
    images, masks, ids = default_collate(samples)
    return AUGMENT(images, masks, seed=SEED, ids=ids, num_threads=1)


def ours_per_sample(image: Any, mask: Any, index: int) -> Any:
    return sasaug.sas(
        image, mask, seed=SEED, ids=index, p=1.0, apply_to="all", num_threads=1
    )  # fmt: skip


class PerSample:
    """A peer's `run` on a batch of one, with the plan drawn beforehand."""

    def __init__(self, name: str) -> None:
        self.run = load(name).run
        self.whole = job(frames(64), ellipses(64), "grey")

    def __call__(self, image: Any, mask: Any, index: int) -> Any:
        place = index % 64
        x, y = self.run(
            Job(image[None], mask[None], "grey", AUGMENT, self.whole.plan[place : place + 1])
        )
        return x[0], y[0]


class AfterCollate:
    """A peer's `run` on the collated batch, in the main process."""

    def __init__(self, name: str) -> None:
        self.run = load(name).run
        self.whole = job(frames(64), ellipses(64), "grey")

    def __call__(self, images: Any, masks: Any) -> Any:
        plan = self.whole.plan[: len(images)]
        return self.run(Job(np.asarray(images), np.asarray(masks), "first", AUGMENT, plan))


def loading(name: str) -> Loading:
    """By the name in the tables; skips where the library is not installed."""
    if name == "copy":
        return Loading("no augmentation: the loader, whose own collating is the copy")
    if name == "sasaug":
        return Loading("in the collate function, one call per batch", collate=ours_in_collate)
    if name == "sasaug, per sample":
        return Loading("in `__getitem__`, one call per sample", sample=ours_per_sample)
    if name == "kornia":
        return Loading("after the loader, in the main process", after=AfterCollate(name))
    return Loading("in `__getitem__`", sample=PerSample(name))


NAMES = (
    "copy", "sasaug", "sasaug, per sample", "OpenCV, noise in the mask's box", "albumentations",
    "MONAI", "kornia",
)  # fmt: skip
