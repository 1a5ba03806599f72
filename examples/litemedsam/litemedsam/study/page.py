"""One job: the study's page and its tables, from the scores.

The page is written by hand but for what stands between two marks; ``tables.md`` is made whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..figures import save
from ..markdown import table
from .effects import SIZES, Cell, Effect, effects, held_out
from .figures import arms_figure, effects_figure
from .plan import Plan
from .tables import Entry

BEGIN, END = "<!-- made from the scores by the study command -->", "<!-- end of what is made -->"
FIGURE, ARMS_FIGURE, TABLES = "effects", "arms", "tables.md"
NOT_RUN = "not run yet"
#: A plan's blocks and their effects.
Blocks = Mapping[str, Sequence[Effect]]
CELL, DIFFERENCE = ("setting", "regime", "learning rate", "steps"), "difference [95 %]"
CAPTION = f"""\
![Difference in Dice between arms and no augmentation against the learning rate, one column per \
regime, small structures above, large ones below]({FIGURE}.png)

*Dice with an arm minus Dice without augmentation, mean of the clicks. Bars: 95 % intervals over \
seeds and cases together. Small dots: each seed.*"""
ARMS_CAPTION = f"""\
![Difference in Dice between arms and no augmentation, a row per arm, small structures on the \
left, large ones on the right]({ARMS_FIGURE}.png)

*The same differences for the arms of other questions, with their 95 % intervals.*"""
TABLES_TITLE = """\
# Tables of the study

The study command makes this page from the scores; [the study](README.md) says what the names \
mean. Dice is a mean over the clicks, but for the last column. A block compares its arms by its \
own seeds."""


def write_page(plan: Plan, entries: Sequence[Entry], page: Path) -> None:
    """Put what is made between the page's marks, and the figures and all tables beside it.

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
    found = effects(plan, entries)
    blocks = {block: effects(plan, entries, block) for block in plan.blocks}
    made = markdown(plan, found, blocks, clicks(entries))
    page.write_text(f"{before}{BEGIN}\n\n{made}\n{END}{after}", encoding="utf-8")
    page.with_name(TABLES).write_text(all_tables(plan, entries, blocks), encoding="utf-8")
    if found:
        save(effects_figure(plan, found), page.with_name(FIGURE), dpi=150)
    if shown := of_other_questions(plan, blocks):
        save(arms_figure(plan, shown), page.with_name(ARMS_FIGURE), dpi=150)


def markdown(plan: Plan, found: Sequence[Effect], blocks: Blocks, clicks: int) -> str:
    """Return what the page shows: the figures, if there is an effect, and the primary outcome."""
    found = [e for e in found if e.measure == "mean"]
    parts = [
        *([CAPTION, summary(plan, found)] if found else []),
        f"### Dice with and without `{plan.figure.arms[0]}`, mean of clicks 1 to {clicks}",
        primary_table(plan, found),
        *([ARMS_CAPTION] if of_other_questions(plan, blocks) else []),
        f"Every comparison, with each seed and after the first click: [{TABLES}]({TABLES}).",
    ]
    return "\n\n".join(parts) + "\n"


def all_tables(plan: Plan, entries: Sequence[Entry], blocks: Blocks) -> str:
    """Return the page of all tables: one for each block, then bases, held-out cases, progress."""
    parts = [TABLES_TITLE]
    for block, found in blocks.items():
        if any(run.arm != plan.reference for run in plan.blocks[block]):
            parts += [f"## {block[0].upper()}{block[1:]}", effect_table(found)]
    parts += [
        "## What the bases know, before any fine-tuning",
        base_table(plan, entries),
        "## Dice on held-out cases of the training set",
        held_out_table(plan, entries),
        "## Progress",
        progress(plan, entries),
    ]
    return "\n\n".join(parts) + "\n"


def of_other_questions(plan: Plan, blocks: Blocks) -> dict[str, list[Effect]]:
    """Return what the second figure shows: the mean effects of its blocks that have any."""
    found = {
        block: [e for e in blocks[block] if e.measure == "mean"] for block in plan.figure.blocks
    }
    return {block: chosen for block, chosen in found.items() if chosen}


