"""One job: read an image file as people see it: upright, complete, one frame or all of a clip.

OpenCV decodes PNG, JPEG, TIFF and BMP, because it keeps 16 bits of every channel; Pillow decodes
GIF, WebP, the indices of palettes and TIFF that OpenCV does not read, and reads the headers. Both
come with the ``cli`` extra.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from .job import Unusable
from .tiff import check_pages, is_tiff, pages_of

__all__ = ["FORMATS", "SUFFIXES", "Header", "decode_image", "decode_palette", "header", "upright"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif")
FORMATS = "PNG, JPEG, TIFF, BMP, WebP or GIF"
ORIENTATION = 0x0112  # of EXIF and TIFF
ALIKE = "the frames of a clip must have one size and type"
MARKS = (b"eXIf", b"Raw profile type", b"Orientation")  # of a PNG that has EXIF or XMP data

#: EXIF orientation -> the operation that makes an array [h w ...] upright.
UPRIGHT: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


@dataclass(frozen=True)
class Header:
    """What a file says of itself before its pixels are decoded.

    Attributes
    ----------
    format : str
        Pillow's name of the format, "" if it does not know the file.
    mode : str
        Pillow's mode: "P" is a palette.
    orientation : int
        EXIF orientation in 1..8; 1 is upright, also where the file says nothing.
    transparent : int, optional
        The grey value that a file without alpha channel declares transparent.
    is_lossy : bool
        Compression changes values: JPEG, lossy WebP, TIFF with JPEG inside.
    """

    format: str = ""
    mode: str = ""
    orientation: int = 1
    transparent: int | None = None
    is_lossy: bool = False


def header(path: str, content: bytes, frames: bool = False) -> Header:
    """Read a file's header; with `frames` that of a clip.

    Raises
    ------
    Unusable
        More than one frame where there must be one, frames of another format than TIFF, or more
        pixels than Pillow allows.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            count = getattr(image, "n_frames", 1)
            found = Header(
                image.format or "",
                image.mode,
                _orientation(image, content),
                _transparent(image),
                _is_lossy(image, content),
            )
    except Image.DecompressionBombError as error:
        raise Unusable(f"{path}: {error}") from error
    except MemoryError:
        raise
    except Exception as error:  # of all kinds, on damaged files
        if content[:4] in (b"GIF8", b"RIFF"):
            raise incomplete(path) from error
        return Header()  # OpenCV may know more
    if count > 1 and found.format != "MPO":  # a camera's JPEG with previews after the image
        if not frames:
            raise _several(path, count, found.format)
        if found.format != "TIFF":
            raise Unusable(
                f"{path}: a clip must be a TIFF file with a page for each frame, got "
                f"{found.format} with {count} frames"
            )
    return found


