"""Claims about sharing an expansion among processes, and about their sudden ends."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

import sasaug

pytest.importorskip("cv2", reason="needs the extra `cli`")
pytest.importorskip("PIL", reason="needs the extra `cli`")
pytest.importorskip("typer", reason="needs the extra `cli`")

from pictures import disc, picture, tree, write
from processes import finish, finished, kill_at_random, start
from sasaug.folder import Job, Superseded, expand, ledger, workspace

EVERY = sasaug.SAS(p=1.0, apply_to="all")


@pytest.fixture
def job(tmp_path):
    for index in range(7):
        write(tmp_path / f"images/x{index}.png", picture(index))
        write(tmp_path / f"masks/x{index}.png", disc())
    return Job(tmp_path / "images", tmp_path / "masks", tmp_path / "out", EVERY, copies=3, seed=7)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Enough work to be killed in the middle of; what an undisturbed run makes, and its time."""
    root = tmp_path_factory.mktemp("large")
    for index in range(24):
        write(root / f"images/x{index}.png", picture(index, (200, 200, 3)))
        write(root / f"masks/x{index}.png", disc((200, 200), 40, 255, (100, 100)))
    begin = time.monotonic()
    finish(*command(root, root / "whole"))
    return root, tree(root / "whole"), time.monotonic() - begin


def command(root, out, *more):
    options = ["--images", root / "images", "--masks", root / "masks", "--out", out]
    return ["augment", *options, "--copies", 8, "--jobs", 2, "--preview", "--report", *more]


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_shards_and_a_run_without_make_the_same_tree(job, tmp_path, order):
    whole = replace(job, out=tmp_path / "whole")
    expand(whole, preview=True, report=True)
    for i in order:
        report = expand(job, shard=(i, 3), preview=True, report=True)
        assert report.earlier == 0 and not (job.out / "manifest.csv").exists()
        assert (report.preview, report.report) == (None, None)
    report = expand(job, preview=True, report=True)
    assert (report.cases, report.earlier, report.written) == (7, 7, 0)
    assert tree(job.out) == tree(whole.out)


def test_every_case_is_in_one_shard(job):
    cases = [expand(job, shard=(i, 3)).cases for i in (1, 2, 3)]
    assert cases == [3, 2, 2]
    rows = [row for path in journals(job.out) for row in rows_of(path)]
    assert len({row["image"] for row in rows}) == len(rows) == 21


def journals(out):
    return sorted((out / ".sasaug").glob("*/journal-*.jsonl"))


def rows_of(path):
    return [row for line in path.read_text().splitlines() for row in json.loads(line)]


def test_number_of_shards_may_change_between_runs(job, tmp_path):
    expand(replace(job, out=tmp_path / "whole"))
    expand(job, shard=(2, 5))
    again = [expand(job, shard=(i, 2)) for i in (1, 2)]
    assert sum(report.earlier for report in again) == 2
    expand(job)
    assert tree(job.out) == tree(tmp_path / "whole")


def test_more_shards_than_cases_leave_some_nothing_to_do(job):
    report = expand(job, shard=(9, 9))
    assert (report.cases, report.skipped) == (0, [])


def test_lost_shard_is_made_up_for(job, tmp_path):
    expand(replace(job, out=tmp_path / "whole"))
    expand(job, shard=(1, 2))
    assert expand(job).written == 9
    assert tree(job.out) == tree(tmp_path / "whole")


def test_shards_of_other_settings_are_refused(job):
    expand(job, shard=(1, 2))
    with pytest.raises(ValueError, match=r"seed was 7, is 8"):
        expand(replace(job, seed=8), shard=(2, 2))


@pytest.mark.parametrize("shard", [(0, 3), (4, 3), (-1, 3), (1, 0)])
def test_refused_shards_are_named(job, shard):
    with pytest.raises(ValueError, match=rf"shard must be i/n .* got {shard[0]}/{shard[1]}"):
        expand(job, shard=shard)
    assert not job.out.exists()


def test_force_is_refused_for_a_shard(job):
    expand(job)
    before = tree(job.out)
    with pytest.raises(ValueError, match="force must not be used with shard"):
        expand(job, shard=(1, 2), force=True)
    assert tree(job.out) == before


