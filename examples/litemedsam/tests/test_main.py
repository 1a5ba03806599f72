"""The commands: each has its help, and the demo does all of it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from typer.testing import CliRunner

from litemedsam import demo
from litemedsam.__main__ import app


@pytest.mark.parametrize("command", ["prepare", "train", "evaluate", "figures", "demo"])
def test_help(command):
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0 and "Usage" in result.output


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
