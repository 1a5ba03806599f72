"""One job: a run's charts: small SVGs on a white card, so that they read on any background."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from matplotlib import pyplot as plt
from summary import COPY, OURS, Row, Summary

OURS_COLOUR, THEIRS_COLOUR, ROOF_COLOUR = "#0b6e99", "#9aa5ae", "#d5dade"
TICKS = {0.125: "1/8", 0.25: "1/4", 0.5: "1/2"} | {2.0**k: str(2**k) for k in range(8)}
STYLE = {
    "svg.fonttype": "none", "svg.hashsalt": "sasaug", "font.family": "sans-serif",
    "font.sans-serif": ["Arial", "Helvetica", "DejaVu Sans"], "font.size": 13,
    "axes.spines.top": False, "axes.spines.right": False, "figure.facecolor": "white",
}  # fmt: skip


def draw_all(summary: Summary, folder: Path, name: str) -> list[Path]:
    """Write the charts that the run has rows for; returns their paths."""
    matplotlib.use("agg")
    found = {case: rows for _, case, rows in summary.cases()}
    written: list[Path] = []
    with plt.rc_context(STYLE):
        if "whole SAS, uint8" in found:
            path = folder / f"{name}-whole-sas.svg"
            whole_sas(found["whole SAS, uint8"], summary, path)
            written.append(path)
        if any(case.endswith(" workers") for case in found):
            path = folder / f"{name}-loader.svg"
            loader({c: r for c, r in found.items() if c.endswith(" workers")}, path)
            written.append(path)
        if any(case.startswith("one image, side") for case in found):
            path = folder / f"{name}-scaling.svg"
            scaling({c: r for c, r in found.items() if c.startswith("one image, side")}, path)
            written.append(path)
    return written


def whole_sas(rows: dict[str, Row], summary: Summary, path: Path) -> None:
    """Images per second on one thread, from zero: lengths compare as the figures do."""
    bars = sorted((r for r in rows.values() if r.contender != COPY), key=lambda r: r.rate)
    figure, axes = plt.subplots(figsize=(7, 0.6 + 0.36 * len(bars)))
    colours = [OURS_COLOUR if r.contender == OURS else THEIRS_COLOUR for r in bars]
    drawn = axes.barh([r.contender for r in bars], [r.rate for r in bars], color=colours)
    axes.bar_label(drawn, [f" {r.rate:,.0f}" for r in bars])
    axes.set_title(
        "Whole SAS, images per second on one thread\n256 x 256, uint8, every image transformed",
        loc="left", x=-0.62, fontsize=13,
    )  # fmt: skip
    axes.set_xlim(0, 1.15 * bars[-1].rate)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(left=False)
    axes.text(
        1, 0, f"{summary.machine}\ncommit {summary.commit}, {summary.date}",
        transform=axes.transAxes, ha="right", va="bottom", fontsize=9, color="#57606a",
    )  # fmt: skip
    save(figure, path)


def loader(cases: dict[str, dict[str, Row]], path: Path) -> None:
    """Images per second of a DataLoader, by contender and number of workers."""
    titles = {COPY: "no augmentation"}
    names = list(dict.fromkeys(name for rows in cases.values() for name in rows))[::-1]
    figure, axes = plt.subplots(figsize=(7, 1 + 0.75 * len(names)))
    height = 0.8 / len(cases)
    for place, (case, rows) in enumerate(cases.items()):
        at = [n + 0.4 - (place + 0.5) * height for n, name in enumerate(names) if name in rows]
        rates = [rows[name].rate for name in names if name in rows]
        colour = (ROOF_COLOUR, THEIRS_COLOUR, OURS_COLOUR)[place % 3]
        drawn = axes.barh(at, rates, height, color=colour, label=case)
        axes.bar_label(drawn, [f" {rate:,.0f}" for rate in rates], fontsize=9)
    axes.set_yticks(range(len(names)), [titles.get(name, name) for name in names])
    axes.set_title("Images per second of a torch DataLoader, whole SAS", loc="left", fontsize=13)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(left=False)
    axes.legend(frameon=False, loc="lower right")
    save(figure, path)


def scaling(cases: dict[str, dict[str, Row]], path: Path) -> None:
    """Nanoseconds per pixel over the side of one image; both axes in powers of two."""
    sides = [round(rows[OURS].pixels ** 0.5) for rows in cases.values()]
    figure, axes = plt.subplots(figsize=(7, 3.6))
    for name, colour in ((OURS, OURS_COLOUR), (COPY, THEIRS_COLOUR)):
        axes.plot(sides, [rows[name].ns for rows in cases.values()], "o-", color=colour, label=name)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xticks(sides, [str(side) for side in sides])
    axes.set_yticks(list(TICKS), list(TICKS.values()))
    axes.minorticks_off()
    axes.grid(color="#e6e9eb")
    axes.set_title("Whole SAS of one uint8 image: ns per pixel", loc="left", fontsize=13)
    axes.set_xlabel("side in pixels")
    axes.legend(frameon=False)
    save(figure, path)


def save(figure: plt.Figure, path: Path) -> None:
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None, "Creator": None})
    plt.close(figure)
