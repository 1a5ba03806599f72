"""Claims about one image with its masks, as arrays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import sasaug

pytest.importorskip("cv2", reason="needs the extra `cli`")
pytest.importorskip("PIL", reason="needs the extra `cli`")

import cv2

from pictures import DATA, EMPTY, INCOMPLETE, disc, load, needs_data, picture, write
from sasaug.folder import Job, expand, masks, pairs, sample_id

EVERY = sasaug.SAS(p=1.0, apply_to="all")


@pytest.fixture
def one(tmp_path):
    """Return a function that makes a job of one image and its masks."""

    def make(image, mask, image_name="x.png", mask_name="x.png", **changes):
        write(tmp_path / "images" / image_name, image)
        write(tmp_path / "masks" / mask_name, mask)
        job = Job(tmp_path / "images", tmp_path / "masks", tmp_path / "out", EVERY, copies=2)
        return replace(job, **changes)

    return make


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp"])
def test_truncated_files_are_named(one, suffix):
    job = one(picture(0), disc(), f"x{suffix}")
    path = job.images / f"x{suffix}"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert expand(job).skipped == [f"x{suffix}: {INCOMPLETE}"]


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n"])
def test_files_that_are_no_pictures_are_named(one, content):
    job = one(picture(0), disc())
    (job.masks / "x.png").write_bytes(content)
    assert expand(job).skipped == [f"x.png: {INCOMPLETE}"]


def test_file_that_cannot_be_read_is_named(one):
    job = one(picture(0), disc())
    (job.masks / "x.png").unlink()
    (job.masks / "x.png").symlink_to("nowhere")
    assert expand(job).skipped == ["x.png: cannot be read (No such file or directory)"]


def test_several_pages_are_refused(one):
    job = one(picture(0), disc(), "x.tif")
    pages = [picture(0), picture(1)]
    (job.images / "x.tif").write_bytes(cv2.imencodemulti(".tif", pages)[1])
    assert expand(job).skipped == ["x.tif: must hold one image, got 2 pages; a clip needs --frames"]


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_other_depths_are_refused(one, dtype):
    job = one(picture(0).astype(dtype), disc(), "x.tif")
    name = np.dtype(dtype).name
    assert expand(job).skipped == [f"x.tif: must have unsigned 8 or 16 bits, got {name}"]


def test_other_size_of_the_mask_is_named(one):
    job = one(picture(0), disc((40, 50)))
    assert expand(job).skipped == ["x.png: a mask must have its image's size, 48 x 40, got 50 x 40"]


def unchanged(one, image, mask, **changes):
    """Expand one image without changing it, and return the outputs and the report."""
    job = one(image, mask, augment=sasaug.SAS(p=0.0), copies=1, **changes)
    report = expand(job)
    assert report.skipped == []
    out = job.out
    return load(out / "images/x_000.png"), load(out / "masks/x_000.png"), report


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(40, 48), (40, 48, 3)])
def test_grey_and_rgb_of_8_and_16_bits_are_kept(one, suffix, dtype, shape):
    image = picture(1, shape, dtype)
    shown, mask, report = unchanged(one, image, disc(), image_name=f"x{suffix}")
    assert shown.dtype == dtype and np.array_equal(shown, image)
    assert np.array_equal(mask, disc()) and report.notes == {}


def test_channels_are_in_rgb_order_for_sas(one):
    image = picture(1, (40, 48, 3))
    aug = sasaug.SAS(p=1.0, apply_to="all", per_channel=True)
    job = one(image, disc(), augment=aug, copies=1)
    expand(job)
    ids = np.array([sample_id("x.png", 0)], np.uint64)
    plan = aug.plan(disc()[None], seed=0, ids=ids)
    x, _ = sasaug.apply(plan, image[None], disc()[None])
    assert np.array_equal(load(job.out / "images/x_000.png"), x[0])


def test_alpha_channel_of_an_image_is_dropped_and_noted(one):
    image = picture(1, (40, 48, 4))
    write_bgra = np.ascontiguousarray(image[..., [2, 1, 0, 3]])
    job = one(picture(1), disc(), augment=sasaug.SAS(p=0.0), copies=1)
    (job.images / "x.png").write_bytes(cv2.imencode(".png", write_bgra)[1])
    report = expand(job)
    assert np.array_equal(load(job.out / "images/x_000.png"), image[..., :3])
    assert report.notes == {"alpha channel of an image dropped": ["x.png"]}


def test_colour_mask_of_equal_channels_is_grey_and_keeps_its_labels(one):
    mask = np.repeat(disc(value=7)[..., None], 3, axis=2)
    _, shown, report = unchanged(one, picture(0), mask)
    assert np.array_equal(shown, disc(value=7)) and report.notes == {}


def test_colour_coded_mask_becomes_one_label_and_is_noted(one):
    mask = np.zeros((40, 48, 3), np.uint8)
    mask[5:30, 5:20, 2] = 64
    mask[5:30, 20:40, 0] = 128
    _, shown, report = unchanged(one, picture(0), mask)
    assert np.array_equal(shown, mask.any(axis=2).astype(np.uint8))
    assert list(report.notes) == ["colour-coded mask: every colour but black counts as label 1"]


def test_sixteen_bit_masks_are_kept(one):
    mask = disc().astype(np.uint16) * 257
    _, shown, _ = unchanged(one, picture(0), mask)
    assert shown.dtype == np.uint16 and np.array_equal(shown, mask)


def test_several_masks_are_merged(one, tmp_path):
    write(tmp_path / "masks/x_2.png", disc(radius=4, centre=(6, 6)))
    first = disc(radius=9, centre=(28, 30))
    _, shown, _ = unchanged(one, picture(0), first, mask_name="x_1.png", pattern="{stem}_*")
    assert np.array_equal(shown, first | disc(radius=4, centre=(6, 6)))


def test_empty_mask_passes_and_is_counted(one):
    _, shown, report = unchanged(one, picture(0), disc(value=0))
    assert not shown.any()
    assert report.notes == {
        "empty mask: the sample counts as small and is not transformed by default": ["x.png"]
    }


def ellipse(thickness, end=360):
    mask = np.zeros((200, 300), np.uint8)
    cv2.ellipse(mask, (150, 100), (110, 70), 12, 0, end, 255, thickness)
    return mask


@pytest.mark.parametrize(
    ("mask", "is_outline"),
    [
        (ellipse(2), True),
        (ellipse(5), True),
        (ellipse(2, end=300), True),
        (ellipse(-1), False),
        (ellipse(-1) - cv2.erode(ellipse(-1), np.ones((61, 61))), False),
        (disc((200, 300), 2), False),
        (np.eye(200, 300, dtype=np.uint8), False),
        (np.zeros((200, 300), np.uint8), False),
        (np.ones((1, 300), np.uint8), False),
    ],
)
def test_outlines_are_told_from_regions(mask, is_outline):
    assert masks.looks_like_outline(mask) == is_outline


def test_outline_mask_is_noted(one):
    _, _, report = unchanged(one, picture(0, (200, 300)), ellipse(2))
    assert list(report.notes) == ["mask looks like an outline, not a filled region: fill it first"]


# The published layouts


@needs_data
def test_published_busi_layout_is_read(tmp_path):
    root = DATA / "originals/Dataset_BUSI_with_GT"
    aug = sasaug.SAS(canvas=64)
    job = Job(root, root, tmp_path / "out", aug, copies=1, pattern="{stem}_mask*")
    report = expand(job, workers=2)
    assert (report.cases, report.skipped) == (13, [])
    empty = report.notes[EMPTY]
    assert empty == ["normal/normal (1)_mask.png", "normal/normal (5)_mask.png"]
    each = pairs.find(root, root, "{stem}_mask*", True)
    assert len(each.cases) == 21


@needs_data
def test_published_hc18_outlines_are_named(tmp_path):
    root = DATA / "originals/hc18/training_set"
    aug = sasaug.SAS(canvas=64)
    job = Job(root, root, tmp_path / "out", aug, copies=1, pattern="{stem}_Annotation")
    report = expand(job, workers=2)
    assert (report.cases, report.skipped) == (5, [])
    (files,) = report.notes.values()
    assert len(files) == 5
