"""Step 1 against OpenCV, Pillow and float64 statements of torch's rules."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import sasaug
from cases import disc
from libraries import Face
from sasaug import reference

SIZES = st.tuples(st.integers(1, 90), st.integers(1, 90), st.integers(1, 90))


def resized(face: Face, image, height, width, antialias=False):
    """The image (and a mask of its own pixels) as a thumbnail that fills a canvas."""
    h, w = image.shape
    samples = np.zeros(1, sasaug.plan.SAMPLE)
    samples["window"] = (0, 0, w, h)
    samples["thumbnail"] = (0, 0, width, height)
    samples["noise"] = -1
    plan = sasaug.Plan(samples, seed=0, canvas=(height, width), antialias=antialias)
    mask = np.arange(h * w, dtype=np.int32).reshape(h, w)
    return face.apply(plan, image, mask)


def float64_bilinear(image, height, width):
    """torch.nn.functional.interpolate(mode="bilinear", align_corners=False), in float64."""

    def axis(a, n_dst):
        n_src = len(a)
        at = np.maximum((np.arange(n_dst) + 0.5) * (n_src / n_dst) - 0.5, 0)
        first = np.minimum(at.astype(int), n_src - 1)
        second = np.minimum(first + 1, n_src - 1)
        return a[first] + (a[second] - a[first]) * (at - first)[:, None]

    return axis(axis(image.astype(np.float64), height).T, width).T


@given(SIZES, st.integers(1, 90), st.integers(0, 2**32))
def test_uint8_bilinear_is_within_a_grey_level_of_opencv(face: Face, size, width, seed):
    h, w, height = size
    image = np.random.default_rng(seed).integers(0, 256, (h, w), dtype=np.uint8)
    ours = resized(face, image, height, width)[0].astype(int)
    theirs = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR).reshape(ours.shape)
    assert np.abs(ours - theirs).max() <= 1


def exact_bilinear(image, height, width):
    """[height width] integers: 4 height width times the exact value."""

    def axis(a, n_dst):
        n_src = len(a)
        rest, first = [], []
        for i in range(n_dst):
            position = Fraction((2 * i + 1) * n_src, 2 * n_dst) - Fraction(1, 2)
            position = min(max(position, Fraction(0)), Fraction(n_src - 1))
            first.append(int(position))
            rest.append(int((position - int(position)) * 2 * n_dst))
        second = np.minimum(np.array(first) + 1, n_src - 1)
        weight = np.array(rest)[:, None]
        return a[first] * (2 * n_dst - weight) + a[second] * weight

    return axis(axis(image.astype(np.int64), height).T, width).T


#: for each axis: half a unit of the weight, at most 255 levels apart, and half of a 64th
BYTES_ERROR = 2 * (Fraction(255, 2**16) + Fraction(1, 128))


@given(SIZES, st.integers(1, 90), st.integers(0, 2**32), st.booleans())
def test_bytes_are_within_the_stated_error_of_the_exact_value(
    face: Face, size, width, seed, black_or_white
):
    h, w, height = size
    image = np.random.default_rng(seed).integers(0, 256, (h, w), dtype=np.uint8)
    if black_or_white:
        image = np.where(image > 127, 255, 0).astype(np.uint8)
    ours = resized(face, image, height, width)[0].astype(np.int64)
    whole = 4 * height * width
    error = int(np.abs(ours * whole - exact_bilinear(image, height, width)).max())
    assert Fraction(error, whole) <= Fraction(1, 2) + BYTES_ERROR
    assert float(BYTES_ERROR) < 0.0235  # as docs/method.md says


@given(SIZES, st.integers(1, 90), st.integers(0, 255))
def test_bytes_of_one_level_stay(face: Face, size, width, level):
    h, w, height = size
    assert (resized(face, np.full((h, w), level, np.uint8), height, width)[0] == level).all()


@given(SIZES, st.integers(0, 2**32))
def test_bytes_of_one_axis_are_those_of_each_row(face: Face, size, seed):
    """An axis of the same size takes no part; two of them are a copy."""
    h, w, width = size
    image = np.random.default_rng(seed).integers(0, 256, (h, w), dtype=np.uint8)
    assert (resized(face, image, h, w)[0] == image).all()
    rows = resized(face, image, h, width)[0]
    assert (rows[:1] == resized(face, image[:1], 1, width)[0]).all()
    columns = resized(face, np.ascontiguousarray(image.T), width, h)[0]
    assert (columns == rows.T).all()


@given(SIZES, st.integers(0, 2**32))
def test_antialias_changes_bytes_only_where_an_axis_shrinks(face: Face, size, seed):
    h, w, more = size
    image = np.random.default_rng(seed).integers(0, 256, (h, w), dtype=np.uint8)
    plain, wide = (resized(face, image, h + more, w + more, antialias=a)[0] for a in (False, True))
    assert (plain == wide).all()


@given(SIZES, st.integers(1, 90), st.integers(0, 2**32))
def test_float32_bilinear_is_torchs_rule(face: Face, size, width, seed):
    h, w, height = size
    image = np.random.default_rng(seed).random((h, w), np.float32)
    ours = resized(face, image, height, width)[0]
    assert np.abs(ours - float64_bilinear(image, height, width)).max() <= 2e-6


@given(SIZES, st.integers(1, 90), st.integers(0, 2**32))
def test_antialias_is_within_a_grey_level_of_pillow(face: Face, size, width, seed):
    h, w, height = size
    image = np.random.default_rng(seed).integers(0, 256, (h, w), dtype=np.uint8)
    ours = resized(face, image, height, width, antialias=True)[0].astype(int)
    theirs = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
    assert np.abs(ours - theirs).max() <= 1


@given(SIZES, st.integers(1, 90))
def test_mask_follows_the_integer_rule_everywhere(face: Face, size, width):
    h, w, height = size
    ours = resized(face, np.zeros((h, w), np.uint8), height, width)[1]
    rows = [int(Fraction(2 * i + 1, 2 * height) * h) for i in range(height)]
    columns = [int(Fraction(2 * i + 1, 2 * width) * w) for i in range(width)]
    assert (ours == np.add.outer(np.array(rows) * w, columns)).all()


@pytest.mark.parametrize("n_dst", range(1, 300, 7))
@pytest.mark.parametrize("n_src", [1, 2, 97, 255, 256])
def test_mask_is_peers_nearest_exact_except_at_ties(face: Face, n_src, n_dst):
    row = np.arange(n_src, dtype=np.int32)[None]
    ours = resized(face, np.zeros((1, n_src), np.uint8), 1, n_dst)[1][0]
    position = (2 * np.arange(n_dst) + 1) * n_src
    tie = position % (2 * n_dst) == 0
    pillow = np.asarray(Image.fromarray(row).resize((n_dst, 1), Image.Resampling.NEAREST))[0]
    opencv = cv2.resize(row.astype(np.float32), (n_dst, 1), interpolation=cv2.INTER_NEAREST_EXACT)[
        0
    ]
    torch = np.floor((np.arange(n_dst) + 0.5) * (n_src / n_dst)).astype(int)
    for theirs in (pillow, opencv, torch):
        assert (ours == theirs)[~tie].all()


def test_worked_example(face: Face):
    """4 pixels to 2: centres at 1 and 3, between two pixels each; the mask takes the later ones."""
    image = np.array([[0, 10, 20, 31]], np.uint8)
    x, y = resized(face, image, 1, 2)
    assert x.tolist() == [[5, 26]]  # 5 and 25.5, half up
    assert y.tolist() == [[1, 3]]


def test_same_size_keeps_every_bit(face: Face):
    x = np.array([[np.nan, -0.0, np.inf], [1e-45, -3.0, 0.5]], np.float32)
    x[0, 0] = np.array(0x7FC00123, np.uint32).view(np.float32)  # a NaN with a message of its own
    out, _ = face.sas(x, np.zeros(x.shape, bool), seed=0)
    assert out.tobytes() == x.tobytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("axis", [0, 1])
def test_neighbour_without_weight_does_not_leak(face: Face, axis, bad):
    """6 to 2: the centres are pixels 1 and 4 exactly; what lies beside them has weight 0."""
    x = np.ones((6, 6), np.float32)
    x[(slice(None),) * axis + ([0, 2, 3, 5],)] = bad
    size = (6, 2) if axis else (2, 6)
    out = resized(face, x, *size)[0]
    assert (out == 1).all()


def test_infinity_on_the_edge(face: Face):
    x = np.full((1, 3), np.inf, np.float32)
    samples = np.zeros(1, sasaug.plan.SAMPLE)
    samples["window"], samples["thumbnail"], samples["noise"] = (0, 0, 3, 1), (0, 0, 7, 1), -1
    out = face.apply(sasaug.Plan(samples, 0, (1, 7)), x, x > 0)[0]
    assert (out[0, [0, 6]] == np.inf).all()


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60), st.integers(1, 60), st.data())
@settings(max_examples=200)
def test_size_keeps_the_aspect_and_fits(face: Face, w, h, canvas_w, canvas_h, data):
    canvas = (canvas_h, canvas_w)
    largest = reference.largest_side(w, h, canvas)
    size = data.draw(st.integers(1, largest))
    image = np.ones((h, w), np.uint8)
    _, y = face.thumbnail(image, image, size=size, canvas=canvas)
    rows, columns = np.flatnonzero(y.any(1)), np.flatnonzero(y.any(0))
    box = (len(columns), len(rows))
    assert y.sum() == box[0] * box[1]
    assert max(box) == size
    exact = Fraction(size * min(w, h), max(w, h))
    assert min(box) == max(1, int(exact + Fraction(1, 2)))
    assert (box[0] >= box[1]) if w > h else (box[1] >= box[0]) if h > w else box[0] == box[1]
    assert rows[0] == (canvas_h - box[1]) // 2 and columns[0] == (canvas_w - box[0]) // 2
    with pytest.raises(ValueError, match=f"size must be from 1 to {largest}"):
        face.thumbnail(image, image, size=largest + 1, canvas=canvas)


def test_size_and_window_per_sample(face: Face):
    images = np.arange(3 * 20 * 30, dtype=np.uint16).reshape(3, 20, 30)
    masks = np.ones(images.shape, bool)
    windows = [[0, 0, 30, 20], [5, 5, 10, 10], [29, 19, 1, 1]]
    x, y = face.thumbnail(
        images, masks, size=[30, 10, 20], windows=windows, canvas=(20, 30), position="top_left"
    )
    assert (x[0] == images[0]).all()
    assert (x[1, :10, :10] == images[1, 5:15, 5:15]).all() and y[1].sum() == 100
    assert (x[2, :20, :20] == images[2, 19, 29]).all() and y[2].sum() == 400


def test_positions(face: Face):
    mask = disc(200, 64)
    for position, expected in (("top_left", {(0, 0)}), ("center", {(24, 24)})):
        _, y = face.thumbnail(mask, mask | 1, size=16, position=position, seed=1)
        assert {tuple(np.argwhere(m)[0]) for m in y} == expected
    _, y = face.thumbnail(mask, mask | 1, size=16, position="random", seed=1)
    corners = np.array([np.argwhere(m)[0] for m in y])
    assert corners.min() == 0 and corners.max() == 48
    assert len({tuple(c) for c in corners}) > 150


def test_outside_the_thumbnail_is_black_even_in_dirty_memory(face: Face):
    mask = disc(8)
    image = mask * 100 + 50
    out = (np.full_like(image, 77), np.full_like(mask, 77))
    x, y = face.sas(image, mask, seed=3, p=1.0, out=out)
    assert x is out[0] and y is out[1]
    fresh = face.sas(image, mask, seed=3, p=1.0)
    assert (x == fresh[0]).all() and (y == fresh[1]).all()
    assert (x[:, 0, 0] == 0).sum() >= 6


def test_image_and_mask_move_together(face: Face):
    """An image that is its own mask stays so under nearest positions: edges differ by one pixel."""
    mask = disc(32, 128)
    x, y = face.sas(mask * 255, mask, seed=5, p=1.0, noise=None, position="random")
    square = np.ones((3, 3))
    for small, label in zip(x, y, strict=True):
        assert (small[cv2.erode(label, square) > 0] == 255).all()
        assert (small[cv2.dilate(label, square) == 0] == 0).all()
