"""One job: give all figures one style."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

WIDTH = 7.0  # inches, of a page
# Okabe and Ito's: told apart by colour-blind readers, and by shape in black and white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
LINES = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
STYLE = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "figure.constrained_layout.use": True,
    "pdf.fonttype": 42,  # text stays text
}


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in our style, and leave the caller's as it was."""

    @wraps(draw)
    def inner(*args: Any, **options: Any) -> Figure:
        with matplotlib.rc_context(STYLE):
            return draw(*args, **options)

    return inner


def save(
    figure: Figure, path: str | Path, formats: Sequence[str] = ("png",), dpi: int = 300
) -> list[Path]:
    """Write a figure as PNG, PDF or both; the path goes without its ending."""
    paths = [Path(f"{path}.{ending}") for ending in formats]
    for each in paths:
        each.parent.mkdir(parents=True, exist_ok=True)
        with matplotlib.rc_context(STYLE):
            figure.savefig(each, dpi=dpi)
    return paths
