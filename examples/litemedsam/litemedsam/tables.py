"""One job: turn scores of cases into the tables of the paper: means, intervals, paired tests.

All intervals are percentile intervals of 95 %, from 10,000 bootstraps over cases, or over groups
(patients, where the data set knows them) on request: cases of one patient are not independent, and
resampling them one by one makes intervals too narrow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap, wilcoxon

from .evaluate import Row, read_rows

SIZES = ("small", "large", "all")
METRICS = ("dice", "nsd")
RESAMPLES = 10_000

Runs = Mapping[str, Sequence[Row]]


@dataclass(frozen=True)
class Scores:
    """One metric of one run on one test set: values [case, clicks] in [0, 1], or differences."""

    cases: tuple[str, ...]
    groups: tuple[str, ...]
    clicks: tuple[int, ...]
    values: NDArray[np.float64]


class Interval(NamedTuple):
    """Mean, and the ends of its 95 % interval, for each number of clicks: [clicks]."""

    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True)
class Summary:
    """Mean of one run over n cases of a test set; 0 clicks are the box."""

    run: str
    test_set: str
    size: str
    prompt: str
    clicks: int
    metric: str
    n: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Mean difference, first - second, over the same n cases, and Wilcoxon's two-sided p."""

    first: str
    second: str
    test_set: str
    size: str
    prompt: str
    clicks: int
    metric: str
    n: int
    difference: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Average:
    """Mean over clicks, then over test sets, each counting the same however many cases it has."""

    first: str
    second: str
    size: str
    prompt: str
    clicks: str
    metric: str
    test_sets: int
    n: int
    first_mean: float
    second_mean: float
    difference: float
    low: float
    high: float


def load_runs(folders: Mapping[str, str | Path]) -> dict[str, list[Row]]:
    """Rows of each run, by the name it shall have in tables and figures."""
    return {run: read_rows(folder) for run, folder in folders.items()}


def rows_of(runs: Runs, run: str) -> Sequence[Row]:
    if run not in runs:
        raise KeyError(f"no run {run!r} among {sorted(runs)}")
    return runs[run]


def sets_in(rows: Iterable[Row], prompt: str = "click") -> list[str]:
    """Names of the test sets that were evaluated with this prompt, in their order."""
    return list(dict.fromkeys(row.test_set for row in rows if row.prompt == prompt))


def scores(
    rows: Iterable[Row],
    test_set: str,
    *,
    size: str = "all",
    metric: str = "dice",
    prompt: str = "click",
    clicks: Sequence[int] | None = None,
) -> Scores:
    """Scores of one test set's cases of a size, in the order of their names; may hold no case.

    Parameters
    ----------
    size : one of ``SIZES``
    metric : one of ``METRICS``
    clicks : which numbers of clicks; all by default
    """
    if size not in SIZES or metric not in METRICS:
        raise ValueError(f"size must be one of {SIZES}, metric of {METRICS}: {size!r}, {metric!r}")
    here = [row for row in rows if row.test_set == test_set and row.prompt == prompt]
    if not here:
        raise ValueError(f"test set {test_set!r} was not evaluated with prompt {prompt!r}")
    held = sorted({row.clicks for row in here})
    columns = tuple(held if clicks is None else clicks)
    if not set(columns) <= set(held):
        raise ValueError(f"{test_set}: asked for {columns} clicks, evaluated for {tuple(held)}")
    if len(here) != len({row.case for row in here}) * len(held):
        raise ValueError(f"{test_set}: each case needs one row for each of {held} clicks")
    table: dict[str, dict[int, float]] = {}
    groups: dict[str, str] = {}
    for row in here:
        if size == "all" or row.small == (size == "small"):
            table.setdefault(row.case, {})[row.clicks] = getattr(row, metric)
            groups[row.case] = row.group
    cases = tuple(sorted(table))
    values = np.array([[table[case][k] for k in columns] for case in cases], dtype=float)
    return Scores(
        cases,
        tuple(groups[case] for case in cases),
        columns,
        values.reshape(len(cases), len(columns)),
    )


