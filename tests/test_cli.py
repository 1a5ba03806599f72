"""Claims about the command line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sasaug

pytest.importorskip("cv2", reason="needs the extra `cli`")
pytest.importorskip("rich", reason="needs the extra `cli`")
pytest.importorskip("typer", reason="needs the extra `cli`")
pytest.importorskip("PIL", reason="needs the extra `cli`")

from typer.testing import CliRunner

from pictures import DATA, disc, load, needs_data, picture, tree, write
from sasaug.cli import app
from sasaug.phantoms import phantoms


def run(*arguments):
    """Run the command line in this process; give its result with stdout and stderr apart."""
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "300"})


@pytest.fixture
def data(tmp_path):
    """Four images with masks; arguments that name them and the output folder."""
    for index in range(4):
        write(tmp_path / f"images/x{index}.png", picture(index))
        write(tmp_path / f"masks/x{index}.png", disc())
    return arguments(tmp_path, tmp_path / "out")


def arguments(root, out):
    return ["augment", "--images", root / "images", "--masks", root / "masks", "--out", out]


def test_augment_writes_and_says_what_it_did(data, tmp_path):
    result = run(*data, "--copies", 5, "--p", 1, "--apply-to", "all")
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "out/images").iterdir())) == 20
    for line in ("cases .* 4 ", "outputs .* 20 ", r"of these transformed .* 20 \(100.0 %\)"):
        assert re.search(line, result.output)


def test_summary_counts_the_transformed_and_says_how_to_change_it(data, tmp_path):
    result = run(*data, "--copies", 5)
    rows = (tmp_path / "out/manifest.csv").read_text().splitlines()[1:]
    count = sum(",true," in row for row in rows)
    assert 0 < count < 20
    assert f"{count} ({5 * count:.1f} %)" in result.output
    assert "--p 1 --apply-to all" in result.output


def test_options_reach_sas(data, tmp_path):
    options = ["--canvas", "32x64", "--thumbnail", 8, 16, "--position", "top_left", "--antialias"]
    options += ["--noise", "scikit-image", "--p", 0.75, "--apply-to", "all", "--seed", 3]
    options += ["--labels", 255, "--labels", 7, "--copies", 1]
    assert run(*data, *options).exit_code == 0
    expected = sasaug.SAS(
        canvas=(32, 64),
        thumbnail=(8, 16),
        position="top_left",
        antialias=True,
        noise="scikit-image",
        p=0.75,
        apply_to="all",
        labels=(255, 7),
    )
    assert sasaug.SAS.from_json(_settings(tmp_path)) == expected
    assert load(tmp_path / "out/images/x0_000.png").shape == (32, 64)


def _settings(tmp_path):
    return json.dumps(json.loads((tmp_path / "out/settings.json").read_text())["settings"])


def test_thumbnail_of_at_most_one_is_a_fraction(data, tmp_path):
    assert run(*data, "--thumbnail", 0.5, 1, "--noise", "none", "--copies", 1).exit_code == 0
    expected = sasaug.SAS(thumbnail=(0.5, 1.0), noise={})
    assert sasaug.SAS.from_json(_settings(tmp_path)) == expected


def test_skipped_files_are_named_counted_and_change_the_status(data, tmp_path):
    (tmp_path / "masks/x1.png").write_bytes(b"")
    write(tmp_path / "images/lonely.png", picture(0))
    result = run(*data, "--copies", 1)
    assert result.exit_code == 1
    assert "skipped: lonely.png: no mask matches '{stem}'" in result.stderr
    assert "skipped: x1.png: is no complete PNG, JPEG, TIFF or BMP picture" in result.stderr
    assert re.search("skipped .* 2 ", result.stdout)


def test_notes_name_some_files_and_count_the_rest(data, tmp_path):
    for index in range(4):
        write(tmp_path / f"masks/x{index}.png", disc(value=0))
    result = run(*data, "--copies", 1)
    assert result.exit_code == 0
    assert "note: mask is empty, which makes the sample a small one: " in result.stderr
    assert "x0.png, x1.png, x2.png and 1 more" in result.stderr


def test_second_run_says_there_is_nothing_to_do(data):
    assert "Nothing to do" not in run(*data, "--copies", 1).output
    again = run(*data, "--copies", 1)
    assert again.exit_code == 0 and "Nothing to do" in again.output


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--copies", 0], "copies must be at least 1, got 0"),
        (["--seed", -1], "seed must be in [0, 2^64), got -1"),
        (["--jobs", 0], "jobs must be at least 1, got 0"),
        (["--p", 1.5], "p must be"),
        (["--apply-to", "huge"], "apply_to must be"),
        (["--noise", "loud"], "noise must be"),
        (["--position", "left"], "position must be"),
        (["--thumbnail", 64, 100.5], "thumbnail must be whole pixels, or fractions up to 1"),
        (["--canvas", "wide"], "canvas must be N or HxW in pixels"),
        (["--canvas", "1x2x3"], "canvas must be N or HxW in pixels"),
        (["--pattern", "mask"], "pattern must hold {stem}"),
    ],
)
def test_usage_errors_have_status_2_and_write_nothing(data, tmp_path, options, text):
    result = run(*data, *options)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ") and text in result.stderr
    assert not (tmp_path / "out").exists()


def test_other_settings_have_status_2_and_are_named(data):
    run(*data, "--copies", 1)
    result = run(*data, "--copies", 2, "--seed", 5)
    assert result.exit_code == 2
    assert "copies was 1, is 2" in result.stderr and "seed was 0, is 5" in result.stderr
    assert run(*data, "--copies", 2, "--seed", 5, "--force").exit_code == 0


def test_unwritable_output_has_status_1_and_is_named(data, monkeypatch):
    def full(source, target):
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(os, "replace", full)
    result = run(*data, "--copies", 1)
    assert result.exit_code == 1 and "No space left on device" in result.stderr


def test_jobs_do_not_change_the_tree(data, tmp_path):
    run(*data, "--copies", 3, "--jobs", 1, "--preview")
    run(*arguments(tmp_path, tmp_path / "four"), "--copies", 3, "--jobs", 4, "--preview")
    assert tree(tmp_path / "out") == tree(tmp_path / "four")


@pytest.mark.parametrize("module", ["typer", "rich", "cv2", "PIL"])
def test_missing_extra_has_status_2_and_one_sentence(module):
    code = (
        f"import sys; sys.modules[{module!r}] = None; import runpy; "
        "sys.argv += ['augment', '--images', 'a', '--masks', 'b', '--out', 'c']; "
        "runpy.run_module('sasaug', run_name='__main__')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr == f'{module} is missing: pip install "sasaug[cli]"\n'


def test_importing_sasaug_imports_nothing_of_the_extra():
    code = "import sys, sasaug; print({'cv2', 'PIL', 'rich', 'typer'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "set()\n"


def test_demo_draws_a_sheet_prints_the_plan_and_the_speed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("demo", "--n", 2, "--size", 64)
    assert result.exit_code == 0, result.output
    sheet = load(tmp_path / "sasaug_demo.png")
    assert sheet.shape[1] > 256 * (len(sasaug.PRESETS["default"]) + 2)
    _, masks = phantoms(2, 64, 0)
    ids = np.arange(2, dtype=np.uint64) + np.uint64(2 * len(sasaug.PRESETS["default"]))
    assert str(sasaug.SAS().plan(masks, seed=0, ids=ids)) in result.output
    assert re.search(r"[\d,]+ images/s, \d+\.\d\d GB/s", result.output)


def test_demo_is_the_same_again_and_its_own_file_is_overwritten(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("demo", "--n", 1, "--size", 32).exit_code == 0
    first = (tmp_path / "sasaug_demo.png").read_bytes()
    assert run("demo", "--n", 1, "--size", 32).exit_code == 0
    assert (tmp_path / "sasaug_demo.png").read_bytes() == first
    assert run("demo", "--n", 1, "--size", 32, "--seed", 1).exit_code == 0
    assert (tmp_path / "sasaug_demo.png").read_bytes() != first


def test_demo_keeps_a_file_named_by_out(tmp_path):
    mine = tmp_path / "mine.png"
    mine.write_bytes(b"mine")
    result = run("demo", "--n", 1, "--size", 32, "--out", mine)
    assert result.exit_code == 2 and f"{mine} exists; --force overwrites it" in result.stderr
    assert mine.read_bytes() == b"mine"
    assert run("demo", "--n", 1, "--size", 32, "--out", mine, "--force").exit_code == 0
    assert mine.read_bytes() != b"mine"


def test_help_and_no_arguments_explain_themselves():
    text = run().output
    assert "augment" in text and "demo" in text
    assert run("augment", "--help").exit_code == 0


@needs_data
def test_real_folder_is_expanded(tmp_path):
    root = Path(DATA) / "originals/usgra"
    options = ["--images", root / "images", "--masks", root / "masks", "--out", tmp_path / "out"]
    result = run("augment", *options, "--canvas", 64, "--copies", 2, "--preview")
    assert result.exit_code == 0, result.output
    assert "colour-coded mask" in result.stderr
    assert len(list((tmp_path / "out/images").iterdir())) == 8
