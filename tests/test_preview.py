"""Claims about contact sheets."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("PIL", reason="needs the extra `cli`")

from PIL import Image

from sasaug import preview
from sasaug.preview import Tile, contact_sheet, describe, encode_png, outline

SIDE = 64


def _first_tile(sheet, rows=1, columns=1):
    """Return the pixels of the first tile of a sheet without title and note."""
    margin = round(preview.MARGIN * SIDE)
    return sheet[margin : margin + SIDE, margin : margin + SIDE]


def _shown(image, mask=None):
    return _first_tile(contact_sheet([[Tile(image, mask)]], tile=SIDE))


def _row(**changes):
    row = {
        "transformed": True,
        "window": [0, 0, 200, 100],
        "thumbnail": [10, 10, 100, 50],
        "noise": "speckle",
        "strength": 0.1234,
    }
    return row | changes


def test_outline_lies_on_the_outline_and_nowhere_else():
    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 16:48] = 1
    line = outline(mask, 64, 64)
    assert line.shape == (64, 64) and line.min() >= 0.0 and line.max() <= 1.0
    assert (line[20:44, 15:17] > 0.6).all() and (line[15:17, 20:44] > 0.6).all()
    assert (line[20:44, 20:44] < 0.02).all() and (line[:13] < 0.02).all()


@pytest.mark.parametrize("value", [0, 1])
def test_uniform_mask_has_no_outline(value):
    assert (outline(np.full((9, 5), value, bool), 20, 30) == 0).all()


def test_outline_keeps_its_width_at_other_sizes():
    mask = np.zeros((32, 32), bool)
    mask[:, 16:] = True
    for side in (32, 64, 128):
        width = outline(mask, side, side)[side // 2].sum()
        assert 1.0 < width < 3.0


@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    channels=st.sampled_from([None, 1, 2, 3, 4]),
    dtype=st.sampled_from([np.uint8, np.uint16, np.float16, np.float32]),
)
@settings(max_examples=40, deadline=None)
def test_any_picture_fits_its_tile_and_stays_as_it_was(height, width, channels, dtype):
    shape = (height, width) if channels is None else (height, width, channels)
    image = np.ones(shape, dtype)
    mask = np.zeros((height, width), np.int64)
    mask[: height // 2] = -7
    image.flags.writeable = mask.flags.writeable = False
    sheet = contact_sheet([[Tile(image, mask, "x")]], tile=SIDE)
    assert sheet.dtype == np.uint8 and sheet.ndim == 3 and sheet.shape[2] == 3
    empty = contact_sheet([[Tile(np.ones((5, 5), np.uint8))]], tile=SIDE)
    assert sheet.shape == empty.shape


def test_picture_of_the_tile_size_is_shown_pixel_by_pixel():
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE), np.uint8)
    assert np.array_equal(_shown(image), np.repeat(image[..., None], 3, axis=2))


def test_colours_are_shown_as_rgb():
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    image[...] = (200, 10, 30)
    assert (_shown(image) == (200, 10, 30)).all()


def test_sixteen_bits_are_shown_relative_to_the_brightest_of_the_original():
    original = np.full((SIDE, SIDE), 1000, np.uint16)
    original[0, 0] = 2000
    assert _shown(original)[10, 10, 0] == 128
    brighter, full = (np.full((SIDE, SIDE), value, np.uint16) for value in (1500, 65535))
    sheet = contact_sheet([[Tile(original), Tile(full), Tile(brighter)]], tile=SIDE)
    assert (sheet[20, -20] == 191).all() and (sheet[20, -20 - SIDE] == 255).all()


def test_floats_are_shown_relative_to_one_and_nan_as_black():
    image = np.full((SIDE, SIDE), 0.5, np.float32)
    image[0, 0], image[0, 1], image[0, 2] = np.nan, np.inf, -np.inf
    shown = _shown(image)[..., 0]
    assert shown[30, 30] == 128 and shown[0, :3].tolist() == [0, 255, 0]


def test_aspect_is_kept_and_the_rest_is_background():
    shown = _shown(np.full((16, 64), 255, np.uint8))
    white = (shown == 255).all(axis=2)
    assert white[24:40].all() and not white[:24].any() and not white[40:].any()
    assert (shown[0, 0] == preview.BACKGROUND).all()


def test_outline_is_drawn_in_colour():
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[16:48, 16:48] = 255
    shown = _shown(np.zeros((SIDE, SIDE), np.uint8), mask).astype(int)
    assert (np.abs(shown[30, 15:17] - preview.OUTLINES[0]) < 90).all()
    assert (shown[30, 30] < 8).all() and (shown[4, 4] == 0).all()


def test_label_has_the_same_colour_in_every_tile():
    black = np.zeros((SIDE, SIDE), np.uint8)
    both = np.zeros((SIDE, SIDE), np.uint8)
    both[4:24, 4:24], both[36:60, 36:60] = 3, 9
    last = np.where(both == 9, 9, 0)
    sheet = contact_sheet([[Tile(black, both)], [Tile(black, last)]], tile=SIDE)
    step = SIDE + round(2.0 * preview.LETTERS * SIDE) + max(2, round(preview.GAP * SIDE))
    first, second = _first_tile(sheet), _first_tile(sheet[step:])
    assert np.array_equal(first[48, 30:42], second[48, 30:42])
    assert not np.array_equal(first[14, 0:8], first[48, 32:40])


def test_rows_may_differ_in_length():
    tile = Tile(np.zeros((4, 4), np.uint8))
    ragged = contact_sheet([[tile], [tile, tile]], tile=SIDE)
    assert ragged.shape == contact_sheet([[tile, tile], [tile]], tile=SIDE).shape


def test_captions_of_originals_are_fainter():
    row = [Tile(np.zeros((4, 4), np.uint8), None, "w" * 4)] * 2
    tops = [int(contact_sheet([row[:n]], tile=SIDE, originals=o).max()) for n, o in
            ((1, True), (1, False), (2, True))]  # fmt: skip
    assert tops[0] <= max(preview.FAINT) < tops[1] == tops[2]


def test_long_texts_are_cut_and_never_widen_the_sheet():
    tile = Tile(np.zeros((4, 4), np.uint8))
    plain = contact_sheet([[tile]], "a", "a", tile=SIDE)
    long = contact_sheet([[Tile(tile.image, None, "w" * 200)]], "w" * 200, "w" * 200, tile=SIDE)
    assert plain.shape == long.shape
    margin = round(preview.MARGIN * SIDE)
    assert (long[:, : margin - 1] == preview.BACKGROUND).all()
    assert (long[:, -margin + 1 :] == preview.BACKGROUND).all()


@given(text=st.text(max_size=60), room=st.integers(0, 300))
@settings(max_examples=60, deadline=None)
def test_cut_text_fits_and_keeps_both_ends(text, room):
    font = preview._font(12)
    text = text.replace("\n", " ").replace("\r", " ")
    cut = preview._fit(text, font, room)
    assert font.getlength(cut) <= room or cut == ""
    if cut != text and cut:
        head, _, tail = cut.partition("…")
        assert text.startswith(head) and text.endswith(tail)


@pytest.mark.parametrize(
    ("row", "canvas", "text"),
    [
        (_row(), (100, 200), "speckle 0.12 · 50 %"),
        (_row(), (256, 256), "speckle 0.12 · 39 %"),
        (_row(noise="poisson", strength=123.4), (100, 200), "poisson 123 · 50 %"),
        (_row(noise="salt_pepper", strength=0.05), (100, 200), "salt-pepper 0.05 · 50 %"),
        (_row(noise=None, strength=None), (100, 200), "50 %"),
        (_row(transformed=False, thumbnail=[0, 0, 200, 100]), (100, 200), "unchanged"),
        (_row(transformed=False, thumbnail=[0, 64, 256, 128]), (256, 256), "fitted"),
    ],
)
def test_caption_says_noise_strength_and_scale(row, canvas, text):
    assert describe(row, canvas) == text


def test_png_holds_the_sheet():
    sheet = contact_sheet([[Tile(np.arange(256, dtype=np.uint8).reshape(16, 16))]], tile=SIDE)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode_png(sheet)))), sheet)


@pytest.mark.parametrize(
    ("rows", "tile", "text"),
    [
        ([], SIDE, "rows must hold at least one tile"),
        ([[]], SIDE, "rows must hold at least one tile"),
        ([[Tile(np.zeros((4, 4), np.uint8))]], 31, "tile must be at least 32 pixels, got 31"),
        ([[Tile(np.zeros((4, 0), np.uint8))]], SIDE, r"image must be .* got \(4, 0\)"),
        ([[Tile(np.zeros(4, np.uint8))]], SIDE, r"image must be .* got \(4,\)"),
        (
            [[Tile(np.zeros((4, 4), np.uint8), np.zeros((4, 5), bool))]],
            SIDE,
            r"mask must have the image's size \(4, 4\), got \(4, 5\)",
        ),
    ],
)
def test_errors_name_argument_rule_and_value(rows, tile, text):
    with pytest.raises(ValueError, match=text):
        contact_sheet(rows, tile=tile)
