"""One job: draw contact sheets: rows of images with mask outlines and captions.

Needs Pillow, which comes with the ``cli`` extra.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

__all__ = ["Tile", "contact_sheet", "describe", "encode_png", "outline"]

BACKGROUND = (21, 23, 28)
FRAME = (46, 50, 58)
TITLE = (236, 238, 242)
TEXT = (196, 201, 209)
FAINT = (125, 131, 142)
# Distinct on grey for colour-blind readers too (Okabe and Ito 2008, lightened).
OUTLINES = ((255, 196, 64), (96, 196, 255), (72, 214, 160), (255, 140, 105), (230, 160, 215))
MARGIN, GAP = 0.12, 0.045  # fractions of the tile's side, like the sizes of letters below
LETTERS, HEADING = 0.066, 0.105


@dataclass(frozen=True)
class Tile:
    """One image of a contact sheet.

    Attributes
    ----------
    image : uint8, uint16 or floating [h w] or [h w c]
        Grey (1 or 2 channels: the first is shown) or RGB (3 or more: the first three).
    mask : bool or integer [h w], optional
        Each label is outlined in its own colour.
    caption : str
        One line below the image, shortened in its middle if it does not fit.
    """

    image: NDArray[Any]
    mask: NDArray[Any] | None = None
    caption: str = ""


def contact_sheet(
    rows: Sequence[Sequence[Tile]],
    title: str = "",
    note: str = "",
    tile: int = 256,
    originals: bool = True,
) -> NDArray[np.uint8]:
    """Draw rows of images on a dark background.

    Images keep their aspect ratio and are fitted to square tiles. 16-bit images are scaled to the
    greatest value of the first image in their row, floating-point images to 1.

    Parameters
    ----------
    rows : sequence of sequences of Tile
        Rows may differ in length.
    title, note : str
        A heading, and a fainter line below it; each is left out if empty.
    tile : int
        Side of a tile in pixels, at least 32. Letters and margins scale with it.
    originals : bool
        The first image of each row is the original of the others: its caption is fainter.

    Returns
    -------
    uint8 [h w 3]
        RGB.

    Raises
    ------
    ValueError
        There is no tile, `tile` is too small, or an image or mask has another shape.

    Examples
    --------
    >>> from sasaug.phantoms import phantoms
    >>> from sasaug.preview import Tile, contact_sheet
    >>> images, masks = phantoms(2, size=64)
    >>> sheet = contact_sheet([[Tile(images[0], masks[0], "one"), Tile(images[1])]], tile=64)
    >>> sheet.ndim, sheet.dtype
    (3, dtype('uint8'))
    """
    if not any(len(row) for row in rows):
        raise ValueError("rows must hold at least one tile, got none")
    if tile < 32:
        raise ValueError(f"tile must be at least 32 pixels, got {tile}")
    margin, gap = round(MARGIN * tile), max(2, round(GAP * tile))
    small, large = _font(LETTERS * tile), _font(HEADING * tile)
    below = round(2.0 * LETTERS * tile)  # height of a caption
    top = margin + (round(1.5 * HEADING * tile) if title else 0)
    top += round(2.2 * LETTERS * tile) if note else 0

    columns = max(len(row) for row in rows)
    width = 2 * margin + columns * tile + (columns - 1) * gap
    height = top + len(rows) * (tile + below + gap) - gap + margin
    sheet = Image.new("RGB", (width, height), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    room = width - 2 * margin
    if title:
        draw.text((margin, margin), _fit(title, large, room), TITLE, large, anchor="lt")
    if note:
        at = (margin, top - round(1.1 * LETTERS * tile))
        draw.text(at, _fit(note, small, room), FAINT, small, anchor="ls")

    labels = _labels([t.mask for row in rows for t in row if t.mask is not None])
    for r, row in enumerate(rows):
        y = top + r * (tile + below + gap)
        for c, item in enumerate(row):
            x = margin + c * (tile + gap)
            sheet.paste(_drawn(item, _white(row[0].image), labels, tile), (x, y))
            draw.rectangle((x - 1, y - 1, x + tile, y + tile), outline=FRAME)
            middle = (x + tile / 2, y + tile + 0.55 * below)
            text = _fit(item.caption, small, tile)
            draw.text(middle, text, FAINT if originals and c == 0 else TEXT, small, anchor="mm")
    return np.asarray(sheet)


def outline(mask: NDArray[Any], width: int, height: int) -> NDArray[np.float32]:
    """Return the outline of a mask as a soft line, drawn at another size.

    Parameters
    ----------
    mask : bool or integer [h w]
        Non-zero inside.
    width, height : int
        Size of the result in pixels.

    Returns
    -------
    float32 [height width]
        Opacity of the line: near 1 on the outline, near 0 three pixels away from it.
    """
    inside = Image.fromarray(np.where(mask != 0, 255, 0).astype(np.uint8))
    inside = inside.resize((width, height), Image.Resampling.BILINEAR)
    inside = inside.filter(ImageFilter.GaussianBlur(0.9))
    share = np.asarray(inside, np.float32) / 255.0
    # The blurred step is 1/2 on the outline, where share * (1 - share) is largest.
    return np.asarray((4.0 * share * (1.0 - share)) ** 1.5, np.float32)


def describe(row: Mapping[str, Any], canvas: tuple[int, int]) -> str:
    """Describe in a few words what a plan does to a sample.

    Parameters
    ----------
    row : mapping
        One of `Plan.rows()`.
    canvas : (height, width)
        Canvas of the plan.

    Returns
    -------
    str
        Noise, strength and size relative to the largest that fits, as in "speckle 0.12 · 41 %";
        "unchanged", or "fitted" if the sample was only resized to the canvas.
    """
    width, height = row["window"][2:]
    shown = row["thumbnail"][2:]
    if not row["transformed"]:
        return "unchanged" if [width, height] == list(shown) else "fitted"
    largest = max(width, height) * min(canvas[1] / width, canvas[0] / height)
    scale = f"{max(shown) / largest:.0%}".replace("%", " %")
    if row["noise"] is None:
        return scale
    return f"{row['noise'].replace('_', '-')} {_number(row['strength'])} · {scale}"


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """Return an image [h w] or [h w 3] as the bytes of a PNG file."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _number(value: float) -> str:
    """Write a strength with two significant digits, without an exponent."""
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.2g}"


