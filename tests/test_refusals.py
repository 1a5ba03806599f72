"""Claims about runs that are refused or have no outputs: they leave nothing behind, and say why."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sasaug

pytest.importorskip("cv2", reason="needs the extra `cli`")
pytest.importorskip("rich", reason="needs the extra `cli`")
pytest.importorskip("typer", reason="needs the extra `cli`")
pytest.importorskip("PIL", reason="needs the extra `cli`")

from typer.testing import CliRunner

from pictures import INCOMPLETE, disc, picture, tree, write
from processes import missing
from sasaug.cli import app
from sasaug.folder import Job, expand


@pytest.fixture
def root(tmp_path):
    for index in range(3):
        write(tmp_path / f"images/x{index}.png", picture(index))
        write(tmp_path / f"masks/x{index}.png", disc())
    return tmp_path


def run(root, *options):
    folders = ["--images", root / "images", "--masks", root / "masks", "--out", root / "out"]
    arguments = [str(argument) for argument in ("augment", *folders, *options)]
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "300"})


REFUSED = {
    "canvas of no pixel": (["--canvas", 0], "canvas must be"),
    "thumbnail of one pixel": (["--thumbnail", 1, 64], "thumbnail must be"),
    "unknown engine": (["--engine", "slurm"], "engine must be one of"),
    "preview of tars": (["--per-tar", 2, "--preview"], "preview works with file output only"),
    "patterns that are the same": (["--pattern", "{key}", "--image-pattern", "i{key}"], "none: "),
}
NOTHING_MADE = {
    "label beyond the masks' type": (["--labels", 300], "labels must fit the masks' type"),
    "canvas beyond the memory": (["--canvas", "9999999x9999999"], "x0.png: "),
}


@pytest.mark.parametrize("case", [*REFUSED, *NOTHING_MADE])
def test_run_without_outputs_leaves_nothing_and_refuses_no_other(root, case):
    options, text = {**REFUSED, **NOTHING_MADE}[case]
    result = run(root, *options, "--copies", 1)
    assert result.exit_code == (2 if case in REFUSED else 1)
    assert text in result.stderr and "Traceback" not in result.output
    assert not (root / "out").exists()
    assert run(root, "--copies", 1).exit_code == 0


def test_folder_that_was_there_is_left_as_it_was(root):
    (root / "out").mkdir()
    assert run(root, "--labels", 300).exit_code == 1
    assert list((root / "out").iterdir()) == []


def test_run_whose_files_are_all_damaged_leaves_nothing(root):
    for index in range(3):
        (root / f"masks/x{index}.png").write_bytes(b"")
    result = run(root, "--copies", 1, "--preview", "--report")
    assert result.exit_code == 1
    assert result.stderr.count(f"skipped: x0.png: {INCOMPLETE}\n") == 1
    assert not (root / "out").exists()


def test_run_that_finds_all_sources_damaged_later_keeps_its_outputs(root):
    assert run(root, "--copies", 1).exit_code == 0
    before = tree(root / "out")
    for index in range(3):
        (root / f"masks/x{index}.png").write_bytes(b"")
    assert run(root, "--copies", 1).exit_code == 1
    assert tree(root / "out") == before


def test_shard_without_outputs_leaves_the_folder_to_the_others(root):
    job = Job(root / "images", root / "masks", root / "out", sasaug.SAS(), copies=1)
    (root / "masks/x0.png").write_bytes(b"")
    expand(job, shard=(1, 3))
    assert (root / "out/settings.json").exists()
    assert expand(job).cases == 2


@pytest.mark.parametrize(
    ("module", "options"),
    [
        ("webdataset", ["--per-tar", "5"]),
        ("braceexpand", ["--per-tar", "5"]),
        ("ray", ["--engine", "ray"]),
    ],
)
def test_missing_extra_is_named_before_anything_is_written(root, module, options):
    arguments = ["augment", "--images", root / "images", "--masks", root / "masks", *options]
    arguments = [str(argument) for argument in [*arguments, "--out", root / "out"]]
    code = (
        f"import sys; sys.modules[{module!r}] = None; import runpy; sys.argv += {arguments!r}; "
        "runpy.run_module('sasaug', run_name='__main__')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    extra = "ray" if module == "ray" else "webdataset"
    assert result.returncode == 2
    assert result.stderr == missing(module, extra, *arguments)
    assert not (root / "out").exists()


def test_full_disk_has_status_1_and_names_the_file(root, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    for command in ("demo", "preview"):
        result = CliRunner().invoke(app, [command, "--out", str(root / "sheet.png")])
        assert result.exit_code == 1
        assert result.stderr == f"error: {root / 'sheet.png'}: No space left on device\n"
    result = run(root, "--copies", 1)
    assert result.exit_code == 1
    assert result.stderr == f"error: {root / 'out/.sasaug/run.json'}: No space left on device\n"


def test_full_disk_in_the_middle_names_the_output(root, monkeypatch):
    real = Path.write_bytes

    def full(path, content):
        if content[:4] == b"\x89PNG":
            raise OSError(28, "No space left on device")
        return real(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    result = run(root, "--copies", 1, "--jobs", 1, "--quiet")
    assert result.exit_code == 1
    assert result.stderr == f"error: {root / 'out/images/x0_000.png'}: No space left on device\n"


# Labels that occur in no mask


def test_labels_of_no_mask_are_named_with_those_that_there_are(root):
    result = run(root, "--copies", 20, "--labels", 1, "--p", 1)
    assert result.exit_code == 0
    assert "note: labels [1] in none of 3 masks, which hold 0, 255\n" in result.stderr
    assert result.stdout.splitlines()[-1] == (
        "No mask holds a label of --labels: give one that they hold, such as --labels 255, or "
        "leave the option out."
    )
    assert run(root, "--copies", 20, "--labels", 255, "--p", 1, "--force").stderr.count("note") == 0


def test_some_labels_of_no_mask_are_named_too(root):
    mask = disc()
    mask[:4, :4] = 7
    write(root / "masks/x1.png", mask)
    result = run(root, "--copies", 1, "--labels", 2, "--labels", 7, "--labels", 9)
    assert "note: labels [2, 9] in none of 3 masks, which hold 0, 7, 255\n" in result.stderr
    assert "No mask holds a label" not in result.stdout


def test_many_labels_are_shortened(root):
    for index in range(3):
        mask = np.kron(np.arange(40 * 48 // 16).reshape(10, 12), np.ones((4, 4)))
        write(root / f"masks/x{index}.png", mask.astype(np.uint16))
    result = run(root, "--copies", 1, "--labels", 5000)
    held = ", ".join(map(str, range(10)))
    assert f"note: labels [5000] in none of 3 masks, which hold {held}, ...\n" in result.stderr


def test_labels_are_judged_by_masks_that_are_read_now(root):
    job = Job(root / "images", root / "masks", root / "out", sasaug.SAS(labels=(1,)), copies=1)
    assert expand(job).absent_labels == [1]
    again = expand(job)
    assert (again.earlier, again.absent_labels, again.notes) == (3, [], {})


def test_labels_of_no_mask_in_tars_and_in_json(root):
    pytest.importorskip("webdataset", reason="needs the extra `webdataset`")
    result = run(root, "--copies", 1, "--labels", 1, "--per-tar", 2, "--json")
    facts = json.loads(result.stdout)
    assert (facts["absent_labels"], facts["mask_labels"]) == ([1], [0, 255])
    assert facts["notes"] == {"labels [1] in none of 3 masks, which hold 0, 255": []}
    job = Job(root / "images", root / "masks", root / "o2", sasaug.SAS(labels=(255,)), per_tar=2)
    assert expand(replace(job, copies=1)).absent_labels == []
