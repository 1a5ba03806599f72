"""Claims about reading image files: upright, complete, one frame, at their full depth."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest

import sasaug

pytest.importorskip("cv2", reason="needs the extra `cli`")
pytest.importorskip("PIL", reason="needs the extra `cli`")

import cv2
from PIL import Image, ImageOps

from pictures import INCOMPLETE, disc, load, picture, write
from sasaug.folder import Job, expand, reading

ORIENTATION = 0x0112
AS_IS = sasaug.SAS(p=0.0)


def smooth(shape=(40, 48)):
    """An image without symmetry that lossy compression hardly changes."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    return (3 * x + y).astype(np.uint8)


def encoded(image, format, orientation=1, **options):
    """Return an array as a file that stores it as it is and declares an orientation."""
    stream = io.BytesIO()
    if format == "TIFF":
        options["tiffinfo"] = {ORIENTATION: orientation}
    else:
        options["exif"] = Image.Exif()
        options["exif"][ORIENTATION] = orientation
    Image.fromarray(image).save(stream, format, **options)
    return stream.getvalue()


def as_viewers_show(content):
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))


def stored(upright, orientation):
    """Return the array that is upright once turned by this orientation."""
    order = np.arange(upright.size).reshape(upright.shape)
    for shape in (upright.shape, upright.shape[::-1]):
        plain = np.arange(upright.size).reshape(shape)
        turned = reading.upright(plain, orientation)
        if turned.shape == order.shape:
            result = np.empty_like(plain)
            result.ravel()[turned.ravel()] = np.arange(upright.size)
            return upright.ravel()[result].astype(upright.dtype)
    raise AssertionError


def read(content, name="x"):
    return reading.decode_image(name, content, reading.header(name, content))


