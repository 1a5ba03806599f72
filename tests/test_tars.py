"""Claims about WebDataset tars, read and written."""

from __future__ import annotations

import csv
import gc
import json
import random
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sasaug

pytest.importorskip("cv2", reason="needs the extra `cli`")
pytest.importorskip("PIL", reason="needs the extra `cli`")
pytest.importorskip("webdataset", reason="needs the extra `webdataset`")

import cv2
import webdataset as wds

from pictures import INCOMPLETE, disc, picture, tree, write
from processes import finish, finished, kill_at_random
from sasaug.folder import Job, expand

EVERY = sasaug.SAS(p=1.0, apply_to="all")
# WebDataset's own reader leaves closing to the collector of garbage.
leaves_files_open = pytest.mark.filterwarnings(
    "ignore:Exception ignored:pytest.PytestUnraisableExceptionWarning",
    "ignore:unclosed file:ResourceWarning",
)


def png(array):
    return cv2.imencode(".png", array)[1].tobytes()


def table(out):
    with (out / "manifest.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def write_tar(path, samples):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wds.TarWriter(str(path), encoder=False) as writer:
        for sample in samples:
            writer.write(sample)


def sample(key, seed, **fields):
    return {"__key__": key, "png": png(picture(seed)), "mask.png": png(disc())} | fields


def members(path):
    with tarfile.open(path) as tar:
        return [(entry.name, tar.extractfile(entry).read()) for entry in tar]


@pytest.fixture
def folder(tmp_path):
    """Five images with masks in folders, to be written to tars of two cases each."""
    for index in range(5):
        write(tmp_path / f"images/a/x{index}.png", picture(index))
        write(tmp_path / f"masks/a/x{index}.png", disc())
    images, masks = tmp_path / "images", tmp_path / "masks"
    return Job(images, masks, tmp_path / "out", EVERY, copies=3, seed=7, per_tar=2)


@pytest.fixture
def tars(tmp_path):
    """Three tars of two images each."""
    for index in range(3):
        samples = [sample(f"a/x{2 * index + k}", 2 * index + k) for k in range(2)]
        write_tar(tmp_path / f"in/t{index}.tar", samples)
    return Job(tmp_path / "in/t{0..2}.tar", None, tmp_path / "out", EVERY, copies=3, seed=7)


# What is written


def test_tars_of_a_folder_hold_what_files_would(folder, tmp_path):
    report = expand(folder)
    assert (report.cases, report.outputs, report.transformed, report.skipped) == (5, 15, 15, [])
    expand(replace(folder, out=tmp_path / "files", per_tar=None))
    assert sorted(path.name for path in folder.out.glob("*.tar")) == [
        "000000.tar", "000001.tar", "000002.tar",
    ]  # fmt: skip
    contents = {}
    for path in folder.out.glob("*.tar"):
        contents |= dict(members(path))
    assert len(contents) == 45
    for index in range(5):
        for copy in range(3):
            name = f"a/x{index}_00{copy}"
            for field, kind in (("png", "images"), ("mask.png", "masks")):
                path = tmp_path / "files" / kind / f"{name}.png"
                assert contents[f"{name}.{field}"] == path.read_bytes()


def test_json_says_what_was_done(folder):
    expand(folder)
    facts = [
        json.loads(content)
        for path in sorted(folder.out.glob("*.tar"))
        for name, content in members(path)
        if name.endswith(".json")
    ]
    ids = np.array([fact["id"] for fact in facts], np.uint64)
    masks = np.repeat(disc()[None], len(ids), axis=0)
    for fact, row in zip(facts, EVERY.plan(masks, seed=7, ids=ids).rows(), strict=True):
        assert all(fact[name] == row[name] for name in row.keys() - {"strength"})
        assert np.float32(fact["strength"]) == np.float32(row["strength"])
        assert (fact["source_roi"], fact["canvas"], fact["seed"]) == (441, [40, 48], 7)
        assert 0 < fact["roi"] <= 441


@leaves_files_open
def test_webdataset_reads_what_is_written(folder):
    expand(folder)
    urls = str(folder.out / "{000000..000002}.tar")
    data = wds.WebDataset(urls, shardshuffle=False).decode("rgb8").to_tuple("png", "mask.png")
    pairs = list(data)
    del data
    gc.collect()
    assert len(pairs) == 15
    assert all(x.shape == y.shape == (40, 48, 3) for x, y in pairs)


def test_tars_bear_no_trace_of_time_and_owner(folder):
    expand(folder)
    with tarfile.open(folder.out / "000000.tar") as tar:
        entries = tar.getmembers()
    assert {(e.mtime, e.uid, e.gid, e.uname, e.gname) for e in entries} == {(0, 0, 0, "", "")}
    assert [e.name for e in entries[:4]] == [
        "a/x0_000.json", "a/x0_000.mask.png", "a/x0_000.png", "a/x0_001.json",
    ]  # fmt: skip


def test_every_tar_has_its_row(folder):
    expand(folder)
    rows = table(folder.out)
    assert [row["tar"] for row in rows] == ["000000.tar", "000001.tar", "000002.tar"]
    assert [(row["cases"], row["outputs"]) for row in rows] == [("2", "6"), ("2", "6"), ("1", "3")]
    assert rows[0]["source"] == "a/x0.png to a/x1.png" and rows[0]["skipped"] == "[]"


def test_tar_gives_a_tar_of_the_same_name_and_the_same_pictures_as_a_folder(tars, folder):
    report = expand(tars)
    assert (report.cases, report.outputs, report.skipped) == (6, 18, [])
    assert [row["tar"] for row in table(tars.out)] == ["t0.tar", "t1.tar", "t2.tar"]
    expand(replace(folder, out=folder.out.with_name("packed")))
    ours, theirs = (
        {name: content for name, content in members(path) if name.endswith("png")}
        for path in (tars.out / "t1.tar", folder.out.with_name("packed") / "000001.tar")
    )
    assert len(ours) == 12 and ours == theirs


@leaves_files_open
@pytest.mark.parametrize("name", ["a.b.c", "50%.2e", "Müller", "y" * 120])
def test_names_survive_the_dots_of_webdataset(folder, name):
    write(folder.images / f"{name}.png", picture(9))
    write(folder.masks / f"{name}.png", disc())
    expand(replace(folder, per_tar=9))
    (path,) = folder.out.glob("*.tar")
    found = list(wds.WebDataset(str(path), shardshuffle=False))
    gc.collect()
    keys = [one["__key__"] for one in found if {"png", "mask.png", "json"} <= one.keys()]
    assert len(set(keys)) == 18
    facts = [json.loads(one["json"]) for one in found]
    assert sum(fact["source_image"] == f"{name}.png" for fact in facts) == 3


# What it does not depend on


def test_tars_do_not_depend_on_threads_shards_and_batches(folder, tars, tmp_path):
    for number, job in enumerate((folder, tars)):
        whole = replace(job, out=tmp_path / f"whole{number}")
        expand(whole, workers=3)
        job = replace(job, out=tmp_path / f"shared{number}")
        for i in (2, 1):
            expand(job, shard=(i, 2), workers=1)
        report = expand(job)
        assert (report.written, report.earlier) == (0, report.cases)
        assert tree(job.out) == tree(whole.out)


def test_killed_run_is_resumed_to_the_same_tars(tmp_path):
    for index in range(12):
        write(tmp_path / f"images/x{index}.png", picture(index, (200, 200, 3)))
        write(tmp_path / f"masks/x{index}.png", disc((200, 200), 40, 255, (100, 100)))
    folders = ["--images", tmp_path / "images", "--masks", tmp_path / "masks"]
    options = ["augment", *folders, "--copies", 8, "--per-tar", 2, "--jobs", 2, "--out"]
    finish(*options, tmp_path / "whole")
    whole, rng = tree(tmp_path / "whole"), random.Random(1)
    killed = 0
    for _ in range(3):
        killed += kill_at_random(rng, 8.0, [*options, tmp_path / "out"])
        assert finished(tmp_path / "out").items() <= whole.items()
    assert killed
    finish(*options, tmp_path / "out")
    assert tree(tmp_path / "out") == whole


def test_tar_written_but_not_recorded_is_recorded(folder, tmp_path):
    expand(folder)
    before = tree(folder.out)
    (folder.out / "manifest.csv").unlink()
    assert expand(folder).written == 15
    assert tree(folder.out) == before


# What stands in the way


def test_what_cannot_be_used_is_named_each_time(tars, tmp_path):
    samples = [
        sample("good", 1, cls=b"3", **{"caption.txt": b"a cyst"}),
        {"__key__": "lonely", "png": png(picture(0))},
        sample("twice", 2, jpg=cv2.imencode(".jpg", picture(3))[1].tobytes()),
        sample("broken", 3, png=b"no picture"),
        {"__key__": "text", "txt": b"nothing to augment"},
        {"__key__": "masked", "mask.png": png(disc())},
        {"__key__": "two", "png": png(picture(0)), "mask.png": png(disc()), "mask.bmp": b""},
    ]
    write_tar(tmp_path / "in/t1.tar", samples)
    expected = [
        f"broken.png: {INCOMPLETE}",
        "t1.tar: lonely.png: no mask matches '{stem}.mask'; the sample holds lonely.png",
        "t1.tar: masked: must have one image, got none",
        "t1.tar: twice: must have one image, got twice.jpg and twice.png",
        "t1.tar: two.png: two.mask.bmp and two.mask.png are masks of one name; keep one",
    ]
    for _ in range(2):
        report = expand(tars)
        assert (report.skipped, report.cases) == (expected, 5)
        note = "passed over: sample without a PNG, JPEG, TIFF, BMP, WebP or GIF file"
        assert report.earlier or report.notes == {note: ["t1.tar: text"]}


def test_masks_are_found_by_pattern(tars, tmp_path):
    fields = {"png": png(picture(0)), "seg1.png": png(disc()), "seg2.png": png(disc(value=7))}
    for index in range(3):
        write_tar(tmp_path / f"in/t{index}.tar", [{"__key__": f"x{index}", **fields}])
    assert expand(replace(tars, pattern="{stem}.seg*")).cases == 3
    each = replace(tars, pattern="{stem}.seg*", each_mask=True, out=tmp_path / "each")
    assert expand(each).cases == 6


@pytest.mark.parametrize("cut", [100, 700, -12_000])
def test_damaged_tar_is_named_and_leaves_no_output(tars, tmp_path, cut):
    path = tmp_path / "in/t1.tar"
    path.write_bytes(path.read_bytes()[:cut])
    report = expand(tars)
    assert (report.cases, len(report.skipped)) == (4, 1)
    assert report.skipped[0].startswith("t1.tar: cannot be read as a tar (")
    assert not (tars.out / "t1.tar").exists()


def test_scattered_sample_is_named(tars, tmp_path):
    parts = [
        {"__key__": "x", "png": png(picture(0))},
        sample("y", 1),
        {"__key__": "x", "mask.png": png(disc())},
    ]
    write_tar(tmp_path / "in/t1.tar", parts)
    assert "t1.tar: x: the files of a sample must be next to each other" in expand(tars).skipped


def test_changed_source_is_named_and_its_tar_kept(tars, folder, tmp_path):
    expand(tars)
    before = tree(tars.out)
    write_tar(tmp_path / "in/t1.tar", [sample("new", 5)])
    assert expand(tars).skipped == ["t1.tar: t1.tar changed since it was expanded; see --force"]
    assert tree(tars.out) == before
    assert expand(tars, force=True).skipped == []
    packed = replace(folder, out=tmp_path / "packed")
    expand(packed)
    write(folder.masks / "a/x2.png", disc(radius=5))
    assert expand(packed).skipped == [
        "000001.tar: a/x2.png to a/x3.png changed since it was expanded; see --force"
    ]


def test_tar_in_the_way_is_kept_and_named(tars):
    expand(tars)
    (tars.out / "manifest.csv").unlink()
    (tars.out / "t1.tar").write_bytes(b"mine")
    report = expand(tars)
    assert report.skipped == [
        f"{tars.out / 't1.tar'}: exists with other content; --force overwrites it"
    ]
    assert (tars.out / "t1.tar").read_bytes() == b"mine"


def test_images_that_cannot_be_read_do_not_stop_a_tar(folder):
    (folder.images / "a/x0.png").unlink()
    (folder.images / "a/x0.png").symlink_to("nowhere")
    report = expand(folder)
    assert report.cases == 4
    assert report.skipped == ["a/x0.png: cannot be read (No such file or directory)"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"images": Path("in/no{0..1}.tar")}, r"images must name tars that exist, got in/no0.tar"),
        ({"images": Path("in/*x.tar")}, r"images must name tars, got in/\*x.tar, which no file"),
        ({"images": Path("in/{t0,t0}.tar")}, "images must be tars of different names, got 2 named"),
        ({"masks": Path("in")}, "masks must not be given where images are tars, got in"),
        ({"image_pattern": "i{key}"}, "image_pattern must not be given where images are tars"),
        ({"per_tar": 3}, "per_tar must not be given where images are tars, got 3"),
        ({"out": Path("in")}, r"out must lie apart from images \(in/t0.tar\), got in"),
    ],
)
def test_refused_settings_name_argument_rule_and_value(tars, monkeypatch, changes, text):
    monkeypatch.chdir(tars.out.parent)
    before = tree(tars.out.parent)
    job = replace(tars, images=Path("in/t{0..2}.tar"), out=Path("out"))
    with pytest.raises(ValueError, match=text):
        expand(replace(job, **changes))
    assert tree(tars.out.parent) == before


