"""One job: the study's page: its tables, between two marks, and its figure, from the scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from ..figures import COLOURS, MARKERS, save, styled
from ..markdown import table
from .effects import SIZES, Cell, Effect, effects, held_out
from .plan import Plan
from .tables import Entry

BEGIN, END = "<!-- made from the scores by the study command -->", "<!-- end of what is made -->"
FIGURE = "effects"
NOT_RUN = "not run yet"
CAPTION = f"""\
![Difference in Dice between arms and no augmentation against the learning rate, one column per \
regime, small structures above, large ones below]({FIGURE}.png)

*Dice with an arm minus Dice without augmentation, mean of the clicks. Bars: 95 % intervals over \
seeds and cases together. Small dots: each seed.*"""


def write_page(plan: Plan, entries: Sequence[Entry], page: Path) -> None:
    """Put the tables between the page's marks, and the figure beside it.

    Raises
    ------
    ValueError
        The page lacks the marks.
    """
    text = page.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"{page} must hold {BEGIN!r} and {END!r}, once each")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    made = markdown(plan, entries)
    page.write_text(f"{before}{BEGIN}\n\n{made}\n{END}{after}", encoding="utf-8")
    found = effects(plan, entries)
    if found:
        save(effects_figure(plan, found), page.with_name(FIGURE), dpi=150)


def markdown(plan: Plan, entries: Sequence[Entry]) -> str:
    """Return the figure, where there is an effect to show, and every table of the page."""
    found = effects(plan, entries)
    mean = [e for e in found if e.measure == "mean"]
    first = [e for e in found if e.measure == "first"]
    parts = [CAPTION, summary(plan, mean)] if found else []
    for size in SIZES:
        parts += [
            f"### Dice on {size} structures, mean of clicks 1 to {clicks(entries)}",
            effect_table([e for e in mean if e.size == size]),
        ]
    parts += [
        "### Dice on small structures after the first click",
        effect_table([e for e in first if e.size == "small"]),
        "### Dice of the bases, before any fine-tuning",
        base_table(plan, entries),
        "### Dice on held-out cases of the training set",
        held_out_table(plan, entries),
        "### Progress",
        progress(plan, entries),
    ]
    return "\n\n".join(parts) + "\n"


def summary(plan: Plan, found: Sequence[Effect]) -> str:
    """Return a line per size on the figure's first arm, the primary outcome.

    Of the cells that have the most seeds: the others are not finished.
    """
    arm = plan.figure.arms[0]
    lines = []
    for size in SIZES:
        begun = [
            e for e in found
            if (e.arm, e.size, e.cell.setting) == (arm, size, plan.figure.setting)
        ]  # fmt: skip
        if begun:
            seeds = max(len(e.seeds) for e in begun)
            shown = [e for e in begun if len(e.seeds) == seeds]
            values = [e.difference for e in shown]
            above = sum(e.low is not None and e.low > 0 for e in shown)
            below = sum(e.high is not None and e.high < 0 for e in shown)
            lines.append(
                f"- **{size.capitalize()} structures:** `{arm}` minus `{plan.reference}` lies "
                f"between {min(values):+.3f} and {max(values):+.3f}. Cells: {len(shown)}; seeds "
                f"in each: {seeds}; the whole interval is above 0 in {above}, below 0 in {below}. "
                f"Cells with fewer seeds, not counted: {len(begun) - len(shown)}."
            )
    return "\n".join(lines)


def progress(plan: Plan, entries: Sequence[Entry]) -> str:
    """Return how much of each block is done."""
    done = {entry.run for entry in entries}
    rows = [
        [name, len(runs), sum(run.name in done for run in runs), _seeds(runs, done) or NOT_RUN]
        for name, runs in plan.blocks.items()
    ]
    blocks = _markdown(["block", "runs planned", "done", "seeds complete"], rows)
    return f"{blocks}\n\nA run that several blocks need is made once and counts in each."


def effect_table(found: Sequence[Effect]) -> str:
    """Return a row per cell and arm."""
    if not found:
        return f"{NOT_RUN}."
    rows = [
        [
            *_cell(e.cell), e.arm, f"{len(e.seeds)} x {e.cases}", f"{e.reference:.3f}",
            f"{e.value:.3f}", f"**{e.difference:+.3f}** {_interval(e)}",
            " ".join(f"{value:+.3f}" for value in e.by_seed),
        ]
        for e in found
    ]  # fmt: skip
    return _markdown(
        ["setting", "regime", "learning rate", "steps", "arm", "seeds x cases", "none", "arm's",
         "difference [95 %]", "each seed"],
        rows,
    )  # fmt: skip


def base_table(plan: Plan, entries: Sequence[Entry]) -> str:
    """Return a row per base and size, from the runs of no steps."""
    prompts = {
        run.name: plan.settings[run.setting].test_prompt for run in plan.runs() if run.steps == 0
    }
    rows = []
    for entry in entries:
        sets = dict.fromkeys(s.test_set for s in entry.scores) if entry.run in prompts else {}
        for name in sets:
            for size in SIZES:
                dice = [
                    s.dice for s in entry.scores
                    if s.test_set == name and s.small == (size == "small")
                ]  # fmt: skip
                if dice:
                    means = [f"{value:.3f}" for value in np.mean(dice, 0)]
                    last = means[-1] if means[1:] else ""
                    rows.append(
                        [entry.regime, name, size, len(dice), prompts[entry.run], means[0], last]
                    )
    head = [
        "regime", "cases of", "size", "cases", "prompt", "first", f"after {clicks(entries)} clicks",
    ]  # fmt: skip
    return _markdown(head, rows) if rows else f"{NOT_RUN}."


def held_out_table(plan: Plan, entries: Sequence[Entry]) -> str:
    """Return a row per cell, a column per arm of the figure."""
    found = held_out(plan, entries)
    if not found:
        return f"{NOT_RUN}."
    arms = [arm for arm in plan.arms if any(key[1] == arm for key in found)]
    cells = list(dict.fromkeys(key[0] for key in found))
    rows = [
        [*_cell(cell), *(f"{found[cell, a]:.3f}" if (cell, a) in found else "" for a in arms)]
        for cell in sorted(cells)
    ]
    return _markdown(["setting", "regime", "learning rate", "steps", *arms], rows)


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
    low = [e.difference if e.low is None else e.low for e in chosen]
    high = [e.difference if e.high is None else e.high for e in chosen]
    ax.errorbar(
        x, y, [y - low, high - y], color=COLOURS[k], marker=MARKERS[k], linestyle="-",
        linewidth=0.8, elinewidth=1.4, capsize=2, label=arm,
    )  # fmt: skip
    for at, effect in zip(x, chosen, strict=True):
        seeds = effect.by_seed
        ax.plot(
            [at * 1.06] * len(seeds), seeds, ".", color=COLOURS[k], markersize=3, alpha=0.6
        )  # fmt: skip


def clicks(entries: Sequence[Entry]) -> int:
    """Return the number of clicks of the tests."""
    return max((len(s.dice) for entry in entries for s in entry.scores), default=0)


def _seeds(runs: Sequence[Any], done: set[str]) -> int:
    seeds = {run.seed for run in runs}
    return sum(all(run.name in done for run in runs if run.seed == seed) for seed in seeds)


def _cell(cell: Cell) -> list[str]:
    return [cell.setting, cell.regime, f"{cell.learning_rate:g}", f"{cell.steps}"]


def _interval(effect: Effect) -> str:
    if effect.low is None or effect.high is None:
        return "(one seed)"
    return f"[{effect.low:+.3f}, {effect.high:+.3f}]"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    return table(head, [[str(value) for value in row] for row in rows]).rstrip("\n")