@pytest.fixture
def job(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    return Job(tmp_path / "images", tmp_path / "masks", tmp_path / "out", AS_IS, copies=1)


def rows(job):
    with (job.out / "manifest.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


# Orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("format", "options"),
    [("JPEG", {"quality": 95}), ("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})],
)
def test_images_are_read_as_viewers_show_them(format, options, orientation):
    content = encoded(smooth(), format, orientation, **options)
    shown = read(content)
    expected = as_viewers_show(content)
    assert expected.shape[:2] == ((40, 48) if orientation < 5 else (48, 40))
    if shown.ndim == 2 and expected.ndim == 3:
        expected = expected[..., 0]
    assert shown.shape == expected.shape
    assert np.abs(shown.astype(int) - expected).max() <= 3  # two decoders of JPEG
    assert reading.header("x", content).orientation == orientation


def test_sixteen_bits_in_three_channels_are_turned_too(job):
    image = picture(1, (40, 48, 3), np.uint16)
    plain = cv2.imencode(".png", image[..., ::-1])[1].tobytes()
    donor = encoded(smooth(), "PNG", 6)
    start = donor.index(b"eXIf") - 4
    length = int.from_bytes(donor[start : start + 4], "big") + 12
    content = plain[:33] + donor[start : start + length] + plain[33:]
    assert np.array_equal(read(content), np.rot90(image, -1))


@pytest.mark.parametrize("orientation", [3, 6])
def test_mask_drawn_on_the_shown_image_lies_on_the_object(job, orientation):
    """A JPEG that is stored turned, with a mask that was drawn on what every viewer shows."""
    upright = np.where(disc(centre=(14, 30), radius=8), 200, 20).astype(np.uint8)
    content = encoded(stored(upright, orientation), "JPEG", orientation, quality=95)
    (job.images / "x.jpg").write_bytes(content)
    write(job.masks / "x.png", disc(centre=(14, 30), radius=8))
    report = expand(job)
    assert report.skipped == []
    assert report.notes == {f"image turned upright from EXIF orientation {orientation}": ["x.jpg"]}
    shown, mask = load(job.out / "images/x_000.png"), load(job.out / "masks/x_000.png")
    assert np.array_equal(shown > 110, mask > 0)
    assert rows(job)[0]["source_orientations"] == f"{orientation} 1"


def test_masks_are_turned_and_recorded_too(job):
    upright = disc(centre=(14, 30), radius=8)
    write(job.images / "x.png", picture(0))
    (job.masks / "x_1.png").write_bytes(encoded(stored(upright, 8), "PNG", 8))
    palette = Image.fromarray(stored(upright, 5) // 255)
    palette = palette.convert("P")
    palette.putpalette([0, 0, 0, 200, 0, 0])
    exif = Image.Exif()
    exif[ORIENTATION] = 5
    palette.save(job.masks / "x_2.png", exif=exif)
    expand(replace(job, pattern="{stem}_*"))
    assert np.array_equal(load(job.out / "masks/x_000.png"), upright)
    assert rows(job)[0]["source_orientations"] == "1 8 5"


def test_mask_drawn_on_the_stored_image_is_named_with_the_reason(job):
    (job.images / "x.jpg").write_bytes(encoded(smooth(), "JPEG", 6))
    write(job.masks / "x.png", disc())
    assert expand(job).skipped == [
        "x.png: a mask must have its image's size, 40 x 48, got 48 x 40; the image has EXIF "
        "orientation 6 and the mask was drawn on it as stored: give the mask the same orientation"
    ]


@pytest.mark.parametrize("orientation", [0, 9, 300])
def test_orientations_that_do_not_exist_change_nothing(orientation):
    content = encoded(smooth(), "PNG", orientation)
    assert np.array_equal(read(content), smooth())


# Formats


@pytest.mark.parametrize("suffix", [".webp", ".gif", ".WEBP"])
def test_webp_and_gif_are_read(job, suffix):
    format = suffix[1:].upper()
    options = {"lossless": True} if format == "WEBP" else {}
    Image.fromarray(smooth()).save(job.images / f"x{suffix}", format, **options)
    Image.fromarray(disc()).save(job.masks / f"x{suffix}", format, **options)
    report = expand(job)
    assert (report.cases, report.skipped, report.notes) == (1, [], {})
    shown = load(job.out / "images/x_000.png")
    assert np.array_equal(shown if shown.ndim == 2 else shown[..., 0], smooth())
    assert np.array_equal(load(job.out / "masks/x_000.png"), disc())


def test_colours_of_a_gif_are_kept(job):
    image = np.zeros((40, 48, 3), np.uint8)
    image[:, :16, 0], image[:, 16:32, 1], image[:, 32:, 2] = 250, 130, 70
    assert np.array_equal(read(encoded_as_gif(image)), image)


def encoded_as_gif(image):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "GIF")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("format", "unit"),
    [
        ("GIF", "frames"),
        ("WEBP", "frames"),
        ("PNG", "frames"),
        ("TIFF", "pages; a clip needs --frames"),
    ],
)
@pytest.mark.parametrize("place", ["images", "masks"])
def test_animated_files_are_refused_with_their_number_of_frames(job, format, unit, place):
    write(job.images / "x.png", picture(0))
    write(job.masks / "x.png", disc())
    frames = [Image.fromarray(disc(radius=r)) for r in (4, 8, 12)]
    target = getattr(job, place) / "x.png"  # by content, whatever the name
    frames[0].save(target, format, save_all=True, append_images=frames[1:])
    assert expand(job).skipped == [f"x.png: must hold one image, got 3 {unit}"]


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.9])
def test_truncated_files_are_named(job, format, share):
    stream = io.BytesIO()
    Image.fromarray(picture(0)).convert("P").save(stream, format)
    content = stream.getvalue()
    write(job.images / "x.png", picture(0))
    (job.masks / "x.png").write_bytes(content[: int(share * len(content))])
    assert expand(job).skipped == [f"x.png: {INCOMPLETE}"]


def test_image_beyond_pillows_limit_is_named(job, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    write(job.images / "x.png", picture(0))
    write(job.masks / "x.png", disc())
    (reason,) = expand(job).skipped
    assert reason.startswith("x.png: Image size (1920 pixels) exceeds limit of 200 pixels")


# Depth


@pytest.mark.parametrize(
    ("top", "is_noted"), [(4095, True), (8191, True), (8192, False), (0, False)]
)
def test_sixteen_bit_images_that_use_little_of_their_range_are_noted(job, top, is_noted):
    image = np.full((40, 48), top // 2, np.uint16)
    image[0, 0] = top
    write(job.images / "x.png", image)
    write(job.masks / "x.png", disc())
    notes = expand(job).notes
    note = (
        "16-bit image below an eighth of full scale: noise is relative to 65535; --value-range 0 N "
        "makes it relative to N, such as 4095 for 12-bit data"
    )
    assert notes == ({note: [f"x.png (greatest value {top:,})"]} if is_noted else {})
