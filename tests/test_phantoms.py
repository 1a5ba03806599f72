"""Claims about the simulated ultrasound pictures."""

from __future__ import annotations

import importlib
import random

import numpy as np
import pytest

module = importlib.import_module("sasaug.phantoms")
phantoms = module.phantoms


@pytest.fixture(scope="module")
def sample():
    return phantoms(24, size=64, seed=3)


def _shifted(mask, by):
    """Return a mask moved down and right."""
    return np.roll(mask, (by, by), axis=(0, 1))


def _ring(mask, width):
    """Return the pixels within `width` of a mask, above, below or beside it, without it."""
    wide = mask.copy()
    for step in range(1, width + 1):
        for axis in (0, 1):
            wide |= np.roll(mask, step, axis) | np.roll(mask, -step, axis)
    return wide & ~mask


def _closed(seen):
    """Return the region between the first and last pixel seen in every row: the sector."""
    from_left = np.maximum.accumulate(seen, axis=1)
    from_right = np.maximum.accumulate(seen[:, ::-1], axis=1)[:, ::-1]
    return from_left & from_right


def _contrast(image, mask, seen):
    ring = _ring(mask, 3) & seen
    return abs(float(image[mask].mean()) - float(image[ring].mean()))


def test_images_and_masks_have_the_promised_shape_and_type(sample):
    images, masks = sample
    assert images.shape == masks.shape == (24, 64, 64)
    assert images.dtype == masks.dtype == np.uint8
    assert set(np.unique(masks)) == {0, 1}


def test_every_picture_has_an_object(sample):
    assert (sample[1].sum(axis=(1, 2)) > 0).all()


def test_no_pictures_is_an_empty_batch():
    images, masks = phantoms(0, size=32)
    assert images.shape == masks.shape == (0, 32, 32)


def test_shorter_set_is_the_start_of_the_longer():
    long, short = phantoms(3, size=32, seed=9), phantoms(2, size=32, seed=9)
    assert np.array_equal(long[0][:2], short[0]) and np.array_equal(long[1][:2], short[1])


def test_pictures_and_seeds_differ():
    first, second = phantoms(2, size=32, seed=1)[0], phantoms(2, size=32, seed=2)[0]
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], second[0])


def test_global_random_state_is_neither_read_nor_written():
    random.seed(0)
    np.random.seed(0)
    before = random.getstate(), np.random.get_state()[1].copy()
    first = phantoms(1, size=32)[0]
    assert random.getstate() == before[0]
    assert np.array_equal(np.random.get_state()[1], before[1])
    np.random.seed(1)
    assert np.array_equal(first, phantoms(1, size=32)[0])


def test_most_masks_are_large_and_some_are_small(sample):
    large = (sample[1].mean(axis=(1, 2)) > 0.03).mean()
    assert 0.5 < large < 0.95


def test_geometry_does_not_depend_on_the_size():
    coarse, fine = phantoms(4, size=64, seed=5)[1], phantoms(4, size=128, seed=5)[1]
    share = fine.reshape(4, 64, 2, 64, 2).mean(axis=(2, 4))
    # A coarse pixel may disagree only where the outline crosses it.
    assert (np.abs(share - coarse) <= 0.75).all()
    assert abs(coarse.mean() - fine.mean()) < 0.004


def test_mask_marks_what_is_seen(sample):
    better = []
    for image, mask in zip(*sample, strict=True):
        seen = _closed(image > 0) | mask.astype(bool)
        here, *moved = (
            _contrast(image, _shifted(mask, by).astype(bool) & seen, seen) for by in (0, -6, 6)
        )
        better.append(here > max(moved))
    assert np.mean(better) > 0.7


def test_outside_of_the_sector_is_black(sample):
    images, masks = sample
    assert (images[:, 0, [0, -1]] == 0).all() and (images[:, -1, [0, -1]] == 0).all()
    assert (masks[:, 0, [0, -1]] == 0).all()
    assert 0.35 < (images > 0).mean() < 0.9


def test_speckle_has_the_contrast_of_compounded_scatterers():
    rng = np.random.default_rng(0)
    sector = module.Sector(radius=0.4, half_angle=0.5, left=0.0, top=0.0, side=1.0)
    flat = np.zeros((module.DEPTHS, module.BEAMS), np.float32)
    ratios = []
    for _ in range(4):
        rows = module._envelope(rng, flat, sector)
        ratios.append(np.mean(rows.mean(axis=1) / rows.std(axis=1)))
    # Three looks averaged in power: a Nakagami distribution of shape 3, mean / deviation 3.40.
    assert 3.2 < np.mean(ratios) < 3.8


def test_sound_is_enhanced_behind_a_cyst():
    rng = np.random.default_rng(0)
    cyst = module.Inclusion(module.CYST, 0.0, 0.8, 0.15, 0.15, 0.0, ())
    depth = np.linspace(0.0, 1.0, module.DEPTHS, dtype=np.float32)[:, None]
    angle = np.linspace(-0.5, 0.5, module.BEAMS, dtype=np.float32)[None]
    x, y = (0.4 + depth) * np.sin(angle), (0.4 + depth) * np.cos(angle)
    echo, loss = np.zeros_like(x), np.zeros_like(x)
    module._insert(rng, cyst, x, y, echo, loss)
    behind = -np.cumsum(loss, axis=0)[-1] / module.DEPTHS  # dB
    assert behind[module.BEAMS // 2] > 5.0
    assert abs(behind[0]) < 0.1


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"n": -1}, ValueError, "n must be at least 0, got -1"),
        ({"n": 1, "size": 15}, ValueError, "size must be at least 16, got 15"),
        ({"n": 1, "seed": -5}, ValueError, "seed must be at least 0, got -5"),
        ({"n": 1.5}, TypeError, "n must be an integer, got 1.5"),
        ({"n": 1, "size": True}, TypeError, "size must be an integer, got True"),
    ],
)
def test_errors_name_argument_rule_and_value(arguments, error, text):
    with pytest.raises(error, match=text):
        phantoms(**arguments)