def test_processes_that_start_at_once_settle_on_one_setting(tmp_path):
    """Of many that begin in an empty folder, those with the settings that came first go on."""
    for turn in range(30):
        out = tmp_path / str(turn)
        gate, came = threading.Barrier(6), []

        def begin(seed, out=out, gate=gate, came=came):
            gate.wait()
            try:
                ledger.Ledger(out, {"seed": seed})
            except ValueError as error:
                assert "was made with other settings" in str(error)
            else:
                came.append(seed)

        threads = [threading.Thread(target=begin, args=(seed % 2,)) for seed in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        settled = json.loads((out / "settings.json").read_text())["seed"]
        assert came == [settled] * 3


def test_settings_of_a_process_that_was_first_are_never_overwritten(tmp_path, monkeypatch):
    """It writes them after this one has looked, and before this one writes its own."""
    real = workspace._create

    def outrun(folder, path, content):
        if path.name == "settings.json":
            real(folder, path, b'{"seed": 1}')
        real(folder, path, content)

    monkeypatch.setattr(workspace, "_create", outrun)
    with pytest.raises(ValueError, match="seed was 1, is 2"):
        ledger.Ledger(tmp_path, {"seed": 2})
    assert json.loads((tmp_path / "settings.json").read_text()) == {"seed": 1}


def test_half_written_file_has_no_final_name(tmp_path, monkeypatch):
    space = ledger.Ledger(tmp_path, {}).workspace
    real = Path.write_bytes

    def torn(path, content):
        real(path, content[:3])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", torn)
        with pytest.raises(OSError, match="No space left"):
            space.put("images/x.png", b"picture")
    assert not (tmp_path / "images/x.png").exists()
    assert not list(tmp_path.rglob("part-*"))


def test_settings_are_written_where_links_are_not_known(tmp_path, monkeypatch):
    def refused(source, target):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    ledger.Ledger(tmp_path, {"seed": 3})
    assert json.loads((tmp_path / "settings.json").read_text()) == {"seed": 3}


def test_run_given_up_for_dead_fails_and_harms_nothing(job, tmp_path):
    """It resumes after another run has finished and tidied up."""
    expand(replace(job, out=tmp_path / "whole"))
    zombie = ledger.Ledger(job.out, expand_settings(job))
    expand(job)
    said = "another run finished .*/out meanwhile; run the command again"
    with pytest.raises(Superseded, match=said):
        zombie.add([])
    with pytest.raises(Superseded, match=said):
        zombie.workspace.put("images/x0_009.png", b"late")
    with pytest.raises(Superseded, match=said):
        zombie.workspace.discard("images/x0_000.png")
    assert tree(job.out) == tree(tmp_path / "whole")


def expand_settings(job):
    from sasaug.folder import expansion

    return expansion._settings(job)


# Sudden ends


def killed_somewhere(rng, large, folders, commands, times):
    """Return the first folder in which a run was killed at work; a quick machine may end before."""
    root, whole, seconds = large
    for out in folders:
        killed = 0
        for _ in range(times):
            killed += kill_at_random(rng, seconds, *commands(root, out))
            assert finished(out).items() <= whole.items()  # nothing half-written
        if killed:
            return out
    pytest.fail("no run was at work when it was to be killed")


@pytest.mark.parametrize("seed", range(2))
def test_run_killed_at_random_is_resumed_to_the_same_tree(large, tmp_path, seed):
    folders = [tmp_path / f"out{k}" for k in range(8)]
    out = killed_somewhere(
        random.Random(seed), large, folders, lambda root, out: [command(root, out)], times=3
    )
    finish(*command(large[0], out))
    assert tree(out) == large[1]


def test_shards_side_by_side_killed_at_random_make_the_same_tree(large, tmp_path):
    def shards(root, out):
        return [command(root, out, "--shard", f"{i}/3") for i in (1, 2, 3)]

    # One shard twice at once, as a scheduler has it that takes a running job for lost.
    out = killed_somewhere(
        random.Random(9), large, [tmp_path / f"out{k}" for k in range(8)],
        lambda root, out: [*shards(root, out), shards(root, out)[0]], times=2,
    )  # fmt: skip
    running = [start(*shard) for shard in shards(large[0], out)]
    assert [process.wait(120) for process in running] == [0, 0, 0]
    finish(*command(large[0], out))
    assert tree(out) == large[1]
