"""One job: the tables of a comparison as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from .tables import Average, Summary

__all__ = ["average_table", "summary_table", "table"]


def summary_table(
    summaries: Sequence[Summary], clicks: Sequence[int] = (1, 2, 4, 8), note: str = ""
) -> str:
    """A line per test set, size, metric and run; a column for the box and each number of clicks."""
    found: dict[tuple[str, str, str, str], dict[int, Summary]] = {}
    for row in summaries:
        found.setdefault((row.test_set, row.size, row.metric, row.run), {})[row.clicks] = row
    held = {row.clicks for row in summaries}
    columns = [k for k in (0, *clicks) if k in held]
    order = list(dict.fromkeys(key[:3] for key in found))
    lines = []
    for key in sorted(found, key=lambda key: order.index(key[:3])):  # runs below each other
        test_set, size, metric, run = key
        cells = [found[key].get(k) for k in columns]
        n = next(iter(found[key].values())).n
        values = [f"{c.mean:.3f} {_span(c.low, c.high)}" if c else "" for c in cells]
        lines.append([test_set, size, str(n), _metric(metric), run, *values])
    header = ["Test set", "Structures", "n", "Metric", "Run"]
    return table([*header, *map(_prompt, columns)], lines, note)


def average_table(rows: Sequence[Average], note: str = "") -> str:
    """A line per mean over test sets and clicks."""
    lines = [
        [
            *(row.size, str(row.test_sets), str(row.n), _metric(row.metric), row.clicks),
            *(f"{row.first_mean:.3f}", f"{row.second_mean:.3f}"),
            f"{row.difference:+.3f} {_span(row.low, row.high, '+')}",
        ]
        for row in rows
    ]
    names = [rows[0].first, rows[0].second] if rows else ["First", "Second"]
    header = ["Structures", "Test sets", "n", "Metric", "Clicks", *names]
    return table([*header, "Difference [95 % interval]"], lines, note)


def table(header: Sequence[str], lines: Iterable[Sequence[str]], note: str = "") -> str:
    """A Markdown table with a note below it."""
    rule = ["---:" if name in ("n", "Test sets") else "---" for name in header]
    rows = [header, rule, *lines]
    text = "\n".join("| " + " | ".join(line) + " |" for line in rows)
    return f"{text}\n\n{note}\n" if note else f"{text}\n"


def _span(low: float, high: float, sign: str = "") -> str:
    return f"[{low:{sign}.3f}, {high:{sign}.3f}]" if np.isfinite(low) else "[n too small]"


def _metric(metric: str) -> str:
    return {"dice": "Dice", "nsd": "NSD"}[metric]


def _prompt(clicks: int) -> str:
    return "box" if clicks == 0 else f"{clicks} click{'s' * (clicks > 1)}"
