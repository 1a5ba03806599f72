"""One job: a run's tables in Markdown: ns per pixel, images and GB per second, ratios, losses."""

from __future__ import annotations

from losses import reason
from summary import COPY, OURS, Row, Summary

COMMAND = "pytest benchmarks --benchmark-json=r.json && python benchmarks/report.py r.json"
COLUMNS = (
    "ns per pixel", "slowest and quickest turn", "images/s", "GB/s", "times the copy",
    "times sasaug",
)  # fmt: skip
#: what is read first stands first; further tables follow as they ran
ORDER = ("whole SAS", "thumbnail alone", "one noise", "DataLoader", "what a call costs")
HOW = """Contenders run in turn, round after round. Figures are medians of {turns} turns; a ratio is
the median of the turns' ratios. One thread where nothing else is said; freed memory is kept, so
that nobody waits for fresh pages. A pixel is one of the canvas, with all of its channels. GB/s
counts image and mask, in and out; the copy is that of the same bytes, into new arrays or given
ones."""


def markdown(summary: Summary) -> str:
    turns = max(len(row.seconds) for row in summary.rows)
    parts = [
        f"# {summary.machine}\n",
        f"{summary.system}, Python {summary.python}, instruction set {summary.instruction_set}  ",
        "Versions: " + ", ".join(f"{k} {v}" for k, v in summary.versions.items()) + "  ",
        f"Commit: {summary.commit}, {summary.date}  ",
        *([f"Remark: {summary.remark}  "] if summary.remark else []),
        f"Command: `{COMMAND}`\n",
        HOW.format(turns=turns) + "\n",
    ]
    shown, told = "", set[tuple[str, str]]()
    for table, case, rows in sorted(summary.cases(), key=lambda found: place(found[0])):
        if table != shown:
            parts.append(f"## {table[0].upper()}{table[1:]}\n")
            shown = table
        parts += [f"### {case}\n", *head(OURS in rows)]
        parts += [*(line(row, rows) for row in rows.values()), ""]
        parts += listed(losses(rows) + notes(rows, told))
    parts += listed([f"- not run: {name}: {why}" for name, why in summary.skipped.items()])
    return "\n".join(parts).rstrip() + "\n"


def place(table: str) -> int:
    """Of a table among ORDER's; those not named come last."""
    return next((n for n, name in enumerate(ORDER) if table.startswith(name)), len(ORDER))


def head(with_ours: bool) -> list[str]:
    columns = COLUMNS if with_ours else COLUMNS[:-1]
    return [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]


def notes(rows: dict[str, Row], told: set[tuple[str, str]]) -> list[str]:
    """What each contender does, where it has not been told before."""
    new = [r for r in rows.values() if r.note and (r.contender, r.note) not in told]
    told.update((row.contender, row.note) for row in new)
    return [f"- {row.contender}: {row.note}" for row in new]


def listed(lines: list[str]) -> list[str]:
    return [*lines, ""] if lines else []


def line(row: Row, rows: dict[str, Row]) -> str:
    low, high = row.spread
    cells = [
        row.contender, f"{row.ns:.3g}", f"{high:.3g}, {low:.3g}", f"{row.rate:,.0f}",
        f"{row.gb:.2g}", ratio(row, rows.get(COPY)),
    ]  # fmt: skip
    if OURS in rows:
        cells.append(ratio(row, rows[OURS]))
    return f"| {' | '.join(cells)} |"


def ratio(row: Row, other: Row | None) -> str:
    return "" if other is None else f"{row.times(other):.3g}"


def losses(rows: dict[str, Row]) -> list[str]:
    """A line for each contender but the copy that is quicker than sasaug."""
    ours = rows.get(OURS)
    if ours is None:
        return []
    others = [row for name, row in rows.items() if name != COPY and not name.startswith(OURS)]
    quicker = [row for row in others if row.times(ours) < 1]
    return [f"- **quicker than sasaug**: {row.contender}. {reason(row)}" for row in quicker]
