"""Paths of the fast loops that only large images take: each equals the loops pixel by pixel."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import sasaug
from cases import same_bytes
from sasaug import _core


def assert_equal_on_every_set(call: Callable[[], Any]) -> None:
    before = _core.instruction_set()
    answers = {}
    try:
        for name in _core.instruction_sets():
            _core.use_instruction_set(name)
            answers[name] = call()
    finally:
        _core.use_instruction_set(before)
    for name, arrays in answers.items():
        for array, expected in zip(arrays, answers["scalar"], strict=True):
            assert same_bytes(array, expected), name


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("channels", [None, "first", "last"])
@pytest.mark.parametrize("peak", [1e-6, 0.5, 8, 15.9, 16, 33, 100, 4000, 2.0**30])
def test_poisson_of_bytes_by_tables(peak, channels, per_channel):
    """An image of this size pays for tables of all 256 levels (kPixelsPerLevel)."""
    rng = np.random.default_rng(1)
    image = rng.permuted(np.resize(np.arange(256, dtype=np.uint8), (3, 203, 205)))
    image[:, :50] //= 12  # dark alone, and bright alone
    image[:, 50:100] |= 224
    mask = rng.random((203, 205)) < np.linspace(0, 1, 203)[:, None]
    images = image[:1] if channels is None else image[None]
    if channels == "last":
        images = np.ascontiguousarray(np.moveaxis(images, 1, -1))
    assert_equal_on_every_set(
        lambda: (
            sasaug.poisson(
                images, mask[None], peak, channels=channels, per_channel=per_channel, seed=3
            ),
        )
    )


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize(
    ("source", "side"),
    [(4096, 3001), (4096, 4095), (3001, 2999), (5000, 7), (997, 996), (256, 2048)],
)
def test_thumbnails_of_long_rows_and_columns(source, side, dtype):
    rng = np.random.default_rng(2)
    scale = 1 if dtype == "float32" else np.iinfo(dtype).max
    wide = (rng.random((3, source)) * scale).astype(dtype)
    labels = rng.integers(0, 3, wide.shape, dtype=np.uint8)
    height = 3 * side // source + 2
    for image, mask, canvas in (
        (wide, labels, (height, side)),
        (np.ascontiguousarray(wide.T), np.ascontiguousarray(labels.T), (side, height)),
    ):
        assert_equal_on_every_set(partial(sasaug.thumbnail, image, mask, side, canvas=canvas))


def test_weights_of_bytes_that_lie_between_two_steps():
    """By 49 * 2^15 columns weights are whole that a rounded reciprocal takes for a little less."""
    side = 49 << 15
    rng = np.random.default_rng(3)
    wide = rng.integers(0, 256, (2, side + 9_999), np.uint8)
    assert_equal_on_every_set(
        partial(sasaug.thumbnail, wide, (wide > 127).view(np.uint8), side, canvas=(2, side))
    )
