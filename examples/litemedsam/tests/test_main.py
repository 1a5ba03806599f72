"""The commands: each has its help, and the demo does all of it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from typer.testing import CliRunner

from litemedsam import demo
from litemedsam.__main__ import app


@pytest.mark.parametrize("command", ["prepare", "train", "evaluate", "figures", "study", "demo"])
def test_help(command):
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0 and "Usage" in result.output


def fails(*arguments: object) -> str:
    """What a command says that must fail: one line, nothing on the other stream."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 2 and result.stdout == "", result.output
    assert result.stderr.count("\n") == 1 and result.stderr.endswith("\n"), result.stderr
    return result.stderr[:-1]


LAYOUT = (
    "is not a layout that its files tell; name one with --layout: busi, breast, ddti, nerve, "
    "abdominal, hc18, usgra, mmotu, plain, pairs. Your own files: images/ and masks/ with equal "
    "file names (pairs), or a manifest.csv with the columns image and mask (plain)"
)


def test_a_folder_of_no_known_layout_is_told_every_layout(tmp_path):
    data = tmp_path / "data"
    for folder in ("images", "masks"):
        (data / folder).mkdir(parents=True)
    out = tmp_path / "out"
    assert fails("prepare", data, out) == f"litemedsam prepare: {data}: {LAYOUT}"
    (data / "a.dcm").write_bytes(b"")
    assert fails("prepare", data, out) == f"litemedsam prepare: {data}: {LAYOUT}"
    assert fails("prepare", tmp_path / "no", out) == (
        f"litemedsam prepare: {tmp_path / 'no'}: must be a folder"
    )
    assert fails("prepare", data, out, "--layout", "plane") == (
        "litemedsam prepare: layout must be auto or one of busi, breast, ddti, nerve, abdominal, "
        "hc18, usgra, mmotu, plain, pairs, got 'plane'"
    )
    assert fails("prepare", data / "masks", out, "--layout", "pairs") == (
        f"litemedsam prepare: {data / 'masks' / 'images'}: is missing: layout pairs takes images/ "
        "and masks/"
    )
    assert not out.exists()


def test_a_group_that_is_a_class_is_told_the_option(tmp_path):
    training, _ = demo.folders(tmp_path, None, 0, 8)
    manifest = training / "manifest.csv"
    with manifest.open() as file:
        rows = list(csv.DictReader(file))
    with manifest.open("w") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows({**row, "group": "benign"} for row in rows)
    out = tmp_path / "run"
    shared = ("--out", out, "--config", "tiny", "--accelerator", "cpu", "--workers", 0)
    assert fails("train", training, *shared) == (
        "litemedsam train: group 'benign' has 8 of 8 cases: a class rather than a patient? Split "
        'by image instead: --group-by image, or group_by="image" of read_manifest'
    )
    assert not out.exists()
    more = ("--epochs", 1, "--clicks", 1, "--group-by", "image")
    result = CliRunner().invoke(app, [str(a) for a in ("train", training, *shared, *more)])
    assert result.exit_code == 0, result.output
    assert (out / "best.pt").exists()


