"""What the adapters' tests share: a sample, what is expected of it, and a loader of samples."""

from __future__ import annotations

import contextlib
import importlib.util
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sasaug

#: Settings under which every sample is transformed, and visibly.
SETTINGS: dict[str, Any] = {"canvas": (48, 40), "thumbnail": (0.4, 0.9), "p": 1.0}
SIZE = 6  # of the data set


def picture(number: int = 0, channels: int = 1) -> tuple[Any, Any]:
    """An image [c h w] of uint8, and its mask [h w] of uint8 with labels 0, 1, 2."""
    rng = np.random.default_rng(number)
    h, w = int(rng.integers(50, 70)), int(rng.integers(50, 70))
    mask = np.zeros((h, w), np.uint8)
    mask[h // 4 : -h // 5, w // 3 : -w // 6] = 1
    mask[h // 3 : h // 2, w // 2 : -w // 5] = 2
    return rng.integers(0, 256, (channels, h, w), np.uint8), mask


def clip(number: int = 0, channels: int = 1, frames: int = 5) -> tuple[Any, Any]:
    """A clip [c t h w] of uint8, and its mask [t h w] with labels 0, 1, 2, which moves."""
    _, mask = picture(number)
    rng = np.random.default_rng(number)
    masks = np.stack([np.roll(mask, 2 * frame, 1) for frame in range(frames)])
    return rng.integers(0, 256, (channels, frames, *mask.shape), np.uint8), masks


class BrightClips:
    """Clips [t h w] of one size, with masks and ids, indexed by ids, epoch * SIZE + index.

    The objects are brighter than all around them, so that a frame shows where its mask must be. It
    is here, in a module without hosts, so that spawned workers import none.
    """

    def __len__(self) -> int:
        return SIZE

    def __getitem__(self, id: int) -> tuple[Any, Any, int]:
        _, masks = clip()
        noise = np.random.default_rng(id % SIZE).integers(40, 60, masks.shape, np.uint8)
        return noise + np.uint8(150) * (masks > 0), masks, id


def expected(image: Any, mask: Any, seed: int, id: int = 0, **settings: Any) -> tuple[Any, Any]:
    """What sasaug makes of an image [c h w] and its mask [h w], both of numpy.

    With ``frames=True`` of a clip [c t h w] and its mask [t h w].
    """
    how = sasaug.SAS(channels="first", **settings)
    x, y = how(image[None], mask[None], seed=seed, ids=[id])
    return x[0], y[0]


def plan(mask: Any, seed: int, id: int = 0, **settings: Any) -> sasaug.Plan:
    return sasaug.SAS(channels="first", **settings).plan(mask[None], seed=seed, ids=[id])


def loaded(dataset: Any, **options: Any) -> list[tuple[bytes, ...]]:
    """The bytes of every tensor, sample by sample, as torch's DataLoader gives them."""
    from torch.utils.data import DataLoader

    with warnings.catch_warnings():  # torch's own advice about the machine's cores
        warnings.simplefilter("ignore", UserWarning)
        batches = list(DataLoader(dataset, **options))
    rows: list[tuple[bytes, ...]] = []
    for batch in batches:
        values = batch.values() if isinstance(batch, dict) else batch
        rows += zip(*([v.numpy().tobytes() for v in value] for value in values), strict=True)
    return rows


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """What a library warns of while it is imported is its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def host(name: str) -> Any:
    """The library, imported, or a skip."""
    with quietly():
        if name == "torchvision":
            name_missing_operators()
        return pytest.importorskip(name, reason=f"{name} is not installed: see the extra hosts")


def name_missing_operators() -> None:
    """Let torchvision be imported where its compiled operators do not load.

    Its wheels for CUDA beside a torch for the CPU: ``torchvision.transforms.v2`` is Python and
    works, but its import asks for two operators by name.
    """
    import torch

    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return
    if hasattr(torch.ops.torchvision, "nms"):
        return
    try:
        for library in Path(spec.submodule_search_locations[0]).glob("_C*.so"):
            torch.ops.load_library(library)
    except OSError:
        for name in ("nms", "qnms"):
            signature = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            torch.library.define(f"torchvision::{name}", signature)
