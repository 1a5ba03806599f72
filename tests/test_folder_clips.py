"""Claims about clips in the folder command: files of many pages, one case and one plan each."""

from __future__ import annotations

import csv
import json
import tarfile
from dataclasses import replace

import numpy as np
import pytest

import sasaug

pytest.importorskip("cv2", reason="needs the extra `cli`")
pytest.importorskip("PIL", reason="needs the extra `cli`")
pytest.importorskip("typer", reason="needs the extra `cli`")

import cv2
from PIL import Image
from typer.testing import CliRunner

from pictures import disc, load, load_clip, picture, tree, write, write_clip
from sasaug.cli import app
from sasaug.folder import Job, expand

FRAMES = 5
CLIPS = sasaug.SAS(p=1.0, apply_to="all", frames=True)
MULTI_PAGE = "must hold one image, got 5 pages; a clip needs --frames"


def moving(shape=(40, 48)):
    """The mask of an object that moves and changes its size; the third frame has most of it."""
    return np.stack([disc(shape, r, 255, (20, 18 + k)) for k, r in enumerate((8, 10, 13, 9, 0))])


@pytest.fixture
def job(tmp_path):
    """A grey clip, a clip in colour of 16 bits, and an image: a clip of one frame."""
    write_clip(tmp_path / "images/grey.tif", picture(0, (FRAMES, 40, 48)))
    write_clip(tmp_path / "images/rgb.tif", picture(1, (FRAMES, 40, 48, 3), np.uint16))
    write(tmp_path / "images/still.png", picture(2))
    for name in ("grey", "rgb"):
        write_clip(tmp_path / f"masks/{name}.tif", moving())
    write(tmp_path / "masks/still.png", disc())
    return Job(tmp_path / "images", tmp_path / "masks", tmp_path / "out", CLIPS, copies=3, seed=7)


