"""One job: draw scores: against clicks, against a box, and as distributions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ..tables import (
    METRICS,
    RESAMPLES,
    SIZES,
    Interval,
    Runs,
    Scores,
    bootstrap_mean,
    check_same_cases,
    scores,
)
from .style import COLOURS, LINES, MARKERS, WIDTH, styled

NAMES = {"dice": "Dice", "nsd": "NSD", "small": "Small", "large": "Large", "all": "All"}


@styled
def clicks_figure(
    runs: Runs,
    *,
    columns: str = "size",
    test_sets: Sequence[str] | None = None,
    sizes: Sequence[str] = SIZES,
    metrics: Sequence[str] = METRICS,
    by_group: bool = False,
    resamples: int = RESAMPLES,
    note: str = "",
) -> Figure:
    """Metric against clicks with 95 % intervals, a curve per run (the paper's Fig. 4).

    Parameters
    ----------
    runs : rows by run, all on the same cases
    columns : "size" averages over test sets, a column per size; "test_set" has a column per test
        set (five fit the page), of the first of ``sizes``
    test_sets : all by default
    """
    held = _test_sets(runs, test_sets)
    if columns == "size":
        panels = [(held, size) for size in sizes]
    elif columns == "test_set":
        panels = [([test_set], sizes[0]) for test_set in held]
    else:
        raise ValueError(f'columns must be "size" or "test_set", got {columns!r}')
    options = {"by_group": by_group, "resamples": resamples}
    figure, axes = _grid(len(metrics), len(panels))
    for j, (row, metric) in enumerate(zip(axes, metrics, strict=True)):
        for ax, (names, size) in zip(row, panels, strict=True):
            for i, (run, rows) in enumerate(runs.items()):
                found = _scores(rows, names, size, metric, "click")
                if found:
                    _curve(ax, i, run, found[0].clicks, bootstrap_mean(found, **options))
            if j == 0:
                ax.set_title(_title(found, size, names if columns == "test_set" else None))
        row[0].set_ylabel(NAMES[metric])
    for ax in axes[-1]:
        ax.set_xlabel("Clicks")
    handles = [_handle(i, run) for i, run in enumerate(runs)]
    _finish(figure, axes, [*handles, _interval_handle()], note)
    return figure


@styled
def prompts_figure(
    runs: Runs,
    *,
    size: str = "all",
    test_sets: Sequence[str] | None = None,
    metrics: Sequence[str] = METRICS,
    by_group: bool = False,
    resamples: int = RESAMPLES,
    note: str = "",
) -> Figure:
    """Clicks (curves) against one box (level lines), averaged over test sets (Fig. 2).

    With runs such as "full" and "frozen encoder" it compares these as well. Each run needs rows of
    both prompts.
    """
    held = _test_sets(runs, test_sets)
    check_same_cases(runs, "box")
    options = {"by_group": by_group, "resamples": resamples}
    figure, axes = _grid(1, len(metrics), height=2.6)
    for ax, metric in zip(axes[0], metrics, strict=True):
        for i, (run, rows) in enumerate(runs.items()):
            found = _scores(rows, held, size, metric, "click")
            if not found:
                raise ValueError(f"no {size} cases in {held}")
            _curve(ax, i, run, found[0].clicks, bootstrap_mean(found, **options))
            boxes = bootstrap_mean(_scores(rows, held, size, metric, "box"), **options)
            mean, low, high = (float(end[0]) for end in boxes)
            ax.axhline(mean, color=COLOURS[i], linestyle=LINES[2], label=f"{run}, box")
            ax.axhspan(low, high, color=COLOURS[i], alpha=0.12, linewidth=0)
        ax.set_xlabel("Clicks")
        ax.set_ylabel(NAMES[metric])
        ax.set_title(_title(found, size))
    handles = [_handle(i, f"{run}, clicks") for i, run in enumerate(runs)]
    for i, run in enumerate(runs):
        handles.append(Line2D([], [], color=COLOURS[i], linestyle=LINES[2], label=f"{run}, box"))
    _finish(figure, axes, [*handles, _interval_handle()], note)
    return figure


@styled
def violins_figure(
    runs: Runs,
    *,
    clicks: Sequence[int] = (1, 2, 4, 8),
    sizes: Sequence[str] = ("small", "large"),
    test_sets: Sequence[str] | None = None,
    metrics: Sequence[str] = METRICS,
    note: str = "",
) -> Figure:
    """Distribution of the cases' scores by size, with their quartiles (Figs. 5 to 7).

    Two runs share a violin, one half each; of several test sets the cases are pooled.
    """
    held = _test_sets(runs, test_sets)
    figure, axes = _grid(len(metrics), len(sizes), height=2.1)
    for j, (row, metric) in enumerate(zip(axes, metrics, strict=True)):
        for ax, size in zip(row, sizes, strict=True):
            for i, rows in enumerate(runs.values()):
                found = _scores(rows, held, size, metric, "click", clicks)
                if found:
                    _violins(ax, i, len(runs), np.concatenate([each.values for each in found]))
            ax.set_xticks(range(len(clicks)), [str(k) for k in clicks])
            ax.set_ylim(-0.02, 1.02)
            ax.grid(False, axis="x")
            if j == 0:
                ax.set_title(_title(found, size))
        row[0].set_ylabel(NAMES[metric])
    for ax in axes[-1]:
        ax.set_xlabel("Clicks")
    handles: list[Any] = [Patch(color=COLOURS[i], label=run) for i, run in enumerate(runs)]
    middle = {"marker": "o", "markerfacecolor": "white", "color": "0.4", "linewidth": 2.5}
    handles.append(Line2D([], [], label="median and quartiles", **middle))
    _finish(figure, axes, handles, note)
    return figure


def _test_sets(runs: Runs, wanted: Sequence[str] | None) -> list[str]:
    if not runs:
        raise ValueError("no runs to draw")
    if len(runs) > len(LINES):
        raise ValueError(f"at most {len(LINES)} runs can be told apart, got {len(runs)}")
    held = check_same_cases(runs)
    missing = sorted(set(wanted or ()) - set(held))
    if missing:
        raise ValueError(f"test sets {missing} were not evaluated; these were: {held}")
    return list(wanted or held)


def _scores(
    rows: Sequence[Any],
    test_sets: Sequence[str],
    size: str,
    metric: str,
    prompt: str,
    clicks: Sequence[int] | None = None,
) -> list[Scores]:
    """Of each test set that has cases of this size."""
    options = {"size": size, "metric": metric, "prompt": prompt, "clicks": clicks}
    found = [scores(rows, test_set, **options) for test_set in test_sets]
    return [each for each in found if each.cases]


def _title(found: Sequence[Scores], size: str, test_sets: Sequence[str] | None = None) -> str:
    n = sum(len(each.cases) for each in found)
    if test_sets:
        return f"{test_sets[0]}\n{NAMES[size].lower()}, n = {n}"
    sets = f" in {len(found)} sets" if len(found) > 1 else ""
    return f"{NAMES[size]} (n = {n}{sets})"


def _grid(rows: int, columns: int, height: float = 1.9) -> tuple[Figure, NDArray[Any]]:
    figure = Figure(figsize=(WIDTH, height * rows + 0.5))
    return figure, figure.subplots(rows, columns, squeeze=False, sharex=True, sharey="row")


def _curve(ax: Axes, i: int, run: str, clicks: Sequence[int], found: Interval) -> None:
    ax.fill_between(clicks, found.low, found.high, color=COLOURS[i], alpha=0.2, linewidth=0)
    ax.plot(
        clicks, found.mean, color=COLOURS[i], marker=MARKERS[i], linestyle=LINES[i % 2], label=run
    )
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def _handle(i: int, label: str) -> Line2D:
    return Line2D([], [], color=COLOURS[i], marker=MARKERS[i], linestyle=LINES[i % 2], label=label)


def _interval_handle() -> Patch:
    return Patch(color="0.6", alpha=0.4, linewidth=0, label="95 % interval of the mean")


def _finish(figure: Figure, axes: NDArray[Any], handles: Sequence[Any], note: str) -> None:
    for ax in axes.flat:
        if not ax.has_data():
            ax.text(0.5, 0.5, "no cases", transform=ax.transAxes, ha="center", color="0.5")
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    if note:
        figure.suptitle(note, fontsize=8)


def _violins(ax: Axes, i: int, runs: int, values: NDArray[np.float64]) -> None:
    """Violins of values [case, clicks] at 0, 1, ...; halves when two runs are drawn."""
    places = np.arange(values.shape[1], dtype=float)
    width, side = 0.8, ("low", "high")[i % 2] if runs == 2 else "both"
    if runs > 2:
        width = 0.8 / runs
        places += (i - (runs - 1) / 2) * width
    drawn = ax.violinplot(values, places, widths=width, showextrema=False, side=side)
    for body in drawn["bodies"]:
        body.set(facecolor=COLOURS[i], alpha=0.45, edgecolor=COLOURS[i])
    # the quartiles, beside each other where halves meet
    shift = {"low": -0.06, "high": 0.06, "both": 0.0}[side]
    low, middle, high = np.percentile(values, [25, 50, 75], axis=0)
    ax.vlines(places + shift, low, high, color=COLOURS[i], linewidth=2.5)
    ax.scatter(places + shift, middle, s=14, color="white", edgecolor=COLOURS[i], zorder=3)
