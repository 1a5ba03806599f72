"""One job: the batches that are timed: simulated sectors, and elliptic masks of a known share.

Masks cover 10 to 20 % of the frame, as a large structure does, so that every sample is transformed.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from sasaug.phantoms import phantoms

SIZE = 256


@cache
def pictures() -> Any:
    return phantoms(8, SIZE)[0]


def frames(n: int, dtype: str = "uint8", layout: str = "grey", size: int = SIZE) -> Any:
    """Images [n h w], [n h w 3] ("last") or [n 3 h w] ("first"); channels are copies."""
    repeats = -(-size // SIZE)
    few = np.tile(pictures()[: min(n, 8)], (1, repeats, repeats))[:, :size, :size]
    images = np.resize(few, (n, size, size))
    if dtype == "float32":
        images = images.astype(np.float32) / 255
    if layout == "grey":
        return images
    axis = 3 if layout == "last" else 1
    return np.ascontiguousarray(np.repeat(np.expand_dims(images, axis), 3, axis))


def ellipses(n: int, size: int = SIZE, shrink: float = 1.0) -> Any:
    """Masks [n h w] uint8; `shrink` scales both axes of the ellipses."""
    rng = np.random.default_rng(0)
    masks = np.zeros((n, size, size), np.uint8)
    y, x = (np.arange(size) + 0.5)[:, None] / size, (np.arange(size) + 0.5)[None] / size
    for mask in masks:
        (cx, cy), (a, b) = rng.uniform(0.35, 0.65, 2), rng.uniform(0.18, 0.25, 2) * shrink
        mask[((x - cx) / a) ** 2 + ((y - cy) / b) ** 2 < 1] = 1
    return masks
