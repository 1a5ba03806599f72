"""Claims about TIFF files that OpenCV reads wrongly, or not at all."""

from __future__ import annotations

import io

import numpy as np
import pytest

pytest.importorskip("cv2", reason="needs the extra `cli`")
pytest.importorskip("PIL", reason="needs the extra `cli`")

from PIL import Image

from pictures import disc, picture
from sasaug.folder import masks, reading
from sasaug.folder.job import Unusable

ORIENTATION = 0x0112


def with_pillow(image, **options):
    stream = io.BytesIO()
    image.save(stream, "TIFF", **options)
    return stream.getvalue()


def with_tifffile(array, **options):
    tifffile = pytest.importorskip("tifffile", reason="writes what Pillow does not")
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, **options)
    return stream.getvalue()


def read(content):
    return reading.decode_image("x", content, reading.header("x", content))


def refused(content, text):
    for decode in (read, lambda content: masks.decode_mask("x", content, None, [])):
        with pytest.raises(Unusable) as error:
            decode(content)
        assert str(error.value) == f"x: {text}"


@pytest.mark.parametrize("orientation", [1, 6])
def test_colours_below_transparency_are_those_that_are_stored(orientation):
    """OpenCV multiplies them by the transparency, which would blacken the image."""
    colours, alpha = picture(0, (40, 48, 3)), disc()
    image = Image.fromarray(np.dstack([colours, alpha]))
    read_ = read(with_pillow(image, tiffinfo={ORIENTATION: orientation}))
    turned = np.rot90(np.dstack([colours, alpha]), {1: 0, 6: -1}[orientation])
    assert np.array_equal(read_, turned)


def test_mask_in_the_transparency_of_grey_is_found():
    grey = Image.fromarray(np.full((40, 48), 255, np.uint8))
    notes = []
    image = Image.merge("LA", [grey, Image.fromarray(disc())])
    mask, _ = masks.decode_mask("x", with_pillow(image), None, notes)
    assert np.array_equal(mask, disc())
    assert notes == [("mask taken from the transparency of its file", "x")]


@pytest.mark.parametrize("compression", ["zstd", "lzma", "tiff_lzw", "tiff_deflate", "packbits"])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_compressions_are_read_whoever_knows_them(compression, depth):
    image = picture(0, dtype=depth)
    try:
        content = with_pillow(Image.fromarray(image), compression=compression)
    except (OSError, RuntimeError, ValueError):
        pytest.skip("this Pillow does not write it")
    assert read(content).dtype == depth and np.array_equal(read(content), image)


@pytest.mark.parametrize("options", [{}, {"tile": (32, 32)}, {"bigtiff": True}, {"byteorder": ">"}])
@pytest.mark.parametrize(
    ("shape", "dtype", "photometric"),
    [
        ((40, 48), np.uint8, "minisblack"),
        ((40, 48), np.uint16, "minisblack"),
        ((40, 48, 3), np.uint8, "rgb"),
        ((40, 48, 3), np.uint16, "rgb"),
    ],
)
def test_layouts_of_a_file_change_no_pixel(options, shape, dtype, photometric):
    image = picture(0, shape, dtype)
    assert np.array_equal(read(with_tifffile(image, photometric=photometric, **options)), image)


def test_channels_stored_by_themselves():
    """OpenCV gives other pixels for 16 bits, without an error."""
    planes = picture(0, (3, 40, 48))
    how = {"photometric": "rgb", "planarconfig": "separate"}
    assert np.array_equal(read(with_tifffile(planes, **how)), np.moveaxis(planes, 0, -1))
    refused(
        with_tifffile(planes.astype(np.uint16) * 257, **how),
        "16-bit channels must be interleaved, as PNG has them, got 3 channels each stored by "
        "itself",
    )


@pytest.mark.parametrize("channels", [2, 5])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_channels_that_are_no_colours_are_refused(channels, dtype):
    """OpenCV would read the first of two, and of 16 bits neither."""
    how = {"photometric": "minisblack", "planarconfig": "contig"}
    refused(
        with_tifffile(picture(0, (40, 48, channels), dtype), **how),
        f"must be grey or RGB, with transparency or without, got {channels} channels",
    )
    if channels == 2 and dtype == np.uint16:
        refused(
            with_tifffile(picture(0, (40, 48, 2), dtype), **how, extrasamples=["unassalpha"]),
            "16-bit channels must be interleaved, as PNG has them, got 2 channels of grey and "
            "transparency",
        )


def test_cut_file_is_named():
    content = with_pillow(Image.fromarray(picture(0)), compression="tiff_lzw")
    for length in (8, len(content) // 2, len(content) - 200):
        refused(content[:length], "is not a complete PNG, JPEG, TIFF, BMP, WebP or GIF file")
