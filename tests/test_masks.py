"""Claims about mask files: which pixels are which label, and which files are refused."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sasaug

pytest.importorskip("cv2", reason="needs the extra `cli`")
pytest.importorskip("PIL", reason="needs the extra `cli`")

import cv2
from PIL import Image

from pictures import disc, load, picture, write
from sasaug.folder import Job, expand, masks
from sasaug.folder.job import Unusable

PALETTE_NOTE = "palette mask: its indices are the labels"
SOFT_NOTE = "mask with soft edges: values from half its maximum on count as object"
LOSSY_NOTE = "mask with lossy compression: values from half its maximum on count as object"
VOC = [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0]
WHITE_GROUND = [255, 255, 255, 255, 0, 0, 0, 255, 0, 0, 0, 255]


def file(image, format="PNG", **options):
    """Return a PIL image or an array as the bytes of a file."""
    stream = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(stream, format, **options)
    return stream.getvalue()


def decode(content, threshold=None):
    """Return a mask, and what was noted of it."""
    notes = []
    mask, _ = masks.decode_mask("x", content, threshold, notes)
    return mask, dict(notes)


def refused(content, text, threshold=None):
    with pytest.raises(Unusable, match=text) as error:
        decode(content, threshold)
    assert str(error.value).startswith("x: ")


def regions():
    """A label map of three labels."""
    label = np.zeros((90, 120), np.uint8)
    label[10:40, 20:70], label[50:70, 30:60], label[50:70, 80:100] = 1, 2, 3
    return label


def with_palette(indices, palette):
    image = Image.fromarray(indices).convert("P")
    image.putpalette(palette + [0] * (768 - len(palette)))
    return image


def softened(mask, scale=4):
    """Return a mask with an anti-aliased edge, as an image editor draws it."""
    height, width = mask.shape
    small = cv2.resize(mask, (width // scale, height // scale), interpolation=cv2.INTER_AREA)
    return np.asarray(small)


# Palettes


@pytest.mark.parametrize("palette", [VOC, WHITE_GROUND])
@pytest.mark.parametrize(
    ("format", "options"), [("PNG", {}), ("GIF", {}), ("TIFF", {}), ("BMP", {})]
)
def test_indices_of_a_palette_are_the_labels(palette, format, options):
    mask, notes = decode(file(with_palette(regions(), palette), format, **options))
    assert np.array_equal(mask, regions())
    assert notes == {PALETTE_NOTE: "x"}


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_indices_of_small_palettes_are_the_labels(bits):
    indices = regions() % (1 << bits)
    mask, _ = decode(file(with_palette(indices, VOC), bits=bits))
    assert np.array_equal(mask, indices)


def test_palette_masks_come_out_with_their_labels(tmp_path):
    for name, palette in (("voc", VOC), ("white_ground", WHITE_GROUND)):
        write(tmp_path / f"images/{name}.png", picture(0, (90, 120)))
        (tmp_path / "masks").mkdir(exist_ok=True)
        (tmp_path / f"masks/{name}.png").write_bytes(file(with_palette(regions(), palette)))
    job = Job(tmp_path / "images", tmp_path / "masks", tmp_path / "out", sasaug.SAS(p=0.0))
    report = expand(job)
    assert report.notes == {PALETTE_NOTE: ["voc.png", "white_ground.png"]}
    for name in ("voc", "white_ground"):
        assert np.array_equal(load(job.out / f"masks/{name}_000.png"), regions())


def test_background_at_another_index_of_a_palette_is_refused():
    inverted = with_palette(1 - regions().clip(max=1), [255, 255, 255, 0, 0, 0])
    refused(file(inverted), "index 0 of a palette must be the background, but black is index 1")
    unused = with_palette(regions() + 4, [*[255] * 12, 0, 0, 0, 9, 9, 9, 7, 7, 0, 8, 8, 8])
    refused(file(unused), "but black is index 4; save the mask as grey labels")


def test_transparent_index_of_a_palette_is_the_background():
    image = with_palette(regions(), [9, 9, 9, 0, 0, 0, 0, 255, 0, 0, 0, 255])
    refused(file(image), "but black is index 1")
    mask, _ = decode(file(image, transparency=0))
    assert np.array_equal(mask, regions())
    refused(file(image, transparency=2), "but transparent is index 2")
    refused(file(image, transparency=bytes([0, 0, 255])), "but indices 0, 1 are transparent")


def test_void_of_voc_is_named():
    indices = regions()
    indices[10:12, 20:70] = 255
    mask, notes = decode(file(with_palette(indices, [*VOC, *[0] * 753, 224, 224, 192])))
    assert np.array_equal(mask, indices)
    assert notes == {PALETTE_NOTE: "x", masks.VOID_NOTE: "x"}


def test_grey_gif_is_a_grey_mask_whatever_its_palette():
    """GIF has no other way to be grey; encoders order palettes as they like."""
    inverted = with_palette(1 - disc() // 255, [255, 255, 255, 0, 0, 0])
    assert np.array_equal(decode(file(inverted, "GIF"))[0], disc())
    soft = softened(disc((160, 192), 60, centre=(80, 96)))
    mask, notes = decode(file(soft, "GIF"))
    assert np.array_equal(mask, np.where(soft >= 128, 255, 0)) and set(notes) == {SOFT_NOTE}


# Transparency


def rgba(colour, alpha):
    return np.dstack([colour if colour.ndim == 3 else np.repeat(colour[..., None], 3, 2), alpha])


@pytest.mark.parametrize("value", [0, 90, 255])
@pytest.mark.parametrize(
    ("format", "options"), [("PNG", {}), ("WEBP", {"lossless": True, "exact": True})]
)
def test_mask_in_the_transparency_is_found(value, format, options):
    colour = np.full((40, 48), value, np.uint8)
    mask, notes = decode(file(rgba(colour, disc()), format, **options))
    assert np.array_equal(mask, disc())
    assert notes == {"mask taken from the transparency of its file": "x"}


def test_soft_transparency_is_parted_at_half():
    soft = softened(disc((160, 192), 60, centre=(80, 96)))
    mask, notes = decode(file(rgba(np.full_like(soft, 255), soft)))
    assert np.array_equal(mask, np.where(soft >= 128, 255, 0)) and SOFT_NOTE in notes


def test_transparency_that_agrees_with_the_colours_changes_nothing():
    mask, notes = decode(file(rgba(disc(value=7), disc())))
    assert np.array_equal(mask, disc(value=7)) and notes == {}
    mask, notes = decode(file(rgba(disc(value=7), np.full((40, 48), 80, np.uint8))))
    assert np.array_equal(mask, disc(value=7)) and notes == {}


def test_transparency_that_contradicts_the_colours_is_refused():
    text = "its colours and its transparency disagree on the background"
    refused(file(rgba(255 - disc(), disc())), text)
    key = Image.fromarray(255 - disc())
    refused(file(key, transparency=255), text)
    assert np.array_equal(decode(file(key, transparency=0))[0], 255 - disc())
    one_bit = Image.fromarray(255 - disc()).convert("1")
    refused(file(one_bit, transparency=1), text)
    faint = rgba(np.full((40, 48), 9, np.uint8), np.maximum(disc(), 90))
    refused(file(faint), "has one colour and no fully transparent pixel")


# Soft edges and lossy compression


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_jpeg_mask_is_parted_at_half_of_its_maximum(quality):
    hard = disc((160, 192), 50, centre=(80, 96))
    content = file(hard, "JPEG", quality=quality)
    stored = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    mask, notes = decode(content)
    assert np.array_equal(mask, np.where(stored >= (int(stored.max()) + 1) // 2, 255, 0))
    assert (mask != hard).mean() < 0.001
    kept, all_of_them = np.count_nonzero(mask), np.count_nonzero(stored)
    assert notes == {LOSSY_NOTE: f"x ({kept:,} of {all_of_them:,} non-zero pixels)"}


@pytest.mark.parametrize(
    ("format", "options"), [("WEBP", {"quality": 60}), ("TIFF", {"compression": "jpeg"})]
)
def test_other_lossy_masks_are_parted_too(format, options):
    hard = disc((160, 192), 50, centre=(80, 96))
    image = Image.fromarray(hard).convert("RGB")
    mask, notes = decode(file(image, format, **options))
    assert (mask != hard).mean() < 0.003 and set(notes) == {LOSSY_NOTE}


def test_coloured_jpeg_mask_has_no_halo():
    hard = disc((160, 192), 50, centre=(80, 96))
    image = np.dstack([hard, np.zeros_like(hard), hard // 4])
    mask, notes = decode(file(image, "JPEG", quality=75))
    assert (mask != hard).mean() < 0.005
    assert set(notes) == {LOSSY_NOTE, "colour-coded mask: all colours but black count as one label"}


@pytest.mark.parametrize("levels", [(0, 1, 2, 3), (0, 80, 160, 240)])
def test_labels_that_a_jpeg_has_mixed_are_refused(levels):
    content = file(np.take(np.array(levels, np.uint8), regions()), "JPEG")
    refused(content, "lossy compression has mixed its labels; save it as PNG, or give --mask-thre")
    stored = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(decode(content, threshold=2)[0], np.where(stored >= 2, 255, 0))


@pytest.mark.parametrize("scale", [2, 4, 5])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_soft_edges_are_parted_at_half(scale, dtype):
    high = np.iinfo(dtype).max
    hard = (disc((200, 240), 71, centre=(100, 120)) > 0).astype(dtype) * dtype(high)
    soft = softened(hard, scale)
    mask, notes = decode(file(soft))
    assert np.array_equal(mask, np.where(soft >= (int(soft.max()) + 1) // 2, 255, 0))
    kept, all_of_them = np.count_nonzero(mask), np.count_nonzero(soft)
    assert kept < all_of_them
    assert notes == {SOFT_NOTE: f"x ({kept:,} of {all_of_them:,} non-zero pixels)"}


@pytest.mark.parametrize("sigma", [1, 3, 9])
def test_blurred_masks_are_soft(sigma):
    assert masks.is_soft(cv2.GaussianBlur(disc((200, 240), 70, centre=(100, 120)), None, sigma))


def rings():
    """Labels inside one another, as walls of vessels are drawn."""
    shape, centre = (160, 192), (80, 96)
    return sum(disc(shape, radius, 60, centre) for radius in (70, 50, 30, 10))


def lines():
    """Labels that are thin lines, as needles are, beside an object."""
    labels = disc((60, 60), 9, 200, (45, 12))
    for column, value in ((30, 60), (40, 90), (50, 120)):
        labels[:, column] = value
    return labels


@pytest.mark.parametrize(
    "labels",
    [
        regions(),
        regions() * 80,
        rings(),
        lines(),
        disc(),
        disc(value=1),
        disc(value=100) + disc(radius=6, value=100),
        np.zeros((40, 48), np.uint8),
        np.full((40, 48), 200, np.uint8),
        np.repeat(np.arange(0, 240, 40, dtype=np.uint8), 8)[None].repeat(20, 0),
        np.kron(np.random.default_rng(0).integers(0, 256, (9, 9)), np.ones((5, 5))).astype(
            np.uint8
        ),
        np.where(np.eye(60, dtype=bool), 100, 0).astype(np.uint8)
        + disc((60, 60), 9, 200, (10, 50)),
    ],
)
def test_label_maps_keep_their_values(labels):
    mask, notes = decode(file(labels))
    assert np.array_equal(mask, labels)
    assert not any("count as object" in note for note in notes)


@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.sampled_from([3, 4, 7]))
@settings(max_examples=60, deadline=None)
def test_label_maps_of_any_labels_are_never_soft(seed, count, size):
    """Random regions of 3 x 3 pixels and more, in any order."""
    random = np.random.default_rng(seed)
    labels = random.choice(256, count, replace=False)
    small = random.choice(labels, (8, 9))
    assert not masks.is_soft(np.kron(small, np.ones((size, size))).astype(np.uint8))


# The threshold


def test_threshold_is_taken_as_it_is_given():
    grey = np.repeat(np.arange(0, 250, 25, dtype=np.uint8), 5)[None].repeat(20, 0)
    for threshold in (1, 25, 100, 101, 255, 65535):
        mask, notes = decode(file(grey), threshold)
        assert np.array_equal(mask, np.where(grey >= threshold, 255, 0))
        kept = f"x ({np.count_nonzero(mask):,} of {np.count_nonzero(grey):,} non-zero pixels)"
        assert notes[f"mask threshold: values from {threshold} on count as object"] == kept


def test_threshold_of_nought_keeps_every_value():
    soft = softened(disc((160, 192), 60, centre=(80, 96)))
    mask, notes = decode(file(soft), 0)
    assert np.array_equal(mask, soft) and notes == {}
    jpeg = file(disc(), "JPEG")
    stored = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(decode(jpeg, 0)[0], stored)


def test_threshold_leaves_labels_of_palettes_alone():
    assert np.array_equal(decode(file(with_palette(regions(), VOC)), 2)[0], regions())


# Whole images


def test_mask_that_covers_the_whole_image_is_named(tmp_path):
    write(tmp_path / "images/a.png", picture(0))
    write(tmp_path / "images/b.png", picture(1))
    write(tmp_path / "masks/a.png", 255 - disc(value=254))
    write(tmp_path / "masks/b.png", disc())
    job = Job(tmp_path / "images", tmp_path / "masks", tmp_path / "out", sasaug.SAS())
    assert expand(job).notes == {"mask covers the whole image": ["a.png"]}