def summary(plan: Plan, found: Sequence[Effect]) -> str:
    """Return a line per size on the figure's first arm, the primary outcome.

    Of the cells that have the most seeds: the others are not finished.
    """
    arm, setting = plan.figure.arms[0], plan.figure.setting
    steps = plan.settings[setting].steps
    lines = []
    for size in SIZES:
        begun = [
            e for e in found
            if (e.arm, e.size, e.cell.setting) == (arm, size, setting)
            and e.cell.steps == steps
        ]  # fmt: skip
        if begun:
            seeds = max(len(e.seeds) for e in begun)
            shown = [e for e in begun if len(e.seeds) == seeds]
            values = [e.difference for e in shown]
            above = sum(e.low is not None and e.low > 0 for e in shown)
            below = sum(e.high is not None and e.high < 0 for e in shown)
            lines.append(
                f"- **{size.capitalize()} structures:** after {steps} steps `{arm}` minus "
                f"`{plan.reference}` lies between {min(values):+.3f} and {max(values):+.3f}. "
                f"Cells: {len(shown)}; seeds in each: {seeds}; "
                f"the whole interval is above 0 in {above}, below 0 in {below}. "
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


def primary_table(plan: Plan, found: Sequence[Effect]) -> str:
    """Return a row per cell of the primary outcome's arm, both sizes beside each other."""
    by_key = {(e.cell, e.size): e for e in found if e.arm == plan.figure.arms[0]}
    settings, regimes = list(plan.settings), list(plan.regimes)

    def place(cell: Cell) -> tuple[int, int, int, float]:
        at = settings.index(cell.setting), cell.steps, regimes.index(cell.regime)
        return *at, cell.learning_rate

    rows = []
    for cell in sorted({cell for cell, _ in by_key}, key=place):
        small, large = (by_key.get((cell, size)) for size in SIZES)
        shown = small or large
        if shown is not None:
            rows.append([*_cell(cell), len(shown.seeds), *_both(small), *_both(large)])
    columns = [f"{size}, {each}" for size in SIZES for each in (plan.reference, DIFFERENCE)]
    head = [*CELL, "seeds", *columns]
    return _markdown(head, rows) if rows else f"{NOT_RUN}."


def effect_table(found: Sequence[Effect]) -> str:
    """Return a row per cell, arm and size."""
    first = {(e.cell, e.arm, e.size): e for e in found if e.measure == "first"}
    rows = [
        [
            *_cell(e.cell), e.arm, e.size, f"{len(e.seeds)} x {e.cases}", f"{e.reference:.3f}",
            f"{e.value:.3f}", _difference(e), _each_seed(e),
            _difference(first[e.cell, e.arm, e.size]),
        ]
        for e in found
        if e.measure == "mean"
    ]  # fmt: skip
    head = [
        *CELL, "arm", "structures", "seeds x cases", "without", "with", DIFFERENCE, "each seed",
        "after the first click [95 %]",
    ]  # fmt: skip
    return _markdown(head, rows) if rows else f"{NOT_RUN}."


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
    """Return a row per cell, a column for the reference and for each arm of the figure."""
    found = held_out(plan, entries)
    if not found:
        return f"{NOT_RUN}."
    arms = [plan.reference, *plan.figure.arms]
    rows = [
        [*_cell(cell), *(f"{found[cell, a]:.3f}" if (cell, a) in found else "" for a in arms)]
        for cell in sorted({cell for cell, arm in found if arm in arms})
    ]
    return _markdown([*CELL, *arms], rows)


def clicks(entries: Sequence[Entry]) -> int:
    """Return the number of clicks of the tests."""
    return max((len(s.dice) for entry in entries for s in entry.scores), default=0)


def _seeds(runs: Sequence[Any], done: set[str]) -> int:
    seeds = {run.seed for run in runs}
    return sum(all(run.name in done for run in runs if run.seed == seed) for seed in seeds)


def _cell(cell: Cell) -> list[str]:
    return [cell.setting, cell.regime, f"{cell.learning_rate:g}", f"{cell.steps}"]


def _both(effect: Effect | None) -> list[str]:
    return ["", ""] if effect is None else [f"{effect.reference:.3f}", _difference(effect)]


def _difference(effect: Effect) -> str:
    if effect.low is None or effect.high is None:
        return f"**{effect.difference:+.3f}** (one seed)"
    return f"**{effect.difference:+.3f}** [{effect.low:+.3f}, {effect.high:+.3f}]"


def _each_seed(effect: Effect) -> str:
    return " ".join(f"{value:+.3f}" for value in effect.by_seed)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    return table(head, [[str(value) for value in row] for row in rows]).rstrip("\n")