def _labels(masks: Sequence[NDArray[Any]]) -> list[int]:
    """Return the sorted non-zero labels of all masks: a label has one colour per sheet."""
    found = {int(label) for mask in masks for label in np.unique(mask)}
    return sorted(found - {0})


def _white(image: NDArray[Any]) -> float:
    """Return the value that is shown as white."""
    if image.dtype == np.uint16:
        return float(max(int(image.max(initial=0)), 1))
    return 255.0 if image.dtype == np.uint8 else 1.0


def _drawn(tile: Tile, white: float, labels: Sequence[int], side: int) -> Image.Image:
    """Draw a tile of side x side pixels, without its frame and caption."""
    _check(tile)
    height, width = tile.image.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    way = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    shown = Image.fromarray(_eight_bits(tile.image, white)).resize(size, way)
    if tile.mask is not None:
        shown = _draw_outlines(shown, tile.mask, labels)
    square = Image.new("RGB", (side, side), BACKGROUND)
    square.paste(shown, ((side - size[0]) // 2, (side - size[1]) // 2))
    return square


def _check(tile: Tile) -> None:
    """Refuse shapes that cannot be drawn."""
    shape = tile.image.shape
    if len(shape) not in (2, 3) or 0 in shape:
        raise ValueError(f"image must be [h w] or [h w c] and not empty, got {shape}")
    if tile.mask is not None and tile.mask.shape != shape[:2]:
        raise ValueError(f"mask must have the image's size {shape[:2]}, got {tile.mask.shape}")


def _draw_outlines(image: Image.Image, mask: NDArray[Any], labels: Sequence[int]) -> Image.Image:
    """Return the image with the outlines of all labels on it."""
    pixels = np.asarray(image, np.float32)
    # Label maps may hold thousands of objects: those of one colour are drawn together.
    for index, colour in enumerate(OUTLINES[: len(labels)]):
        chosen = np.isin(mask, labels[index :: len(OUTLINES)])
        if chosen.any():
            opacity = outline(chosen, *image.size)[..., None]
            pixels = pixels + opacity * (np.asarray(colour, np.float32) - pixels)
    return Image.fromarray(np.rint(pixels).astype(np.uint8))


def _eight_bits(image: NDArray[Any], white: float) -> NDArray[np.uint8]:
    """Return an image as uint8 [h w 3]; not-a-number becomes black."""
    if image.ndim == 2:
        image = image[..., None]
    channels = image[..., :3] if image.shape[2] >= 3 else image[..., :1]
    shown = np.nan_to_num(channels.astype(np.float32) * (255.0 / white), nan=0.0)
    shown = np.rint(np.clip(shown, 0.0, 255.0)).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(shown, (*image.shape[:2], 3)))


def _font(size: float) -> Any:
    """Return Pillow's own scalable font."""
    return ImageFont.load_default(size=max(7, round(size)))


def _fit(text: str, font: Any, room: float) -> str:
    """Shorten a text in its middle, so that it is at most `room` pixels wide."""
    if font.getlength(text) <= room:
        return text
    for kept in range(len(text) - 1, 0, -1):
        cut = f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"
        if font.getlength(cut) <= room:
            return cut
    return ""
