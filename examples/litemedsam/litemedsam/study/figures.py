"""One job: draw the study's effects: against the learning rate, and of arms below each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from ..figures import COLOURS, MARKERS, styled
from .effects import SIZES, Effect
from .plan import Plan

ROW = 0.24  # height of an arm's row, in inches


@styled
def effects_figure(plan: Plan, found: Sequence[Effect]) -> Figure:
    """Difference against learning rate: a column per regime, a row per size, a colour per arm.

    Bars are the 95 % intervals, small dots the seeds.
    """
    setting, arms = plan.figure.setting, plan.figure.arms
    shown = [
        e for e in found
        if e.cell.setting == setting and e.arm in arms and e.measure == "mean"
        and e.cell.steps == plan.settings[setting].steps
    ]  # fmt: skip
    regimes = [r for r in plan.regimes if any(e.cell.regime == r for e in shown)] or ["A"]
    figure = Figure(figsize=(7.0, 4.2))
    axes = figure.subplots(len(SIZES), len(regimes), sharex=True, sharey="row", squeeze=False)
    drawn = [arm for arm in arms if any(e.arm == arm for e in shown)]
    for row, size in zip(axes, SIZES, strict=True):
        for ax, regime in zip(row, regimes, strict=True):
            ax.axhline(0, color="0.4", linewidth=0.8)
            for k, arm in enumerate(drawn):
                chosen = [
                    e for e in shown
                    if (e.cell.regime, e.size, e.arm) == (regime, size, arm)
                ]  # fmt: skip
                _points(ax, k, len(drawn), arm, chosen)
            ax.set_xscale("log")
            rates = sorted({e.cell.learning_rate for e in shown})
            ax.set_xlim(rates[0] / 1.6, rates[-1] * 1.6)
            ax.set_xticks(rates, [f"{rate:.0e}".replace("e-0", "e-") for rate in rates])
            ax.xaxis.set_minor_formatter(NullFormatter())
        row[0].set_ylabel(f"{size} structures\nDice, arm minus {plan.reference}")
    for ax, regime in zip(axes[0], regimes, strict=True):
        ax.set_title(f"Regime {regime}")
    for ax in axes[-1]:
        ax.set_xlabel("learning rate of the fine-tuning")
    handles = dict(
        pair for ax in axes.flat for pair in zip(*ax.get_legend_handles_labels()[::-1], strict=True)
    )
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(drawn))
    return figure


def _points(ax: Any, k: int, arms: int, arm: str, chosen: Sequence[Effect]) -> None:
    if not chosen:
        return
    chosen = sorted(chosen, key=lambda e: e.cell.learning_rate)
    x = np.array([e.cell.learning_rate for e in chosen]) * 1.15 ** (k - (arms - 1) / 2)
    y = np.array([e.difference for e in chosen])
    ax.errorbar(
        x, y, _bars(chosen), color=COLOURS[k], marker=MARKERS[k], linestyle="-",
        linewidth=0.8, elinewidth=1.4, capsize=2, label=arm,
    )  # fmt: skip
    for at, effect in zip(x, chosen, strict=True):
        seeds = effect.by_seed
        ax.plot(
            [at * 1.06] * len(seeds), seeds, ".", color=COLOURS[k], markersize=3, alpha=0.6
        )  # fmt: skip


@styled
def arms_figure(plan: Plan, blocks: Mapping[str, Sequence[Effect]]) -> Figure:
    """Difference of each block's arms: a row per arm, a column per size, a colour per regime.

    Bars are the 95 % intervals. ``blocks`` holds each block's effects on the mean of the clicks.
    """
    rows = [
        (block, arm)
        for block, found in blocks.items()
        for arm in dict.fromkeys(e.arm for e in found)
    ]
    shown = [e for found in blocks.values() for e in found]
    regimes = [regime for regime in plan.regimes if any(e.cell.regime == regime for e in shown)]
    figure = Figure(figsize=(7.0, 1.2 + ROW * (len(rows) + len(blocks))))
    axes = figure.subplots(1, len(SIZES), sharey=True)
    heights = _heights(rows)
    for ax, size in zip(axes, SIZES, strict=True):
        ax.axvline(0, color="0.4", linewidth=0.8)
        for k, regime in enumerate(regimes):
            chosen = [
                (heights[block, e.arm], e)
                for block, found in blocks.items()
                for e in found
                if (e.size, e.cell.regime) == (size, regime)
            ]
            x = np.array([e.difference for _, e in chosen])
            y = np.array([height for height, _ in chosen]) + 0.22 * (k - (len(regimes) - 1) / 2)
            ax.errorbar(
                x, y, xerr=_bars([e for _, e in chosen]), color=COLOURS[k], marker=MARKERS[k],
                linestyle="", elinewidth=1.4, capsize=2, label=f"regime {regime}",
            )  # fmt: skip
        ax.set_title(f"{size} structures")
        ax.set_xlabel(f"Dice, arm minus {plan.reference}")
    axes[0].set_yticks(list(heights.values()), [arm for _, arm in rows])
    axes[0].set_ylim(max(heights.values(), default=0) + 0.6, -0.4)
    for block in blocks:
        top = min(height for (name, _), height in heights.items() if name == block)
        axes[0].text(
            -0.02, top - 1, block, transform=axes[0].get_yaxis_transform(), ha="right",
            va="center", weight="bold",
        )  # fmt: skip
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(regimes))
    return figure


def _heights(rows: Sequence[tuple[str, str]]) -> dict[tuple[str, str], float]:
    """Where each row lies: one below the other, with a row for the title of each block."""
    heights: dict[tuple[str, str], float] = {}
    titles = 0
    for k, (block, arm) in enumerate(rows):
        titles += k == 0 or block != rows[k - 1][0]
        heights[block, arm] = k + titles
    return heights


def _bars(chosen: Sequence[Effect]) -> Any:
    """How far each interval reaches below and above its difference [2 n]; one seed has none."""
    at = np.array([e.difference for e in chosen])
    low = np.array([e.difference if e.low is None else e.low for e in chosen])
    high = np.array([e.difference if e.high is None else e.high for e in chosen])
    return np.stack([at - low, high - at])
