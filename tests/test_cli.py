"""Claims about the command line."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import sasaug

pytest.importorskip("cv2", reason="needs the extra `cli`")
pytest.importorskip("rich", reason="needs the extra `cli`")
pytest.importorskip("typer", reason="needs the extra `cli`")
pytest.importorskip("PIL", reason="needs the extra `cli`")

from rich.console import Console
from typer.testing import CliRunner

from pictures import DATA, EMPTY, INCOMPLETE, disc, load, needs_data, picture, tree, write
from processes import LIMIT, missing, start
from sasaug.cli import app, console
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
    for line in ("cases .* 4 ", "outputs .* 20 ", r"transformed outputs .* 20 \(100.0 %\)"):
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


def test_a_value_range_for_dim_16_bit_files(data, tmp_path):
    """12-bit data: noise is relative to 4095, and the note that asked for the range is gone."""
    image = np.full(disc().shape, 2000, np.uint16)
    for path in (tmp_path / "images").iterdir():
        write(path, image)
    options = ["--copies", 1, "--p", 1, "--apply-to", "all", "--thumbnail", 1, 1]
    without = run(*data, *options)
    assert "; --value-range 0 N makes it relative to N, such as 4095 for" in without.stderr
    given = run(*data, *options, "--value-range", 0, 4095, "--force")
    assert given.exit_code == 0 and "--value-range" not in given.output
    assert sasaug.SAS.from_json(_settings(tmp_path)).value_range == (0.0, 4095.0)
    assert max(int(load(p).max()) for p in (tmp_path / "out/images").iterdir()) <= 4095


def _settings(tmp_path):
    return json.dumps(json.loads((tmp_path / "out/settings.json").read_text())["settings"])


def test_thumbnail_of_at_most_one_is_a_fraction(data, tmp_path):
    for pair, expected in ((0.5, 1), (0.5, 1.0)), ((1, 1), (1.0, 1.0)):
        options = ["--thumbnail", *pair, "--noise", "none", "--copies", 1, "--force"]
        assert run(*data, *options).exit_code == 0
        settings = json.loads(_settings(tmp_path))
        assert repr(settings["thumbnail"]) == repr(list(expected))  # 1 is not 1.0 here


def test_skipped_files_are_named_counted_and_change_the_status(data, tmp_path):
    (tmp_path / "masks/x1.png").write_bytes(b"")
    write(tmp_path / "images/lonely.png", picture(0))
    result = run(*data, "--copies", 1)
    assert result.exit_code == 1
    assert "skipped: lonely.png: no mask matches '{stem}'" in result.stderr
    assert f"skipped: x1.png: {INCOMPLETE}" in result.stderr
    assert re.search("skipped .* 2 ", result.stdout)


def test_notes_name_some_files_and_count_the_rest(data, tmp_path):
    for index in range(4):
        write(tmp_path / f"masks/x{index}.png", disc(value=0))
    result = run(*data, "--copies", 1)
    assert result.exit_code == 0
    assert f"note: {EMPTY}: " in result.stderr
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
        (["--thumbnail", 64, 100.5], "two sizes in whole pixels above 1, got 64 100.5"),
        (["--thumbnail", 1, 64], "two sizes in whole pixels above 1, got 1 64"),
        (["--thumbnail", 0.5, 64], "two sizes in whole pixels above 1, got 0.5 64"),
        (["--canvas", 0], "canvas must be N or HxW in pixels, each at least 1"),
        (["--canvas", "64x0"], "canvas must be N or HxW in pixels, each at least 1"),
        (["--mask-threshold", -1], "mask_threshold must be in [0, 65535], got -1"),
        (["--image-pattern", "../{key}"], "image_pattern must be a name below the folder"),
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
    arguments = ["augment", "--images", "a", "--masks", "b", "--out", "c d"]
    code = (
        f"import sys; sys.modules[{module!r}] = None; import runpy; sys.argv += {arguments!r}; "
        "runpy.run_module('sasaug', run_name='__main__')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr == missing(module, "cli", *arguments)


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
    assert "palette mask: its indices are the labels" in result.stderr
    assert len(list((tmp_path / "out/images").iterdir())) == 8


# For scripts


def test_json_is_one_object_and_nothing_else(data, tmp_path):
    (tmp_path / "masks/x1.png").write_bytes(b"")
    result = run(*data, "--copies", 2, "--p", 1, "--apply-to", "all", "--report", "--json")
    facts = json.loads(result.stdout)
    assert result.exit_code == 1
    reason = f"x1.png: {INCOMPLETE}"
    assert facts.pop("seconds") > 0
    assert facts == {
        "cases": 3,
        "earlier": 0,
        "outputs": 6,
        "written": 6,
        "transformed": 6,
        "skipped": [reason],
        "notes": {},
        "absent_labels": [],
        "mask_labels": [],
        "preview": None,
        "report": str(tmp_path / "out/report.html"),
        "out": str(tmp_path / "out"),
        "shard": None,
    }
    assert result.stderr == f"skipped: {reason}\n"
    assert json.loads(run(*data, "--copies", 2, "--p", 1, "--apply-to", "all", "--json").stdout)[
        "earlier"
    ] == 3  # fmt: skip


def test_quiet_says_nothing_but_what_was_skipped(data, tmp_path):
    write(tmp_path / "masks/x0.png", disc(value=0))  # which is worth a note
    result = run(*data, "--copies", 1, "--quiet")
    assert (result.exit_code, result.output) == (0, "")
    write(tmp_path / "images/lonely.png", picture(0))
    result = run(*data, "--copies", 1, "--quiet")
    assert result.exit_code == 1
    assert result.output == "skipped: lonely.png: no mask matches '{stem}'\n"


def test_progress_tells_count_rate_and_time_left(data):
    lines = run(*data, "--copies", 1).stderr.splitlines()
    assert len(lines) == 4
    for done, line in enumerate(lines, start=1):
        assert re.fullmatch(rf"{done} of 4 cases, [\d.e+]+ cases/s, \d+:\d\d left", line)
    assert lines[-1].endswith(" 0:00 left")


def test_progress_on_a_terminal_is_a_bar():
    stream = io.StringIO()
    terminal = Console(file=stream, force_terminal=True, width=120)
    with console.progress(terminal, "cases") as show:
        show(1, 4)
    text = stream.getvalue()
    assert "━" in text and "1/4" in text and re.search(r"[\d.e+]+ cases/s, \d+:\d\d left", text)


# Shares of the work


def test_shard_says_what_comes_next_and_writes_no_manifest(data, tmp_path):
    for i in (1, 2):
        result = run(*data, "--copies", 1, "--shard", f"{i}/2")
        assert result.exit_code == 0
        assert f"shard {i} of 2. After all shards, run the command without" in result.stdout
    assert not (tmp_path / "out/manifest.csv").exists()
    facts = json.loads(run(*data, "--copies", 1, "--shard", "1/2", "--json").stdout)
    assert (facts["shard"], facts["cases"]) == ("1/2", 2)
    assert run(*data, "--copies", 1).exit_code == 0
    assert len((tmp_path / "out/manifest.csv").read_text().splitlines()) == 5


@pytest.mark.parametrize("shard", ["3", "0/2", "3/2", "a/b", "1/2/3", "-1/2", "1.0/2"])
def test_refused_shard_has_status_2(data, tmp_path, shard):
    result = run(*data, "--shard", shard)
    assert result.exit_code == 2
    assert re.match(rf"error: shard must be i/n .* got .*{re.escape(shard)}", result.stderr)
    assert not (tmp_path / "out").exists()


def test_masks_are_asked_for(data, tmp_path):
    result = run("augment", "--images", tmp_path / "images", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert result.stderr == "error: masks must be given where images are a folder, got None\n"


def test_tars_are_counted_as_such(data, tmp_path):
    pytest.importorskip("webdataset", reason="needs the extra `webdataset`")
    result = run(*data, "--copies", 2, "--per-tar", 3)
    assert result.exit_code == 0, result.output
    assert "2 of 2 tars" in result.stderr
    assert re.search("cases .* 4 ", result.stdout) and re.search("outputs .* 8 ", result.stdout)
    names = sorted(path.name for path in (tmp_path / "out").glob("*.tar"))
    assert names == ["000000.tar", "000001.tar"]


@pytest.mark.parametrize("module", ["webdataset", "braceexpand"])
def test_missing_webdataset_has_status_2_and_one_sentence(module, tmp_path):
    arguments = ["augment", "--images", str(tmp_path / "{0..1}.tar"), "--out", str(tmp_path / "o")]
    (tmp_path / "0.tar").write_bytes(bytes(10240))
    (tmp_path / "1.tar").write_bytes(bytes(10240))
    code = (
        f"import sys; sys.modules[{module!r}] = None; import runpy; sys.argv += {arguments!r}; "
        "runpy.run_module('sasaug', run_name='__main__')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr == missing(module, "webdataset", *arguments)
    assert not (tmp_path / "o").exists()


def test_interrupt_has_status_130_and_the_same_command_goes_on(tmp_path):
    for index in range(24):
        write(tmp_path / f"images/x{index}.png", picture(index, (300, 300, 3)))
        write(tmp_path / f"masks/x{index}.png", disc((300, 300), 60, 255, (150, 150)))
    command = [*arguments(tmp_path, tmp_path / "out"), "--copies", 8, "--jobs", 1]
    # a shell's background job, as this test may be, passes on that interrupts are ignored
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    process = start(*command, stderr=subprocess.PIPE, text=True, **heard)
    journals, limit = tmp_path / "out/.sasaug", time.monotonic() + LIMIT
    while not list(journals.glob("*/journal-*")) and time.monotonic() < limit:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=LIMIT)
    assert process.returncode == 130, said
    assert said.endswith("error: interrupted; run the same command again to resume\n")
    assert not (tmp_path / "out/manifest.csv").exists()
    facts = json.loads(run(*command, "--json").stdout)
    assert facts["cases"] == 24 and 0 < facts["earlier"] < 24
