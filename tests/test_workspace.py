"""Claims about runs that meet in one output folder: one of them ends, and harms nothing."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

import sasaug

pytest.importorskip("cv2", reason="needs the extra `cli`")
pytest.importorskip("PIL", reason="needs the extra `cli`")
pytest.importorskip("typer", reason="needs the extra `cli`")

from pictures import INCOMPLETE, disc, picture, tree, write
from processes import LIMIT, finished, start
from sasaug.folder import Job, Superseded, expand, expansion, ledger, tars, workspace

EVERY = sasaug.SAS(p=1.0, apply_to="all")


@pytest.fixture
def job(tmp_path):
    for index in range(6):
        write(tmp_path / f"images/x{index}.png", picture(index))
        write(tmp_path / f"masks/x{index}.png", disc())
    return Job(tmp_path / "images", tmp_path / "masks", tmp_path / "out", EVERY, copies=3, seed=1)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Enough work that a run can be met in the middle of it."""
    root = tmp_path_factory.mktemp("large")
    for index in range(40):
        write(root / f"images/x{index}.png", picture(index, (400, 400)))
        write(root / f"masks/x{index}.png", disc((400, 400), 120, 255, (200, 200)))
    return root


def command(root, out, *more):
    options = ["--images", root / "images", "--masks", root / "masks", "--out", out]
    return ["augment", *options, "--copies", 8, "--jobs", 1, "--quiet", *more]


def wait_for_outputs(out, count):
    limit = time.monotonic() + LIMIT
    while len(list((out / "images").glob("*"))) < count and time.monotonic() < limit:
        time.sleep(0.01)


def meeting(job, monkeypatch, after, other):
    """Run a job, and something else in its middle; return the error that ends the job."""
    real, count = workspace.Workspace.put, iter(range(1000))

    def put(space, name, content, force=False):
        if next(count) == after:
            monkeypatch.setattr(workspace.Workspace, "put", real)
            other()
        real(space, name, content, force)

    monkeypatch.setattr(workspace.Workspace, "put", put)
    with pytest.raises(Superseded) as error:
        expand(job, workers=1)
    return str(error.value)


def seeds(out):
    with (out / "manifest.csv").open(encoding="utf-8", newline="") as lines:
        return {row["seed"] for row in csv.DictReader(lines)}


@pytest.mark.parametrize("after", [0, 1, 7, 20, 35])
def test_forced_run_wins_and_the_older_one_changes_nothing(job, tmp_path, monkeypatch, after):
    other = replace(job, seed=2)
    said = meeting(job, monkeypatch, after, lambda: expand(other, force=True))
    finished = f"another run finished {job.out} meanwhile"
    at_work = f"another run has taken over {job.out}: "  # seen by the thread that keeps the journal
    assert said.startswith((finished, at_work))
    expand(replace(other, out=tmp_path / "alone"))
    assert tree(job.out) == tree(tmp_path / "alone")


def test_forced_run_that_is_still_at_work_is_not_disturbed(job, tmp_path, monkeypatch):
    """The older run is stopped while the newer one has written some outputs, and no manifest."""
    other = replace(job, seed=2)
    with monkeypatch.context() as patch:
        patch.setattr(ledger.Ledger, "write_manifest", _crash)

        def unfinished():
            with pytest.raises(Crash):
                expand(other, force=True)

        said = meeting(job, patch, 7, unfinished)
    assert said.startswith(f"another run has taken over {job.out}: it finished this run's work or")
    assert not list((job.out / ".sasaug").glob("*/part-*"))
    expand(other)
    expand(replace(other, out=tmp_path / "alone"))
    assert tree(job.out) == tree(tmp_path / "alone")


class Crash(Exception):
    """Stands for the end of the process."""


def _crash(self):
    raise Crash


def test_older_run_that_deletes_is_stopped_by_a_newer_one(job, tmp_path, monkeypatch):
    """Two forced runs: the first is still deleting when the second has written its outputs."""
    expand(replace(job, seed=0))
    newer, older = replace(job, seed=2), job
    real, count = workspace.Workspace.discard, iter(range(1000))

    def discard(space, name):
        if next(count) == 5:
            monkeypatch.setattr(workspace.Workspace, "discard", real)
            expand(newer, force=True)
        real(space, name)

    monkeypatch.setattr(workspace.Workspace, "discard", discard)
    with pytest.raises(Superseded):
        expand(older, force=True)
    expand(replace(newer, out=tmp_path / "alone"))
    assert tree(job.out) == tree(tmp_path / "alone")


def test_equal_run_that_ends_second_says_so(job, tmp_path, monkeypatch):
    said = meeting(job, monkeypatch, 9, lambda: expand(job))
    assert said == (
        f"another run finished {job.out} meanwhile; run the command again to see that nothing is "
        "missing"
    )
    expand(replace(job, out=tmp_path / "alone"))
    assert tree(job.out) == tree(tmp_path / "alone")
    assert expand(job).written == 0


def test_preview_of_a_superseded_run_ends_it_too(job, monkeypatch):
    real = expansion.write_preview

    def drawn(*arguments):
        expand(replace(job, copies=1), force=True)
        return real(*arguments)

    monkeypatch.setattr(expansion, "write_preview", drawn)
    with pytest.raises(Superseded):
        expand(job, preview=True)
    assert not (job.out / "preview.png").exists()


def test_preview_of_a_source_that_is_gone_names_it(job, monkeypatch):
    real = expansion.write_preview

    def drawn(*arguments):
        for path in job.masks.iterdir():
            path.write_bytes(b"")
        return real(*arguments)

    monkeypatch.setattr(expansion, "write_preview", drawn)
    with pytest.raises(OSError, match=f"png: {INCOMPLETE}"):
        expand(job, preview=True)
    assert (job.out / "manifest.csv").exists()


