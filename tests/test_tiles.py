"""The ways through the GPU's loops: each type and label size, each shortcut to its ends."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import sasaug
from cases import IMAGE_TYPES, blob_mask, full_scale, image, same_bytes
from libraries import Face

SIDES = [8, 13, 14, 17, 23, 24, 25, 31, 32, 33, 48, 64]  # of windows 32 wide: scales of 4 to 1/2


@pytest.mark.parametrize("labels", ["uint8", "uint16"])
@pytest.mark.parametrize("width", [36, 35])  # rows of whole words, and others
def test_labels_of_every_scale_and_alignment(gpu: Face, width, labels):
    """Labels of a byte are picked from words, two or three, where rows consist of words."""
    n = 5 * len(SIDES)
    rng = np.random.default_rng(width)
    masks = rng.integers(1, 255, (n, 9, width)).astype(labels)
    images = np.zeros(masks.shape, np.uint8)
    windows = np.tile(np.array([[0, 0, 32, 9]], np.int32), (n, 1))
    windows[:, 0] = np.arange(n) % (width - 31)
    sides = np.repeat(SIDES, 5)
    options = {"canvas": (20, 64), "position": "random", "seed": 1, "windows": windows}
    got = gpu.thumbnail(images, masks, sides, **options)[1]
    assert same_bytes(got, sasaug.thumbnail(images, masks, sides, **options)[1])


@pytest.mark.parametrize("dtype", IMAGE_TYPES)
@pytest.mark.parametrize("labels", ["uint8", "uint16", "int32", "int64"])
def test_each_type_with_each_label_size(gpu: Face, labels, dtype):
    """From each type to each other, one to four channels, antialiased or not, from windows."""
    rng = np.random.default_rng(0)
    for place, out in enumerate(IMAGE_TYPES):
        shape = (2, 21, 36, place % 4 + 1)
        images, masks = image(rng, shape, dtype), blob_mask(rng, shape[:3], labels)
        options = {
            "seed": place, "p": 1.0, "apply_to": "all", "thumbnail": (0.4, 0.9), "dtype": out,
            "position": "random", "canvas": (24, 40), "windows": [(1, 2, 32, 18)] * 2,
        }  # fmt: skip
        for antialias in (False, True):
            got = gpu.sas(images, masks, antialias=antialias, **options)
            expected = sasaug.sas(images, masks, antialias=antialias, **options)
            assert same_bytes(got[0], expected[0]) and same_bytes(got[1], expected[1])


@pytest.mark.parametrize("dtype", IMAGE_TYPES)
@pytest.mark.parametrize("peak", [1.0, 40.0, 300.0])  # all counts are summed up, some, few
def test_poisson_counts_of_low_and_of_high_rates(gpu: Face, dtype, peak):
    """More columns of noise than a block has threads, and lists that end within a warp's share."""
    rng = np.random.default_rng(0)
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    images = (rng.random((1, 61, 42, 3)) * full_scale(dtype)).astype(kind)
    masks = (rng.random((1, 61, 42)) < 0.9).astype(np.uint8)
    for per_channel in (False, True):
        options = {"seed": 1, "per_channel": per_channel}
        got = gpu.poisson(images, masks, peak, **options)
        assert same_bytes(got, sasaug.poisson(images, masks, peak, **options))
