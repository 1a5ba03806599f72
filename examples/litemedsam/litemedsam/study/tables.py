"""One job: keep a study's scores: a file per run while it is made, two tables once it is committed.

``runs.csv`` has a row per run; ``scores.csv.xz`` one per run and case, with Dice after each click.
"""

from __future__ import annotations

import csv
import io
import json
import lzma
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .plan import Run
from .run import CaseScore

RUNS, SCORES = "runs.csv", "scores.csv.xz"
RUN_COLUMNS = (
    "run", "setting", "regime", "arm", "learning_rate", "steps", "seed", "start", "machine",
    "seconds",
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One run's result.

    Attributes
    ----------
    run : its name
    start : digest of the weights that it started from
    machine : what it was made on
    seconds : how long it took
    scores : of every case
    """

    run: str
    setting: str
    regime: str
    arm: str
    learning_rate: float
    steps: int
    seed: int
    start: str
    machine: str
    seconds: float
    scores: tuple[CaseScore, ...]

    @classmethod
    def of(
        cls, run: Run, start: str, machine: str, seconds: float, scores: Iterable[CaseScore]
    ) -> Entry:
        """Put a run and its result together; Dice is kept to three decimals."""
        rounded = tuple(
            CaseScore(s.test_set, s.case, s.small, tuple(round(d, 3) for d in s.dice))
            for s in scores
        )
        return cls(
            run.name, run.setting, run.regime, run.arm, run.learning_rate, run.steps, run.seed,
            start, machine, round(seconds, 1), rounded,
        )  # fmt: skip

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes a result unique: a run, from one start, on one machine."""
        return self.run, self.start, self.machine


def write_entry(path: Path, entry: Entry) -> None:
    """Write one run's result, whole or not at all."""
    _replace(path, json.dumps(asdict(entry)).encode())


def read_entry(path: Path) -> Entry:
    """Read one run's result."""
    content = json.loads(path.read_text(encoding="utf-8"))
    scores = tuple(
        CaseScore(s["test_set"], s["case"], s["small"], tuple(s["dice"])) for s in content["scores"]
    )
    return Entry(**{**content, "scores": scores})


def collect(out: Path, tables: Path) -> list[Entry]:
    """Add the finished runs of a folder to the tables; return all."""
    entries = {entry.key: entry for entry in read_entries(tables)}
    for path in sorted((out / "runs").glob("*.json")):
        entry = read_entry(path)
        entries[entry.key] = entry
    ordered = sorted(entries.values(), key=lambda entry: entry.key)
    write_entries(tables, ordered)
    return ordered


def write_entries(tables: Path, entries: Sequence[Entry]) -> None:
    """Write both tables."""
    runs, scores = io.StringIO(), io.StringIO()
    run_rows = csv.writer(runs, lineterminator="\n")
    run_rows.writerow(RUN_COLUMNS)
    score_rows = csv.writer(scores, lineterminator="\n")
    clicks = max((len(s.dice) for entry in entries for s in entry.scores), default=0)
    score_rows.writerow(
        ["run", "start", "test_set", "case", "small", *(f"dice_{k + 1}" for k in range(clicks))]
    )
    for entry in entries:
        run_rows.writerow([getattr(entry, column) for column in RUN_COLUMNS])
        for s in entry.scores:
            score_rows.writerow([entry.run, entry.start, s.test_set, s.case, int(s.small), *s.dice])
    _replace(tables / SCORES, lzma.compress(scores.getvalue().encode(), preset=9))
    _replace(tables / RUNS, runs.getvalue().encode())


def read_entries(tables: Path) -> list[Entry]:
    """Read both tables; none: nothing."""
    if not (tables / RUNS).exists():
        return []
    scores: dict[tuple[str, str], list[CaseScore]] = {}
    with lzma.open(tables / SCORES, "rt", encoding="utf-8", newline="") as file:
        for run, start, test_set, case, small, *dice in csv.reader(file):
            if run != "run":
                values = tuple(float(value) for value in dice if value)
                score = CaseScore(test_set, case, small == "1", values)
                scores.setdefault((run, start), []).append(score)
    with (tables / RUNS).open(encoding="utf-8", newline="") as file:
        return [_entry(row, scores[row["run"], row["start"]]) for row in csv.DictReader(file)]


def _entry(row: dict[str, Any], scores: list[CaseScore]) -> Entry:
    numbers = {
        "learning_rate": float(row["learning_rate"]), "steps": int(row["steps"]),
        "seed": int(row["seed"]), "seconds": float(row["seconds"]),
    }  # fmt: skip
    return Entry(**{**row, **numbers}, scores=tuple(scores))


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(content)
    os.replace(partial, path)