def table(out):
    with (out / "manifest.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


# What is written


def test_outputs_are_what_sas_gives_for_clips(job):
    report = expand(job)
    assert (report.cases, report.outputs, report.skipped) == (3, 9, [])
    assert report.notes == {}
    sources = {
        "grey": (picture(0, (FRAMES, 40, 48)), moving()),
        "rgb": (picture(1, (FRAMES, 40, 48, 3), np.uint16), moving()),
        "still": (picture(2)[None], disc()[None]),
    }
    rows = table(job.out)
    assert len(rows) == 9 and len({row["id"] for row in rows}) == 9  # one for each copy of a clip
    for row in rows:
        name = row["source_image"].partition(".")[0]
        image, mask = sources[name]
        x, y = CLIPS(image[None], mask[None], seed=7, ids=[int(row["id"])])
        assert row["image"] == f"images/{name}_00{row['copy']}.tif"
        assert np.array_equal(load_clip(job.out / row["image"]), x[0])
        assert np.array_equal(load_clip(job.out / row["mask"]), y[0])
        assert int(row["frames"]) == len(mask)
        assert int(row["source_roi"]) == np.count_nonzero(mask)
        assert int(row["roi"]) == np.count_nonzero(y)
    settings = json.loads((job.out / "settings.json").read_text())["settings"]
    assert settings["frames"] is True


def test_a_clip_of_one_frame_is_the_image(job, tmp_path):
    images = replace(job, augment=replace(CLIPS, frames=False), out=tmp_path / "plain")
    for folder in (job.images, job.masks):
        for name in ("grey", "rgb"):
            (folder / f"{name}.tif").unlink()
    expand(job), expand(images)
    for k in range(3):
        for kind in ("images", "masks"):
            (clip,) = load_clip(job.out / f"{kind}/still_00{k}.tif")
            assert np.array_equal(clip, load(images.out / f"{kind}/still_00{k}.png"))
    first, second = table(job.out), table(images.out)
    assert {row["frames"] for row in first + second} == {"1"}
    assert [row["strength"] for row in first] == [row["strength"] for row in second]


def test_small_goes_by_all_frames_of_a_clip(job):
    """In one frame the object is large; over all frames it is small."""
    masks = np.zeros((FRAMES, 40, 48), np.uint8)
    masks[2, :14, :14] = 1  # 10 % of its frame, 2 % of the clip
    for name in ("grey", "rgb"):
        write_clip(job.masks / f"{name}.tif", masks)
    report = expand(replace(job, augment=replace(CLIPS, apply_to="large")))
    assert report.transformed == 3  # the still's


def test_masks_of_a_clip_are_read_by_one_rule(job):
    """Soft edges are parted at half of the clip's maximum, palettes give indices, masks merge."""
    soft = np.stack([cv2.GaussianBlur(mask, None, 2) for mask in moving()])
    write_clip(job.masks / "grey.tif", soft)
    pages = [Image.fromarray(mask // 255 * 2).convert("P") for mask in moving()]
    for page in pages:
        page.putpalette([0, 0, 0, 9, 0, 0, 0, 9, 0])
    pages[0].save(job.masks / "rgb.tif", save_all=True, append_images=pages[1:])
    report = expand(replace(job, augment=replace(CLIPS, p=0.0)))
    assert report.skipped == []
    half = (int(soft.max()) + 1) // 2
    assert np.array_equal(load_clip(job.out / "masks/grey_000.tif"), np.where(soft >= half, 255, 0))
    assert np.array_equal(load_clip(job.out / "masks/rgb_000.tif"), moving() // 255 * 2)
    notes = {note.partition(":")[0]: files for note, files in report.notes.items()}
    assert notes["palette mask"] == ["rgb.tif"] and "mask with soft edges" in notes


# What is refused


def skipped(job):
    return expand(job).skipped


def test_a_clip_without_the_option_is_told_it(job):
    plain = replace(job, augment=replace(CLIPS, frames=False))
    assert skipped(plain) == [f"{name}.tif: {MULTI_PAGE}" for name in ("grey", "rgb")]


def test_masks_of_another_number_of_pages_are_refused(job):
    write_clip(job.masks / "grey.tif", moving()[:4])
    write_clip(job.masks / "rgb.tif", moving()[2:3])
    assert skipped(job) == [
        f"{name}.tif: a mask must have as many pages as its image, 5, got {count}"
        for name, count in (("grey", 4), ("rgb", 1))
    ]


def test_frames_that_differ_are_refused(job):
    image = picture(0)
    for pages, said in (
        ([image, image[:30]], "48 x 30 grey uint8 in page 2"),
        ([image, np.dstack([image] * 3)], "48 x 40 RGB uint8 in page 2"),
        ([image, image, image.astype(np.uint16)], "48 x 40 grey uint16 in page 3"),
    ):
        write_clip(job.images / "grey.tif", pages)
        assert skipped(replace(job, out=job.out / said[:5])) == [
            "grey.tif: the frames of a clip must have one size and type, got 48 x 40 grey uint8 "
            f"in page 1 and {said}"
        ]


def test_masks_of_another_size_are_refused(job):
    write_clip(job.masks / "grey.tif", moving()[:, :30])
    assert skipped(job) == ["grey.tif: a mask must have its image's size, 48 x 40, got 48 x 30"]


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_clips_of_other_formats_are_refused(job, format):
    pages = [Image.fromarray(frame) for frame in moving()]
    (job.images / "grey.tif").unlink()
    target = job.images / "grey.png"
    pages[0].save(target, format, save_all=True, append_images=pages[1:])
    (reason,) = skipped(job)
    assert reason.startswith(
        f"grey.png: a clip must be a TIFF file with a page for each frame, got {format} with "
    )


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_cut_clips_are_named(job, share):
    """No clip loses its last frames in silence."""
    content = (job.images / "grey.tif").read_bytes()
    (job.images / "grey.tif").write_bytes(content[: int(share * len(content))])
    (reason,) = skipped(job)
    assert reason == "grey.tif: is not a complete PNG, JPEG, TIFF, BMP, WebP or GIF file"


# Runs


def test_runs_of_clips_resume_and_share(job, tmp_path):
    expand(job)
    again = expand(job)
    assert (again.earlier, again.written) == (3, 0)
    for share in ((1, 2), (2, 2)):
        expand(replace(job, out=tmp_path / "shares"), shard=share)
    expand(replace(job, out=tmp_path / "shares"))
    assert tree(tmp_path / "shares") == tree(job.out)
    with pytest.raises(ValueError, match="was made with other settings"):
        expand(replace(job, augment=replace(CLIPS, frames=False)))


def test_tars_of_clips_hold_what_files_would(job):
    pytest.importorskip("webdataset", reason="needs the extra `webdataset`")
    expand(job)
    packed = replace(job, out=job.out.with_name("packed"), per_tar=3)
    expand(packed)
    with tarfile.open(packed.out / "000000.tar") as tar:
        members = {entry.name: tar.extractfile(entry).read() for entry in tar}
    assert members["grey_001.tif"] == (job.out / "images/grey_001.tif").read_bytes()
    assert members["grey_001.mask.tif"] == (job.out / "masks/grey_001.tif").read_bytes()
    assert json.loads(members["grey_001.json"])["frames"] == FRAMES
    again = Job(packed.out / "000000.tar", None, job.out.with_name("again"), CLIPS, copies=1)
    assert (expand(again).cases, expand(again).skipped) == (9, [])


def test_sheet_and_report_show_the_frame_with_the_largest_object(job):
    from sasaug.folder import sheet

    report = expand(job, preview=True, report=True)
    assert load(report.preview).ndim == 3
    text = report.report.read_text(encoding="utf-8")
    assert "3 cases, 9 outputs" in text
    loaded = sheet.decode(
        sheet.Case("grey", "grey.tif", ("grey.tif",), "grey"),
        [(folder / "grey.tif").read_bytes() for folder in (job.images, job.masks)],
        job,
    )
    shown = sheet.original(loaded, "grey")
    assert shown.caption == "grey · frame 3 of 5"
    assert np.array_equal(shown.image, picture(0, (FRAMES, 40, 48))[2])
    assert np.array_equal(shown.mask, moving()[2])
    (row, *_) = table(job.out)
    place = int(np.count_nonzero(load_clip(job.out / row["mask"]), axis=(1, 2)).argmax())
    tile = sheet.tile(job, row)
    assert np.array_equal(tile.image, load_clip(job.out / row["image"])[place])


def test_sizes_in_the_report_are_shares_of_all_frames(job):
    from sasaug.folder import report as page

    expand(job)
    shares = page._before(table(job.out)).shares
    roi = np.count_nonzero(moving()) / moving().size
    assert sorted(shares) == sorted([roi, roi, np.count_nonzero(disc()) / disc().size])
    assert max(page._after(table(job.out)).shares) <= max(shares) * 1.1


# The command line


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "300"})


def test_commands_take_frames(job, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = ["--images", job.images, "--masks", job.masks]
    result = run("augment", *folders, "--out", job.out, "--copies", 1)
    assert result.exit_code == 1 and f"skipped: grey.tif: {MULTI_PAGE}\n" in result.stderr
    result = run("augment", *folders, "--out", job.out, "--copies", 1, "--frames", "--force")
    assert result.exit_code == 0 and result.stderr.count("skipped") == 0
    assert load_clip(job.out / "images/grey_000.tif").shape == (FRAMES, 40, 48)
    again = run("augment", *folders, "--out", "again", "--config", job.out / "settings.json")
    assert again.exit_code == 0 and tree(tmp_path / "again") == tree(job.out)
    options = ["--case", "grey", "--kind", "speckle", "--scale", 1, "--out", "sheet.png"]
    refused = run("preview", *folders, *options)
    assert refused.exit_code == 2 and refused.stderr == f"error: grey.tif: {MULTI_PAGE}\n"
    assert run("preview", *folders, *options, "--frames").exit_code == 0
    assert load(tmp_path / "sheet.png").ndim == 3
