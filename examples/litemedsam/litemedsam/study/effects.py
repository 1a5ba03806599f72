"""One job: from scores to effects: an arm minus its reference, with an interval.

An effect pairs the runs of two arms that differ in nothing else: the same seed, the same weights to
start from, the same machine. It is a mean over clicks, then cases, then test sets, then seeds. Its
interval is a percentile interval of 95 % from a bootstrap that draws seeds and cases together, with
replacement: every seed is tested on the same cases.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .plan import Plan, Run
from .tables import Entry

RESAMPLES = 10_000
SIZES = ("small", "large")
#: What is made of a case's Dice after 1, 2, ... clicks.
MEASURES = ("mean", "first")


class Cell(NamedTuple):
    """Runs that differ in arm and seed alone."""

    setting: str
    regime: str
    learning_rate: float
    steps: int


@dataclass(frozen=True)
class Effect:
    """Dice of an arm and of its reference, and their difference.

    Attributes
    ----------
    size : of the structures, "small" or "large"
    measure : "mean", over the clicks, or "first" click alone
    cases : number of each seed
    seeds : in the order of ``by_seed``
    low, high : ends of the difference's interval; none with one seed
    by_seed : difference of each seed
    """

    cell: Cell
    arm: str
    size: str
    measure: str
    cases: int
    seeds: tuple[int, ...]
    reference: float
    value: float
    difference: float
    low: float | None
    high: float | None
    by_seed: tuple[float, ...]


def pairs(
    plan: Plan, entries: Sequence[Entry], runs: Iterable[Run]
) -> dict[tuple[Cell, str], list[tuple[Entry, Entry]]]:
    """Pair each arm's result with its reference from the same start on the same machine.

    Parameters
    ----------
    runs : of the plan, those to look at

    Returns
    -------
    dict
        For each cell and arm, (arm, reference) by seed in its order. An arm without a reference of
        its start and machine is left out.
    """
    by_key = {entry.key: entry for entry in entries}
    by_run: dict[str, list[Entry]] = {}
    for entry in entries:
        by_run.setdefault(entry.run, []).append(entry)
    result: dict[tuple[Cell, str], list[tuple[Entry, Entry]]] = {}
    for run in runs:
        if run.arm == plan.reference:
            continue
        reference = run.with_arm(plan.reference).name
        for entry in by_run.get(run.name, ()):
            other = by_key.get((reference, entry.start, entry.machine))
            if other is not None:
                result.setdefault((cell_of(run), run.arm), []).append((entry, other))
                break
    return {key: sorted(found, key=lambda pair: pair[0].seed) for key, found in result.items()}


def cell_of(run: Run) -> Cell:
    """Return the cell that a run belongs to."""
    return Cell(run.setting, run.regime, run.learning_rate, run.steps)


def effects(plan: Plan, entries: Sequence[Entry], block: str | None = None) -> list[Effect]:
    """Every effect on the test sets that the scores allow, in the order of the plan.

    Of a block: from its runs, so that all its arms have its seeds, also those that other blocks
    give more.
    """
    runs = plan.runs() if block is None else plan.blocks[block]
    result = []
    for (cell, arm), found in pairs(plan, entries, runs).items():
        test_sets = plan.settings[cell.setting].test
        for size in SIZES:
            for measure in MEASURES:
                effect = _effect(cell, arm, found, test_sets, size, measure)
                if effect is not None:
                    result.append(effect)
    return result


def _effect(
    cell: Cell,
    arm: str,
    found: Sequence[tuple[Entry, Entry]],
    test_sets: Sequence[str],
    size: str,
    measure: str,
) -> Effect | None:
    values = [table([pair[0] for pair in found], name, size, measure) for name in test_sets]
    references = [table([pair[1] for pair in found], name, size, measure) for name in test_sets]
    kept = [k for k, value in enumerate(values) if value.size]
    if not kept:
        return None
    differences = [values[k] - references[k] for k in kept]
    seeds = tuple(pair[0].seed for pair in found)
    low, high = interval(differences) if len(seeds) > 1 else (None, None)
    return Effect(
        cell, arm, size, measure, sum(d.shape[1] for d in differences), seeds,
        float(np.mean([references[k].mean() for k in kept])),
        float(np.mean([values[k].mean() for k in kept])),
        float(np.mean([d.mean() for d in differences])),
        low, high,
        tuple(np.mean([d.mean(1) for d in differences], 0).tolist()),
    )  # fmt: skip


def table(entries: Sequence[Entry], test_set: str, size: str, measure: str) -> NDArray[np.float64]:
    """One number per seed and case: float64 [seeds cases], the cases in the same order.

    Raises
    ------
    ValueError
        The results are not of the same cases.
    """
    rows = []
    first: list[str] | None = None
    for entry in entries:
        chosen = sorted(
            (s for s in entry.scores if s.test_set == test_set and s.small == (size == "small")),
            key=lambda s: s.case,
        )
        names = [s.case for s in chosen]
        if first is not None and names != first:
            raise ValueError(f"{entry.run}: must have the cases of {entries[0].run} in {test_set}")
        first = names
        rows.append([s.dice[0] if measure == "first" else np.mean(s.dice) for s in chosen])
    return np.array(rows, np.float64)


def interval(differences: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    """Ends of the 95 % interval of the mean of differences [seeds cases], one for each test set.

    A resample draws seeds, the same for all test sets, and the cases of each test set.
    """
    by_seed, *by_case = weights(len(differences[0]), tuple(d.shape[1] for d in differences))
    total = np.zeros(RESAMPLES)
    for difference, cases in zip(differences, by_case, strict=True):
        total += ((by_seed @ difference) * cases).sum(1)
    low, high = np.percentile(total / len(differences), [2.5, 97.5])
    return float(low), float(high)


@lru_cache(maxsize=8)
def weights(seeds: int, cases: tuple[int, ...]) -> list[NDArray[np.float64]]:
    """Draw how often each resample takes a seed, and a case of each test set: [resamples n]."""
    draw = np.random.default_rng(0)
    return [draw.multinomial(n, np.full(n, 1 / n), RESAMPLES) / n for n in (seeds, *cases)]


def held_out(plan: Plan, entries: Sequence[Entry]) -> dict[tuple[Cell, str], float]:
    """Dice, mean of the clicks, cases and seeds, on held-out cases of the training data."""
    by_cell: dict[tuple[Cell, str], list[float]] = {}
    runs: Mapping[str, Run] = {run.name: run for run in plan.runs()}
    for entry in entries:
        if entry.run not in runs or not runs[entry.run].steps:
            continue
        run = runs[entry.run]
        held = plan.settings[run.setting].held_out
        dice = [np.mean(s.dice) for s in entry.scores if s.test_set in held]
        if dice:
            by_cell.setdefault((cell_of(run), run.arm), []).append(float(np.mean(dice)))
    return {key: float(np.mean(values)) for key, values in by_cell.items()}