def test_tar_of_a_superseded_run_is_not_placed(job, tmp_path, monkeypatch):
    pytest.importorskip("webdataset", reason="needs the extra `webdataset`")
    packed, other = replace(job, per_tar=2), replace(job, per_tar=2, seed=2)
    real, count = tars._write, iter(range(100))

    def written(*arguments):
        result = real(*arguments)
        if next(count) == 1:
            expand(other, force=True)
        return result

    monkeypatch.setattr(tars, "_write", written)
    with pytest.raises(Superseded):
        expand(packed, workers=1)
    expand(replace(other, out=tmp_path / "alone"))
    assert tree(job.out) == tree(tmp_path / "alone")


def test_forced_process_beside_another_leaves_one_run_of_one_seed(large, tmp_path):
    out = tmp_path / "out"
    first = start(*command(large, out, "--seed", 1), stderr=subprocess.PIPE, text=True)
    wait_for_outputs(out, 20)
    second = start(*command(large, out, "--seed", 2, "--force"))
    _, said = first.communicate(timeout=LIMIT)
    assert (first.returncode, second.wait(LIMIT)) == (1, 0)
    assert said.startswith("error: another run ") and said.count("\n") == 1
    assert json.loads((out / "settings.json").read_text())["seed"] == 2
    assert seeds(out) == {"2"}
    assert start(*command(large, tmp_path / "alone", "--seed", 2)).wait(LIMIT) == 0
    assert tree(out) == tree(tmp_path / "alone")


def test_equal_processes_side_by_side_end_without_errno(large, tmp_path):
    out = tmp_path / "out"
    runs = [start(*command(large, out), stderr=subprocess.PIPE, text=True) for _ in range(3)]
    ends = [(run.communicate(timeout=LIMIT)[1], run.returncode) for run in runs]
    assert ("", 0) in ends
    for said, status in ends:
        assert "Errno" not in said and "Traceback" not in said
        assert status == 0 or said.startswith(f"error: another run finished {out} meanwhile")
    assert start(*command(large, tmp_path / "alone")).wait(LIMIT) == 0
    assert tree(out) == tree(tmp_path / "alone")


def test_many_runs_join_and_end_without_an_error_of_the_system(tmp_path):
    """Runs of one folder begin and end in any order: each owns it or is told that it does not."""
    failed = []

    def work():
        for _ in range(40):
            try:
                book = ledger.Ledger(tmp_path / "out", {"seed": 0})
                book.workspace.put("images/x.png", b"the same")
                book.close()
            except Superseded:
                pass
            except Exception as error:
                failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert (tmp_path / "out/images/x.png").read_bytes() == b"the same"


def test_a_run_that_ends_is_neither_joined_nor_brought_back(tmp_path):
    """A process that comes between the two steps of an end waits, and begins a run of its own."""
    ends = ledger.Ledger(tmp_path, {"seed": 0}).workspace
    writes = ledger.Ledger(tmp_path, {"seed": 0}).workspace
    assert writes.folder == ends.folder
    ends.folder.rename(tmp_path / ".sasaug-away")
    began = ledger.Ledger(tmp_path, {"seed": 0}).workspace
    assert began.folder != ends.folder
    with pytest.raises(Superseded):
        writes.put("images/x.png", b"late")
    began.put("images/x.png", b"new")
    began.retire()
    assert (tmp_path / "images/x.png").read_bytes() == b"new"
    assert not (tmp_path / ".sasaug").exists()


def test_a_run_killed_while_it_ends_leaves_nothing_after_the_next(job, tmp_path, monkeypatch):
    def killed(*args, **options):
        raise KeyboardInterrupt

    whole = replace(job, out=tmp_path / "whole")
    expand(whole)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(workspace.shutil, "rmtree", killed)
        expand(job)
    assert [path.name for path in job.out.glob(".sasaug-*/*")]  # its journals
    assert finished(job.out) == tree(whole.out)
    expand(job)
    assert tree(job.out) == tree(whole.out)


@pytest.mark.parametrize("name", ["/precious.png", "../precious.png", "images", ""])
def test_names_of_an_edited_manifest_delete_nothing_else(job, tmp_path, name):
    expand(job)
    (tmp_path / "precious.png").write_bytes(b"mine")
    name = str(tmp_path / "precious.png") if name[:1] == "/" else name
    manifest = job.out / "manifest.csv"
    manifest.write_text(manifest.read_text().replace("images/x0_000.png", name))
    write(job.out / "images/mine.png", picture(0))
    expand(job, force=True)
    assert (tmp_path / "precious.png").read_bytes() == b"mine"
    assert (job.out / "images/mine.png").exists()


def test_full_disk_names_the_file(job, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left on device") as error:
        expand(job)
    assert error.value.filename == f"{job.out}/.sasaug/run.json"
    space = workspace.Workspace(job.out, job.out)
    for write_it in (
        lambda: space.put("images/x.png", b"content"),
        lambda: workspace.write_atomically(job.out / "images/x.png", b"content"),
        lambda: space.create("images/x.png", b"content"),
    ):
        with pytest.raises(OSError, match="No space left on device") as error:
            write_it()
        assert error.value.filename == f"{job.out}/images/x.png"


def test_links_are_not_needed(job, tmp_path, monkeypatch):
    def refused(source, target):
        raise PermissionError(1, "Operation not permitted")

    expand(replace(job, out=tmp_path / "links"))
    monkeypatch.setattr(os, "link", refused)
    expand(job)
    assert tree(job.out) == tree(tmp_path / "links")