def decode_image(path: str, content: bytes, about: Header, frames: bool = False) -> NDArray[Any]:
    """Return the pixels, upright: uint8 or uint16 [h w], [h w 3] in RGB or [h w 4] in RGBA order.

    With `frames` those of a clip: [t h w] or [t h w c].

    Raises
    ------
    Unusable
        The file is damaged, of another format, or not of unsigned 8 or 16 bits; or its frames
        differ in size or type.
    """
    if about.format in ("GIF", "WEBP"):
        with _opened(path, content) as image:
            pages = [_pixels_of(image)]
    elif is_tiff(content):  # upright already: both libraries turn TIFF while decoding
        pages = _decode_tiff(path, content)
        if frames:
            return _stacked(path, pages)
        if len(pages) > 1:
            raise _several(path, len(pages), "TIFF")
        return pages[0]
    else:
        pages = [_in_rgb(path, page) for page in _opencv_pages(content)]
    # Some versions of OpenCV fill the missing rest of a JPEG with grey, without an error.
    cut = content[:2] == b"\xff\xd8" and b"\xff\xd9" not in content[len(content) // 2 :]
    if not pages or cut:
        raise incomplete(path)
    pixels = upright(pages[0], about.orientation)
    return pixels[None] if frames else pixels


def decode_palette(
    path: str, content: bytes, frames: bool = False
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the indices of a palette image, upright, and their colours.

    Returns
    -------
    indices : uint8 [h w], or with `frames` [t h w]
    colours : uint8 [256 4]
        RGBA by index; indices that no pixel has are black and opaque.

    Raises
    ------
    Unusable
        The file is damaged, or its frames differ in size or type.
    """
    pages, shown = [], []
    with _opened(path, content) as image:
        for place in range(getattr(image, "n_frames", 1)):
            try:
                image.seek(place)
                page = ImageOps.exif_transpose(image)
            except Exception as error:  # of all kinds, on damaged files
                raise incomplete(path) from error
            if page.mode != "P":
                raise Unusable(
                    f"{path}: {ALIKE}, got a palette in page 1 and none in page {place + 1}"
                )
            pages.append(np.asarray(page))
            shown.append(np.asarray(page.convert("RGBA")).reshape(-1, 4))
    indices = _stacked(path, pages) if frames else pages[0]
    colours = np.zeros((256, 4), np.uint8)
    colours[:, 3] = 255
    used, first = np.unique(indices, return_index=True)
    colours[used] = np.concatenate(shown)[first]
    return indices, colours


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return an array [h w ...], stored in an EXIF orientation, as viewers show it."""
    if orientation not in UPRIGHT:
        return pixels
    return np.ascontiguousarray(UPRIGHT[orientation](pixels))


def incomplete(path: str) -> Unusable:
    return Unusable(f"{path}: is not a complete {FORMATS} file")


def _opened(path: str, content: bytes) -> Image.Image:
    """Return a file as Pillow decodes it."""
    try:
        image = Image.open(io.BytesIO(content))
        image.load()
    except MemoryError:
        raise
    except Exception as error:  # of all kinds, on damaged files
        raise incomplete(path) from error
    return image


def _several(path: str, count: int, format: str) -> Unusable:
    """Say that a file holds more than one image, and how a clip is read."""
    if format != "TIFF":
        return Unusable(f"{path}: must hold one image, got {count} frames")
    return Unusable(f"{path}: must hold one image, got {count} pages; a clip needs --frames")


def _stacked(path: str, pages: list[NDArray[Any]]) -> NDArray[Any]:
    """Return the frames of a clip as one array [t h w] or [t h w c]."""
    first = pages[0]
    for place, page in enumerate(pages, start=1):
        if (page.shape, page.dtype) != (first.shape, first.dtype):
            raise Unusable(
                f"{path}: {ALIKE}, got {_kind(first)} in page 1 and {_kind(page)} in page {place}"
            )
    return np.stack(pages)


def _kind(page: NDArray[Any]) -> str:
    height, width = page.shape[:2]
    return f"{width} x {height} {'grey' if page.ndim == 2 else 'RGB'} {page.dtype}"


def _pixels_of(image: Image.Image) -> NDArray[Any]:
    """Return a frame as Pillow decodes it: grey, RGB or RGBA."""
    if image.mode not in ("L", "RGB", "RGBA") and not image.mode.startswith("I;16"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    pixels = np.asarray(image)
    return pixels.astype(pixels.dtype.newbyteorder("="))


def _decode_tiff(path: str, content: bytes) -> list[NDArray[Any]]:
    """Return the pages of a TIFF file, in RGB or RGBA order."""
    try:
        pages = pages_of(content)
    except struct.error as error:
        raise incomplete(path) from error
    check_pages(path, pages)
    if not any(page.needs_pillow for page in pages):
        found = _opencv_pages(content)
        if found and len(found) == len(pages):
            return [_in_rgb(path, page) for page in found]
        if not all(page.fits_pillow for page in pages):
            raise incomplete(path)
    # perhaps with a compression that OpenCV does not know
    decoded = []
    with _opened(path, content) as image:
        try:
            for place in range(getattr(image, "n_frames", 1)):
                image.seek(place)
                decoded.append(_pixels_of(image))
        except Exception as error:  # of all kinds, on damaged files
            raise incomplete(path) from error
    return decoded


def _opencv_pages(content: bytes) -> list[NDArray[Any]]:
    """Return the pages as they are stored, in BGR or BGRA order; none of a damaged file."""
    data = np.frombuffer(content, np.uint8)
    try:
        if is_tiff(content):
            return list(cv2.imdecodemulti(data, cv2.IMREAD_UNCHANGED)[1])
        page = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return []
    return [] if page is None else [page]


def _in_rgb(path: str, page: NDArray[Any]) -> NDArray[Any]:
    """Return a page of OpenCV in RGB or RGBA order."""
    pixels = np.asarray(page)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise Unusable(f"{path}: must have unsigned 8 or 16 bits, got {pixels.dtype}")
    if pixels.ndim == 2:
        return pixels
    return np.ascontiguousarray(pixels[..., [2, 1, 0, 3][: pixels.shape[2]]])


def _orientation(image: Image.Image, content: bytes) -> int:
    # Pillow decodes a PNG to look for EXIF data after the pixels; most have none.
    if image.format == "PNG" and not any(mark in content for mark in MARKS):
        return 1
    found = image.getexif().get(ORIENTATION, 1)
    return found if found in UPRIGHT else 1


def _transparent(image: Image.Image) -> int | None:
    found = image.info.get("transparency")
    if not isinstance(found, int) or image.mode not in ("1", "L", "I;16"):
        return None
    return min(255 * found, 255) if image.mode == "1" else found


def _is_lossy(image: Image.Image, content: bytes) -> bool:
    if image.format == "WEBP":
        return b"VP8 " in content[:64]
    return image.format in ("JPEG", "MPO") or "jpeg" in str(image.info.get("compression", ""))