def test_what_a_user_got_wrong_is_one_line(tmp_path):
    training, _ = demo.folders(tmp_path, None, 0, 8)
    out = tmp_path / "out"
    no = tmp_path / "no"
    train = ("train", training, "--out", out, "--accelerator", "cpu", "--workers", 0)
    tiny = (*train, "--config", "tiny")
    for arguments, said in (
        (("train", no, "--out", out, "--config", "tiny"),
         f"train: {no}/manifest.csv: is missing: a data folder holds images, masks and a "
         f"manifest.csv; make one with `python -m litemedsam prepare {no} NEW_FOLDER`"),
        ((*train, "--config", "tinny"),
         "train: config must be one of full, strided, tiny, lite0, lite0-128, got 'tinny'"),
        ((*tiny, "--sas", "thumb"),
         "train: mode must be one of ('none', 'thumbnail', 'noise', 'both'), got 'thumb'"),
        ((*tiny, "--prompt", "scribble"),
         'train: prompt must be "click" or "box", got \'scribble\''),
        ((*tiny, "--learning-rate", 0),
         "train: learning_rate must be a finite number > 0, got 0.0"),
        ((*tiny, "--weights", no),
         f"train: [Errno 2] No such file or directory: '{no}'"),
        ((*tiny, "--batch-size", 3, "--devices", 2),
         "train: batch-size must be a multiple of the 2 ranks, got 3"),
        (("evaluate", no, training, "--out", out),
         "evaluate: run must be a folder with best.pt, as train writes it, or a checkpoint, got "
         f"{no}"),
        (("figures", f"SAS={no}", "--out", out),
         f"figures: no results at {no}: evaluate this run first"),
        (("study", no), f"study: {no}: no such plan"),
    ):  # fmt: skip
        assert fails(*arguments) == f"litemedsam {said}"
        assert not out.exists() or not any(out.iterdir())


def test_a_fault_of_the_program_keeps_its_traceback(tmp_path, monkeypatch):
    def broken(*arguments, **options):
        raise TypeError("a fault")

    monkeypatch.setattr("litemedsam.__main__.prepare_folder", broken)
    result = CliRunner().invoke(app, ["prepare", str(tmp_path), str(tmp_path / "out")])
    assert isinstance(result.exception, TypeError)


def test_demo_does_all_of_it(tmp_path):
    text = demo.run(tmp_path / "out", epochs=1, pictures_of_each=12)
    assert "SAS against no SAS" in text and "| small |" in text
    report = tmp_path / "out" / "report"
    names = {path.name for path in report.iterdir()}
    assert names >= {
        "results.md", "summary.csv", "comparison.csv", "clicks.png", "violins.png", "prompts.png",
        "overlays.png", "tsne.png",
    }  # fmt: skip
    with (report / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["run"] for row in rows} == {"SAS", "no SAS"}
    assert {row["prompt"] for row in rows} == {"click", "box"}
    with pytest.raises(FileExistsError, match="out must be a new or empty folder"):
        demo.run(tmp_path / "out")


def test_demo_on_a_folder(tmp_path):
    demo.folders(tmp_path / "first", None, 0, 12)
    training, test = demo.folders(tmp_path / "second", tmp_path / "first" / "test", 0, 12)
    for folder in (training, test):
        with (folder / "manifest.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert rows and all((folder / row["mask"]).exists() for row in rows)
    with (training / "manifest.csv").open() as file:
        assert all(row["small"] == "0" for row in csv.DictReader(file))


def test_commands_on_files(tmp_path, monkeypatch):
    monkeypatch.chdir(Path(__file__).parent)
    training, test = demo.folders(tmp_path, None, 0, 8)
    runner = CliRunner()

    def run(*arguments):
        result = runner.invoke(app, [str(a) for a in arguments])
        assert result.exit_code == 0, result.output
        return result.output

    shared = ("--config", "tiny", "--accelerator", "cpu", "--workers", 0, "--epochs", 1)
    run("train", training, "--out", tmp_path / "a", *shared, "--clicks", 1, "--sas", "noise")
    more = ("--weights", tmp_path / "a" / "best.pt", "--freeze-encoder", "--prompt", "box")
    output = run("train", training, "--out", tmp_path / "b", *shared, *more)
    assert "cases to train on" in output
    for name in "ab":
        scores = tmp_path / f"scores-{name}"
        run("evaluate", tmp_path / name, test, "--out", scores, "--clicks", 2, "--workers", 0)
    output = run(
        "figures", f"A={tmp_path / 'scores-a'}", f"B={tmp_path / 'scores-b'}",
        "--out", tmp_path / "report", "--note", "a note",
    )  # fmt: skip
    assert "A against B" in output and "a note" in output
    prepared = run("prepare", test, tmp_path / "again", "--layout", "plain")
    assert "again" in prepared
