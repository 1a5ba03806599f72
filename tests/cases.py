"""What the tests draw: images, masks, windows and settings of every allowed kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes  # noqa: F401  # numpy knows bfloat16 by it
import numpy as np
from hypothesis import strategies as st

import sasaug

IMAGE_TYPES = ("uint8", "uint16", "float16", "float32", "bfloat16")
MASK_TYPES = ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")


def full_scale(dtype: str) -> int:
    """The upper end of the value range."""
    return int(np.iinfo(dtype).max) if dtype.startswith("u") else 1


def image(rng: np.random.Generator, shape: tuple[int, ...], dtype: str, wild: bool = False) -> Any:
    """Random pixels of the whole value range; ``wild`` floats go beyond it, to NaN and infinity."""
    if dtype.startswith("u"):
        return rng.integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)
    x = rng.random(shape).astype(dtype)
    if wild:
        odd = np.array([np.nan, np.inf, -np.inf, -1, 2, -0.0, 6e-8], dtype)
        x = np.where(rng.random(shape) < 0.2, rng.choice(odd, shape), x)
    return x


def blob_mask(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Any:
    """Labels 0..3 in rectangles, as masks are; some are empty, some full."""
    mask = np.zeros(shape, dtype)
    n, h, w = shape
    for s in range(n):
        if rng.random() < 0.7:
            mask[s, : h - h // 4, w // 5 :] = 1  # large enough to be transformed
        for label in range(1, 1 + int(rng.integers(0, 4))):
            y0, x0 = rng.integers(0, h + 1), rng.integers(0, w + 1)
            y1, x1 = rng.integers(y0, h + 1), rng.integers(x0, w + 1)
            mask[s, y0:y1, x0:x1] = label if dtype != "bool" else True
    return mask


@dataclass
class Case:
    """One call of SAS: images [n h w c] and masks [n h w], with everything that goes with them."""

    images: Any
    masks: Any
    settings: dict[str, Any]
    seed: int
    ids: Any
    windows: Any
    dtype: str

    def plan(self, face: Any = sasaug) -> sasaug.Plan:
        aug = face.SAS(**self.settings)
        return aug.plan(self.masks, seed=self.seed, ids=self.ids, windows=self.windows)


def value_range(draw: st.DrawFn, dtype: str) -> tuple[float, float] | None:
    """Black and full scale that the images' type can hold; often the default."""
    if draw(st.booleans()):
        return None
    if dtype.startswith("u"):
        low, high = sorted(draw(st.sets(st.integers(0, full_scale(dtype)), min_size=2, max_size=2)))
        return low, high
    return draw(st.sampled_from([(0, 255), (-3.0, 3.0), (0.25, 0.75), (-0.1, 1e4), (0, 1)]))


@st.composite
def cases(draw: st.DrawFn, most: int = 70, wild: bool = True) -> Case:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))

    def side() -> int:
        """Mostly of any size, sometimes tiny or nothing."""
        tiny = draw(st.integers(0, 9)) == 9
        return draw(st.integers(0, 5)) if tiny else int(rng.integers(8, most))

    n, c = draw(st.sampled_from([1, 2, 3, 3, 0])), draw(st.integers(1, 4))
    h, w = side(), side()
    dtype = draw(st.sampled_from(IMAGE_TYPES))
    mask_type = draw(st.sampled_from(MASK_TYPES))
    windows = None
    if h and w and draw(st.booleans()):
        corner = np.stack([rng.integers(0, w, n), rng.integers(0, h, n)], -1)
        size = [[rng.integers(1, w - x + 1), rng.integers(1, h - y + 1)] for x, y in corner]
        windows = np.concatenate([corner, np.array(size, np.int64).reshape(n, 2)], -1)
    low = draw(st.floats(0.01, 1))
    pixels = draw(st.integers(1, most))
    settings = {
        "canvas": (max(side(), 1), max(side(), 1)),
        "thumbnail": draw(
            st.sampled_from([None, (0.25, 1.0), (low, 1.0), (low, low), (pixels, 2 * pixels)])
        ),
        "position": draw(st.sampled_from(["center", "random", "top_left", "top_center"])),
        "least_roi": draw(st.sampled_from([0, 0, 1, 20, 400, 2**31 - 1])),
        "noise": draw(st.sampled_from(["default", "default", {"poisson": (0.5, 90)}, "dali", {}])),
        "p": draw(st.sampled_from([1.0, 1.0, 0.5, 0.0])),
        "apply_to": draw(st.sampled_from(["large", "all"])),
        "labels": draw(st.sampled_from([None, (1,)] if mask_type == "bool" else [None, (1, 3)])),
        "antialias": draw(st.booleans()),
        "per_channel": draw(st.booleans()),
        "salt_vs_pepper": draw(st.sampled_from([0.0, 0.5, 1.0])),
        "value_range": value_range(draw, dtype),
        "check_values": False,  # the images are wild
    }
    return Case(
        images=image(rng, (n, h, w, c), dtype, wild),
        masks=blob_mask(rng, (n, h, w), mask_type),
        settings=settings,
        seed=draw(st.integers(0, 2**64 - 1)),
        ids=rng.integers(0, 2**64, n, dtype=np.uint64),
        windows=windows,
        dtype=draw(st.sampled_from([dtype, dtype, *IMAGE_TYPES])),
    )


def same_bytes(a: Any, b: Any) -> bool:
    """Equal types, shapes and bits, NaN included."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def numpy_state() -> Any:
    """Of numpy's shared generator: its place among the words, too."""
    name, words, *rest = np.random.get_state()
    return name, words.tolist(), rest


def disc(n: int = 1, size: int = 64, radius: float = 0.35) -> Any:
    """Masks [n h w], a disc of 1 in the middle."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return np.repeat((x**2 + y**2 <= (radius * size) ** 2)[None].astype(np.uint8), n, 0)
