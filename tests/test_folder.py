"""Claims about expanding a folder of images and masks."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sasaug

pytest.importorskip("cv2", reason="needs the extra `cli`")
pytest.importorskip("PIL", reason="needs the extra `cli`")

from pictures import disc, load, picture, tree, write
from sasaug.folder import Job, copies, expand, ledger, sample_id

EVERY = sasaug.SAS(p=1.0, apply_to="all")


def table(out):
    with (out / "manifest.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def journals(out):
    return sorted((out / ".sasaug").glob("*/journal-*.jsonl"))


@pytest.fixture
def job(tmp_path):
    """Six images in two sub-folders, masks beside them in another folder."""
    for index in range(6):
        name = f"{'ab'[index % 2]}/case {index}.png"
        write(tmp_path / "images" / name, picture(index))
        write(tmp_path / "masks" / name, disc())
    return Job(tmp_path / "images", tmp_path / "masks", tmp_path / "out", EVERY, copies=3, seed=7)


# What is written


def test_outputs_are_what_sas_gives(job):
    report = expand(job)
    assert (report.cases, report.outputs, report.skipped) == (6, 18, [])
    for row in table(job.out):
        image, mask = load(job.images / row["source_image"]), load(job.masks / row["source_masks"])
        key = sample_id(row["source_image"], int(row["copy"]))
        assert int(row["id"]) == key
        ids = np.array([key], np.uint64)
        x, y = sasaug.sas(image[None], mask[None], seed=7, ids=ids, p=1.0, apply_to="all")
        assert np.array_equal(load(job.out / row["image"]), x[0])
        assert np.array_equal(load(job.out / row["mask"]), y[0])


def test_manifest_says_what_was_done(job):
    expand(job)
    rows = table(job.out)
    assert [row["image"] for row in rows] == sorted(row["image"] for row in rows)
    assert set(rows[0]) == set(ledger.FILES.columns)
    row = rows[4]
    plan = EVERY.plan(disc()[None], seed=7, ids=np.array([int(row["id"])], np.uint64)).rows()[0]
    assert row["image"] == "images/a/case 2_001.png"
    assert (row["source_image"], row["source_masks"]) == ("a/case 2.png", "a/case 2.png")
    assert (row["transformed"], row["noise"]) == ("true", plan["noise"])
    assert row["thumbnail"] == " ".join(map(str, plan["thumbnail"]))
    assert np.float32(row["strength"]) == np.float32(plan["strength"])
    assert (row["window"], row["canvas"], row["seed"]) == ("0 0 48 40", "40 48", "7")


def test_settings_are_written(job):
    expand(job)
    found = json.loads((job.out / "settings.json").read_text())
    assert found["settings"] == json.loads(EVERY.to_json())
    assert (found["seed"], found["copies"]) == (7, 3)
    assert found["version"] == sasaug.__version__
    assert found["stream_version"] == sasaug.STREAM_VERSION


def test_sample_id_is_what_it_was():
    # printf 'benign/benign (1).png#3' | b2sum -l 64, read as little-endian
    assert sample_id("benign/benign (1).png", 3) == 12338538727608314783


def test_masks_have_their_images_key_unless_a_pattern_says_otherwise(job):
    for path in (job.images / "a").iterdir():
        path.rename(path.with_name(f"img {path.name}"))
    with_key = replace(job, image_pattern="img {key}")
    assert (job.mask_pattern, with_key.mask_pattern) == ("{stem}", "{key}")
    report = expand(with_key)
    assert report.cases == 3 and len(report.notes) == 2
    assert json.loads((job.out / "settings.json").read_text())["pattern"] == "{key}"


def test_nothing_but_outputs_is_left(job):
    expand(job)
    names = {path.name for path in job.out.rglob("*") if path.is_file()}
    assert names == {f"case {i}_00{k}.png" for i in range(6) for k in range(3)} | {
        "manifest.csv",
        "settings.json",
    }


def test_sources_are_never_written(job):
    before = tree(job.images), tree(job.masks)
    expand(job)
    assert (tree(job.images), tree(job.masks)) == before


# What outputs do not depend on


def test_outputs_do_not_depend_on_the_number_of_threads(job, tmp_path):
    expand(job, workers=1)
    expand(replace(job, out=tmp_path / "four"), workers=4)
    assert tree(job.out) == tree(tmp_path / "four")


def test_outputs_do_not_depend_on_other_files(job, tmp_path):
    expand(job)
    for path in (job.images / "a").iterdir():
        path.unlink()
    expand(replace(job, out=tmp_path / "fewer"))
    fewer = {k: v for k, v in tree(tmp_path / "fewer").items() if k.endswith(".png")}
    assert len(fewer) == 18
    assert fewer.items() <= tree(job.out).items()


def test_fewer_copies_are_the_first_of_more(job, tmp_path):
    expand(job)
    expand(replace(job, out=tmp_path / "fewer", copies=2))
    fewer = {k: v for k, v in tree(tmp_path / "fewer").items() if k.endswith(".png")}
    assert len(fewer) == 24
    assert fewer.items() <= tree(job.out).items()


def test_outputs_do_not_depend_on_the_batch(job, tmp_path, monkeypatch):
    expand(job)
    monkeypatch.setattr(copies, "BATCH_BYTES", 1)
    expand(replace(job, out=tmp_path / "singly"))
    assert tree(job.out) == tree(tmp_path / "singly")


def test_seed_matters(job, tmp_path):
    expand(job)
    expand(replace(job, out=tmp_path / "other", seed=8))
    name = "images/a/case 0_000.png"
    assert tree(job.out)[name] != tree(tmp_path / "other")[name]


# Resuming


class Crash(Exception):
    """Stands for the end of the process."""


@given(kept=st.integers(0, 6), torn=st.floats(0, 1), orphan=st.booleans())
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_torn_journal_is_resumed_to_the_same_tree(job, tmp_path_factory, kept, torn, orphan):
    base = tmp_path_factory.mktemp("torn")
    whole, broken = replace(job, out=base / "whole"), replace(job, out=base / "broken")
    expand(whole)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger.Ledger, "write_manifest", _crash)
        with pytest.raises(Crash):
            expand(broken)
    (journal,) = journals(broken.out)
    lines = journal.read_bytes().splitlines(keepends=True)
    last = lines[kept] if kept < len(lines) else b""
    journal.write_bytes(b"".join(lines[:kept]) + last[: int(torn * len(last))])
    if not orphan:  # the files of the lost lines never came to be
        for line in lines[kept + 1 :]:
            for row in json.loads(line):
                (broken.out / row["image"]).unlink()
    report = expand(broken)
    assert report.earlier >= kept
    assert tree(broken.out) == tree(whole.out)


def _crash(self):
    raise Crash


def test_torn_line_does_not_swallow_the_next(job):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger.Ledger, "write_manifest", _crash)
        with pytest.raises(Crash):
            expand(job)
        (journal,) = journals(job.out)
        journal.write_bytes(journal.read_bytes()[:-20])
        with pytest.raises(Crash):
            expand(job)
    assert len(journals(job.out)) == 2
    assert expand(job).earlier == 6


def test_second_run_writes_nothing(job):
    expand(job, preview=True)
    before = {path: path.stat().st_mtime_ns for path in job.out.rglob("*")}
    report = expand(job, preview=True)
    assert (report.cases, report.earlier, report.outputs) == (6, 6, 18)
    assert {path: path.stat().st_mtime_ns for path in job.out.rglob("*")} == before


def test_lost_outputs_and_new_sources_are_made_up_for(job):
    expand(job)
    before = tree(job.out)
    (job.out / "images/a/case 0_001.png").unlink()
    report = expand(job)
    assert (report.earlier, tree(job.out)) == (5, before)
    write(job.images / "new.png", picture(9))
    write(job.masks / "new.png", disc())
    report = expand(job)
    assert (report.cases, report.earlier) == (7, 6)
    assert len(table(job.out)) == 21


def test_left_over_parts_are_removed(job):
    expand(job)
    before = tree(job.out)
    (job.out / ".sasaug").mkdir()
    (job.out / ".sasaug/part-1").write_bytes(b"half a picture")
    expand(job)
    assert tree(job.out) == before


def test_full_disk_leaves_no_part_and_is_resumed(job, tmp_path, monkeypatch):
    expand(replace(job, out=tmp_path / "whole"))
    real, count = os.replace, iter(range(100))

    def full(source, target):
        if next(count) >= 9:
            raise OSError(28, "No space left on device")
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(OSError, match="No space left"):
            expand(job)
    assert not list(job.out.rglob("part-*"))
    expand(job)
    assert tree(job.out) == tree(tmp_path / "whole")


# What stands in the way


def test_other_settings_are_refused_and_named(job):
    expand(job)
    before = tree(job.out)
    other = replace(job, seed=1, augment=sasaug.SAS(p=0.25, apply_to="all"))
    with pytest.raises(ValueError, match=r"seed was 7, is 1; p was 1.0, is 0.25"):
        expand(other)
    assert tree(job.out) == before


def test_force_starts_over_and_leaves_nothing_of_before(job, tmp_path):
    expand(job)
    fewer = replace(job, copies=1, seed=9)
    expand(fewer, force=True)
    expand(replace(fewer, out=tmp_path / "fresh"))
    assert tree(job.out) == tree(tmp_path / "fresh")


def test_force_deletes_nothing_outside(job):
    expand(job)
    kept = job.out.parent / "kept.png"
    kept.write_bytes(b"precious")
    manifest = job.out / "manifest.csv"
    manifest.write_text(manifest.read_text().replace("images/a/case 0_000.png", "../kept.png"))
    expand(job, force=True)
    assert kept.read_bytes() == b"precious"


def test_file_in_the_way_is_kept_and_named(job):
    expand(job)
    (job.out / "manifest.csv").unlink()
    mine = job.out / "images/a/case 0_001.png"
    mine.write_bytes(b"mine")
    report = expand(job)
    assert report.cases == 5
    assert report.skipped == [f"{mine}: exists with other content; --force overwrites it"]
    assert mine.read_bytes() == b"mine"
    assert expand(job, force=True).skipped == []
    assert mine.read_bytes() != b"mine"


def test_folder_of_other_files_is_refused(job):
    job.out.mkdir()
    (job.out / "thesis.tex").write_text("")
    with pytest.raises(ValueError, match="must be empty or made by sasaug"):
        expand(job)
    expand(job, force=True)
    assert (job.out / "thesis.tex").exists()


def test_foreign_manifest_is_refused(job):
    job.out.mkdir()
    (job.out / "manifest.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"manifest\.csv must be a manifest that this version"):
        expand(job, force=True)
    assert (job.out / "manifest.csv").read_text() == "a,b\n1,2\n"


def test_unreadable_settings_are_named(job):
    expand(job)
    (job.out / "settings.json").write_text("{")
    with pytest.raises(ValueError, match=r"settings\.json must hold JSON"):
        expand(job)


@pytest.mark.parametrize("out", ["images", "images/a/out", "masks/out", ".", "link"])
def test_out_must_lie_apart_from_the_sources(job, tmp_path, out):
    (tmp_path / "link").symlink_to(tmp_path / "images")
    before = tree(tmp_path)
    with pytest.raises(ValueError, match=r"out must lie apart from (images|masks)"):
        expand(replace(job, out=tmp_path / out), force=True)
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"copies": 0}, "copies must be at least 1, got 0"),
        ({"seed": -1}, r"seed must be in \[0, 2\^64\), got -1"),
        ({"seed": 2**64}, r"seed must be in \[0, 2\^64\)"),
        ({"pattern": "mask"}, "pattern must hold {stem}"),
        ({"pattern": "/{stem}"}, "pattern must be a name below the folder"),
        ({"pattern": "../{stem}"}, "pattern must be a name below the folder"),
        ({"pattern": "*/{stem}"}, "pattern must name its folders without wildcards"),
        ({"image_pattern": "a\\\\{key}"}, "image_pattern must be a name below the folder"),
        ({"mask_threshold": 65536}, r"mask_threshold must be in \[0, 65535\], got 65536"),
        ({"images": Path("nowhere")}, "images must be a folder, got nowhere"),
        ({"masks": Path("nowhere")}, "masks must be a folder, got nowhere"),
    ],
)
def test_refused_settings_name_argument_rule_and_value(job, changes, text):
    with pytest.raises(ValueError, match=text):
        expand(replace(job, **changes))
    assert not job.out.exists()


def test_refused_thread_count_and_empty_folder(job, tmp_path):
    with pytest.raises(ValueError, match="jobs must be at least 1, got 0"):
        expand(job, workers=0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"an image with a mask, got none: .*/empty holds no PNG"):
        expand(replace(job, images=tmp_path / "empty"))
    with pytest.raises(ValueError, match=r"got none: a/case 0.png: no mask .* \(6 in all\)"):
        expand(replace(job, masks=tmp_path / "empty"))
    assert not job.out.exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="out must be a folder, got the file"):
        expand(replace(job, out=tmp_path / "file"))


def test_changed_source_is_named_and_its_outputs_kept(job):
    expand(job)
    before = tree(job.out)
    write(job.masks / "a/case 2.png", disc(radius=5))
    report = expand(job)
    assert report.skipped == [
        "a/case 2.png: image or mask changed since it was expanded; see --force"
    ]
    assert tree(job.out) == before


def test_one_bad_file_does_not_stop_the_others(job):
    (job.images / "a/case 2.png").write_bytes(b"")
    report = expand(job)
    assert (report.cases, len(report.skipped)) == (5, 1)
    assert len(table(job.out)) == 15


def test_settings_that_do_not_fit_an_image_are_named(job):
    write(job.masks / "a/case 0.png", disc().astype(np.uint16))
    report = expand(replace(job, augment=sasaug.SAS(labels=(300,))))
    assert (report.cases, len(report.skipped)) == (1, 5)
    assert report.skipped[0].startswith("a/case 2.png: labels must fit the masks' type")