def difference(first: Scores, second: Scores) -> Scores:
    """First - second, case by case; both must hold the same cases and clicks."""
    if first.cases != second.cases:
        a, b = set(first.cases), set(second.cases)
        raise ValueError(
            f"two runs must hold the same cases: {len(a - b)} only in the first "
            f"{sorted(a - b)[:3]}, {len(b - a)} only in the second {sorted(b - a)[:3]}"
        )
    if first.clicks != second.clicks:
        raise ValueError(f"two runs must hold the same clicks: {first.clicks}, {second.clicks}")
    return Scores(first.cases, first.groups, first.clicks, first.values - second.values)


def over_clicks(each: Scores) -> Scores:
    """Each case's mean over its clicks: values [case, 1]."""
    mean = each.values.mean(1, keepdims=True)
    return Scores(each.cases, each.groups, (0,), mean)


def bootstrap_mean(
    sets: Sequence[Scores],
    *,
    by_group: bool = False,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Mean over test sets of the mean over cases, with its interval.

    Each test set is resampled on its own, so that every resample holds all of them. All numbers of
    clicks are computed from the same resamples. An interval needs two cases (groups) in each set:
    it is NaN otherwise.
    """
    sums, counts = zip(*(_per_unit(each, by_group) for each in sets), strict=True)

    def mean(*units: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
        # units drawn [resample, unit], or once in order [unit], -> [clicks, resample]
        drawn = [unit.astype(int) for unit in units]
        totals = [s[:, i].sum(axis) for s, i in zip(sums, drawn, strict=True)]
        sizes = [c[i].sum(axis) for c, i in zip(counts, drawn, strict=True)]
        return np.mean([t / n for t, n in zip(totals, sizes, strict=True)], axis=0)

    units = [np.arange(len(count)) for count in counts]
    centre = mean(*units)
    if min(map(len, units)) < 2:
        return Interval(centre, np.full_like(centre, np.nan), np.full_like(centre, np.nan))
    result = bootstrap(
        units,
        mean,
        n_resamples=resamples,
        # some 100 MB at a time
        batch=max(1, 10_000_000 // (max(map(len, units)) * len(centre))),
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(centre, result.low, result.high)


def _per_unit(each: Scores, by_group: bool) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Sums [clicks, unit] of the scores and counts [unit] of the cases in what is resampled."""
    if not each.cases:
        raise ValueError("no cases to average")
    if not by_group:
        return each.values.T, np.ones(len(each.cases), int)
    if not all(each.groups):
        raise ValueError("groups are not known for all cases: resample cases instead")
    names, unit = np.unique(each.groups, return_inverse=True)
    sums = np.zeros((len(names), len(each.clicks)))
    np.add.at(sums, unit, each.values)
    return sums.T, np.bincount(unit)


def paired_p(differences: NDArray[np.float64]) -> float:
    """Two-sided p of Wilcoxon's signed-rank test on differences [n]; equal pairs are dropped."""
    if not differences.any():
        return 1.0
    return float(wilcoxon(differences, zero_method="wilcox").pvalue)


def summarise(
    runs: Runs,
    *,
    metrics: Sequence[str] = METRICS,
    sizes: Sequence[str] = SIZES,
    by_group: bool = False,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Summary]:
    """Each run's mean and interval: test set x size x metric x prompt x clicks."""
    rows = []
    for run, held in runs.items():
        for prompt in ("box", "click"):
            for test_set in sets_in(held, prompt):
                for size in sizes:
                    for metric in metrics:
                        each = scores(held, test_set, size=size, metric=metric, prompt=prompt)
                        if not each.cases:
                            continue
                        found = bootstrap_mean(
                            [each], by_group=by_group, resamples=resamples, seed=seed
                        )
                        rows += [
                            Summary(run, test_set, size, prompt, k, metric, len(each.cases), *of_k)
                            for k, *of_k in zip(each.clicks, *map(list, found), strict=True)
                        ]
    return rows


def compare(
    runs: Runs,
    first: str,
    second: str,
    *,
    metrics: Sequence[str] = METRICS,
    sizes: Sequence[str] = SIZES,
    prompt: str = "click",
    by_group: bool = False,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Comparison]:
    """Paired comparison of two runs on the same cases: test set x size x metric x clicks.

    The p values are not corrected for how many there are, and take cases as independent.
    """
    rows = []
    for test_set in _shared_sets(runs, first, second, prompt):
        for size in sizes:
            for metric in metrics:
                _, _, delta = _pair(runs, first, second, test_set, size, metric, prompt, None)
                if not delta.cases:
                    continue
                found = bootstrap_mean([delta], by_group=by_group, resamples=resamples, seed=seed)
                rows += [
                    Comparison(
                        *(first, second, test_set, size, prompt, k, metric, len(delta.cases)),
                        *(float(end[i]) for end in found),
                        paired_p(delta.values[:, i]),
                    )
                    for i, k in enumerate(delta.clicks)
                ]
    return rows


def average(
    runs: Runs,
    first: str,
    second: str,
    *,
    metrics: Sequence[str] = METRICS,
    sizes: Sequence[str] = SIZES,
    prompt: str = "click",
    clicks: Sequence[int] | None = None,
    by_group: bool = False,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Average]:
    """The paper's headline: the gain of the first run over the second, over test sets and clicks.

    A test set without a case of the size does not count.
    """
    rows = []
    for size in sizes:
        for metric in metrics:
            pairs = [
                _pair(runs, first, second, test_set, size, metric, prompt, clicks)
                for test_set in _shared_sets(runs, first, second, prompt)
            ]
            pairs = [pair for pair in pairs if pair[2].cases]
            if not pairs:
                continue
            means = [np.mean([s.values.mean() for s in side]) for side in zip(*pairs, strict=True)]
            delta = [over_clicks(each) for _, _, each in pairs]
            found = bootstrap_mean(delta, by_group=by_group, resamples=resamples, seed=seed)
            rows.append(
                Average(
                    *(first, second, size, prompt, _range(pairs[0][2].clicks), metric, len(delta)),
                    sum(len(each.cases) for each in delta),
                    *(float(mean) for mean in means[:2]),
                    *(float(end[0]) for end in found),
                )
            )
    return rows


def _shared_sets(runs: Runs, first: str, second: str, prompt: str) -> list[str]:
    a, b = (sets_in(rows_of(runs, run), prompt) for run in (first, second))
    if set(a) != set(b):
        raise ValueError(f"two runs must hold the same test sets: {first} {a}, {second} {b}")
    return a


def _pair(
    runs: Runs,
    first: str,
    second: str,
    test_set: str,
    size: str,
    metric: str,
    prompt: str,
    clicks: Sequence[int] | None,
) -> tuple[Scores, Scores, Scores]:
    """Scores of both runs, and their difference."""
    a, b = (
        scores(runs[run], test_set, size=size, metric=metric, prompt=prompt, clicks=clicks)
        for run in (first, second)
    )
    try:
        return a, b, difference(a, b)
    except ValueError as error:
        raise ValueError(f"{first} and {second} on {test_set}: {error}") from None


def check_same_cases(runs: Runs, prompt: str = "click") -> list[str]:
    """The test sets that all runs share, case by case; an error where they do not."""
    first, *others = runs
    for other in others:
        for test_set in _shared_sets(runs, first, other, prompt):
            _pair(runs, first, other, test_set, "all", METRICS[0], prompt, None)
    held = sets_in(runs[first], prompt)
    if not held:
        raise ValueError(f"run {first!r} was not evaluated with prompt {prompt!r}")
    return held


def _range(clicks: Sequence[int]) -> str:
    whole = len(clicks) > 1 and clicks[-1] - clicks[0] == len(clicks) - 1
    return f"{clicks[0]}-{clicks[-1]}" if whole else ", ".join(map(str, clicks))