@pytest.mark.parametrize("asked", ["preview", "report"])
def test_preview_and_report_of_tars_are_refused(folder, asked):
    with pytest.raises(
        ValueError, match=f"{asked} works with file output only, got output in tars"
    ):
        expand(folder, **{asked: True})
    assert not folder.out.exists()


def test_folder_of_files_is_not_continued_as_tars(folder):
    expand(replace(folder, per_tar=None))
    with pytest.raises(ValueError, match=r"manifest\.csv must be a manifest .* for tars"):
        expand(folder)


def test_dim_16_bit_images_are_noted_unless_a_value_range_is_given(tars, tmp_path):
    dim = png(np.full((40, 48), 2000, np.uint16))
    write_tar(tmp_path / "dim.tar", [sample("x", 0, png=dim)])
    job = replace(tars, images=tmp_path / "dim.tar")
    (note,) = expand(job).notes
    assert note.startswith("16-bit image below an eighth of full scale")
    ranged = replace(EVERY, value_range=(0, 4095))
    assert expand(replace(job, augment=ranged), force=True).notes == {}


def test_wildcards_name_tars_in_any_order(tars, tmp_path):
    expand(tars)
    expand(replace(tars, images=tmp_path / "in/*.tar", out=tmp_path / "stars"))
    assert tree(tars.out) == tree(tmp_path / "stars")


def test_shards_agree_on_their_shares_however_tars_are_named(tars, tmp_path):
    """Side by side they list a folder in any order."""
    done = [
        expand(replace(tars, images=tmp_path / "in" / name), shard=(i, 3))
        for i, name in enumerate(("t{2..0}.tar", "*.tar", "t{0..2}.tar"), start=1)
    ]
    assert [report.earlier for report in done] == [0, 0, 0]
    assert expand(tars).written == 0
