"""A study: its plan, its queue, resumed to the same table, and its fair pairs."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from litemedsam.study import effects, queue, tables
from litemedsam.study import run as runs
from litemedsam.study import study as run_study
from litemedsam.study.plan import read_plan
from tiny_study import TINY, write_plan

EXAMPLE = Path(__file__).resolve().parents[1]


# ---- the queue -----------------------------------------------------------------------------


def table_of(folder: Path) -> list:
    return [replace(entry, seconds=0) for entry in tables.read_entries(folder)]


KILLED = """
import os, signal, sys
from pathlib import Path
from litemedsam.study import run, study
score_cases, calls = run.score_cases, []
def killed(*arguments):
    calls.append(arguments)
    if len(calls) == int(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)
    return score_cases(*arguments)
run.score_cases = killed
study(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
"""


def test_a_study_killed_and_resumed_ends_in_the_same_table(prepared, whole_study, tmp_path):
    plan, out = write_plan(tmp_path / "killed"), tmp_path / "out"
    command = [sys.executable, "-c", KILLED, plan, prepared, out]
    # two test sets per run: in the middle of the second run's test, then of the third's
    for call, done in ((4, 1), (4, 2)):
        result = subprocess.run([*command, str(call)], cwd=EXAMPLE, check=False)
        assert result.returncode == -signal.SIGKILL
        assert len(list((out / "runs").glob("*.json"))) == done
    run_study(plan, prepared, out)
    assert len(table_of(plan.parent)) == 4
    assert table_of(plan.parent) == table_of(whole_study)
    for name in ("README.md", "tables.md"):
        assert (plan.parent / name).read_text() == (whole_study / name).read_text()


def test_nothing_that_is_done_is_made_again(prepared, whole_study, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(runs, "make_run", lambda *arguments: made.append(arguments))
    run_study(whole_study / "plan.toml", prepared, whole_study / "out")
    assert made == []
    # the committed tables suffice: a new folder, as on another day
    run_study(whole_study / "plan.toml", prepared, tmp_path / "empty")
    assert made == []


def test_two_processes_share_a_queue(prepared, tmp_path):
    plan = read_plan(write_plan(tmp_path))
    one = queue.Queue(plan, prepared, tmp_path / "out", tmp_path)
    other = queue.Queue(plan, prepared, tmp_path / "out", tmp_path)
    run = plan.runs()[2]
    with one.locked(run.name) as mine:
        assert mine
        assert other.make(run) is False  # it is being made
    assert other.make(run) is True
    assert one.make(run) is False  # it is there


def test_arms_of_a_pair_start_alike_and_seeds_do_not(whole_study):
    start = {entry.run: entry.start for entry in tables.read_entries(whole_study)}
    assert start["tiny_A_0.001x2_none_0"] == start["tiny_A_0.001x2_sas_0"]
    assert start["tiny_C_0.001x2_none_0"] == start["tiny_C_0.001x2_sas_0"]
    assert len(set(start.values())) == 2
    setting = read_plan(whole_study / "plan.toml").settings["tiny"]
    digests = {runs.digest(runs.new_model(setting, seed).state_dict()) for seed in (0, 0, 1)}
    assert len(digests) == 2


def test_a_base_is_trained_on_from_another(prepared, tmp_path):
    text = TINY.replace(
        "[regimes]",
        """
[bases.boxes]
config = "tiny"
train = ["large"]
steps = 2
prompts = ["box"]
[regimes]""",
    ).replace("[bases.clicks]", '[bases.clicks]\nstart = "boxes"', 1)
    plan = read_plan(write_plan(tmp_path, text))
    runs_folder = queue.Queue(plan, prepared, tmp_path / "out", tmp_path)
    after = runs_folder.base("clicks")
    before = torch.load(tmp_path / "out" / "bases" / "boxes.pt", weights_only=True)
    again = runs.make_base(plan, "clicks", prepared, before)
    assert runs.digest(again) == runs.digest(after)
    assert runs.digest(runs.make_base(plan, "clicks", prepared, None)) != runs.digest(after)


def test_a_reference_from_another_base_is_made_again(prepared, tmp_path):
    plan_path, out = write_plan(tmp_path), tmp_path / "out"
    run_study(plan_path, prepared, out, most=1)
    first = tables.read_entries(tmp_path)
    assert [entry.run for entry in first] == ["tiny_C_0.001x2_none_0"]
    base = out / "bases" / "clicks.pt"
    state = torch.load(base, weights_only=True)
    torch.save({key: value + 1e-3 for key, value in state.items()}, base)
    run_study(plan_path, prepared, out)
    entries = tables.read_entries(tmp_path)
    names = [entry.run for entry in entries]
    assert names.count("tiny_C_0.001x2_none_0") == 2 and len(names) == 5
    plan = read_plan(plan_path)
    for arm, reference in [
        pair for found in effects.pairs(plan, entries, plan.runs()).values() for pair in found
    ]:
        assert (arm.start, arm.machine) == (reference.start, reference.machine)


def test_the_learning_rate_rises_then_falls():
    values = [runs.rate(step, 100, 0.1) for step in range(100)]
    assert values[0] == pytest.approx(0.1) and values[9] == values[10] == 1.0
    assert values[10:] == sorted(values[10:], reverse=True)
    assert values[-1] == pytest.approx(runs.LEAST_RATE, abs=0.001)


# ---- the plan ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[arms.none]", "[arms.none", "must be a TOML file"),
        ('reference = "none"', "", "'reference' is missing"),
        ('reference = "none"', 'reference = "nothing"',
         "reference: 'nothing' must be one of the arms: none, sas"),
        ('sas = "both"', 'sass = "both"', r"arms.sas has unknown keys \['sass'\]; known are"),
        ('blocks = ["axis"]', 'block = ["axis"]',
         r"figure has unknown keys \['block'\]; known are \['arms', 'blocks', 'setting'\]"),
        ('blocks = ["axis"]', 'blocks = ["axes"]',
         "figure: 'axes' must be one of the blocks: axis"),
        ('regimes = ["C", "A"]', 'regimes = ["D"]',
         "block 'axis': 'D' must be one of the regimes: A, C"),
        ('C = "clicks"', 'C = "click"',
         "regimes.C: 'click' must be one of the bases: none, clicks"),
        ("[bases.clicks]", '[bases.clicks]\nstart = "box"',
         "bases.clicks: 'box' must be one of the bases: none, clicks"),
        ('test = ["test"]', 'test = ["tests"]',
         "settings.tiny: 'tests' must be one of the data: large, held, test"),
        ('arms = ["none", "sas"]', 'arms = ["both"]',
         "block 'axis': 'both' must be one of the arms: none, sas"),
    ],
)  # fmt: skip
def test_a_plan_that_is_not_right_is_refused(tmp_path, old, new, message):
    path = write_plan(tmp_path, TINY.replace(old, new, 1))
    with pytest.raises(ValueError, match=f"^{path}: .*{message}"):
        read_plan(path)


def test_a_plan_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match=f"^{tmp_path}/no.toml: no such plan$"):
        read_plan(tmp_path / "no.toml")


def test_seeds_are_outermost_and_runs_come_once(tmp_path):
    blocks = TINY.split("[[blocks]]")[1].replace("[0]", "[0, 1]")
    cells = blocks.split("[[blocks.cells]]")[1].replace("1e-3", "1e-4")
    text = f"""{TINY}[[blocks]]{blocks.replace('"axis"', '"more"')}[[blocks.cells]]{cells}"""
    found = read_plan(write_plan(tmp_path, text)).runs()
    # the first block's four runs come again in the second, whose seed 1 is last
    assert [run.seed for run in found] == [0] * 8 + [1] * 8
    assert [run.learning_rate for run in found] == ([1e-3] * 4 + [1e-4] * 4) * 2
    assert len({run.name for run in found}) == 16
    assert [run.arm for run in found[:2]] == ["none", "sas"]


def test_a_base_is_tested_by_clicks_and_by_boxes(prepared, tmp_path):
    cells = TINY.split("[[blocks.cells]]")[1]
    text = TINY.replace(
        "[arms.none]",
        """[settings.boxes]
config = "tiny"
train = ["large"]
test = ["test"]
test_prompt = "box"
[arms.none]""",
    ).replace(cells, cells.replace('["C", "A"]', '["C"]') + "steps = 0\n")
    text += f"[[blocks.cells]]{cells}steps = 0".replace('"tiny"', '"boxes"')
    path = write_plan(tmp_path, text.replace('arms = ["none", "sas"]', 'arms = ["none"]'))
    run_study(path, prepared, tmp_path / "out")
    table = (tmp_path / "tables.md").read_text().split("## What the bases know")[1]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| C")]
    assert {(row[4], row[6] == " |") for row in rows} == {("click", False), ("box", True)}
