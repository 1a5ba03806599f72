"""One job: draw the figures of the paper from tables of scores, images and models.

Each function returns a matplotlib figure, as wide as a page of the paper; ``save`` writes it.
Nothing here touches pyplot, so no figure is ever shown or kept by mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from torch import Tensor

from .clicks import bounding_box
from .evaluate import Model, Step, interact, score
from .tables import (
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

WIDTH = 7.0  # inches, of a page
NAMES = {"dice": "Dice", "nsd": "NSD", "small": "Small", "large": "Large", "all": "All"}
# Okabe and Ito's: told apart by colour-blind readers, and by shape in black and white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
LINES = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
# on dark images
TRUTH, PREDICTION = "#F0E442", "#56B4E9"
CLICK: dict[int, dict[str, Any]] = {
    1: {"marker": "P", "markerfacecolor": "white"},
    0: {"marker": "X", "markerfacecolor": "#CC79A7"},
}
for _style in CLICK.values():
    _style |= {"markersize": 7, "markeredgecolor": "black", "markeredgewidth": 0.7}
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


@styled
def overlays_figure(
    models: Mapping[str, Model],
    images: Tensor,
    masks: Tensor,
    names: Sequence[str],
    *,
    clicks: int = 1,
    rule: str = "deepest",
    prompt: str = "click",
    margin: float = 0.5,
    note: str = "",
) -> Figure:
    """A row per case: the image, then each run's prediction, enlarged, and its clicks (Fig. 8).

    Parameters
    ----------
    models : by run, in evaluation mode, on the images' device
    images : float32 [b 3 s s] in [0, 1]
    masks : uint8 or bool [b s s]
    names : of the cases
    margin : around the structure, in its own sides; what a prediction has beyond is not shown
    """
    masks = masks.bool()
    steps: dict[str, Step] = {}
    for run, model in models.items():
        *_, steps[run] = interact(model, images, masks, prompt=prompt, clicks=clicks, rule=rule)
    dice = {run: score(step.prediction, masks)[0] for run, step in steps.items()}
    count = 1 + len(models)
    side = min(WIDTH / count, 2.2)
    figure = Figure(figsize=(side * count, side * len(images) + 0.8))
    axes = figure.subplots(len(images), count, squeeze=False)
    boxes = bounding_box(masks).cpu()
    for b, row in enumerate(axes):
        picture = images[b].mean(0).cpu().numpy()
        truth = masks[b].cpu().numpy()
        window = _window(boxes[b].tolist(), margin, truth.shape[-1])
        for ax in row:
            ax.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            _outline(ax, truth, TRUTH, "-")
            ax.set(xticks=[], yticks=[])
            ax.grid(False)
            ax.spines[:].set_visible(False)
        x, y, length = window
        row[0].add_patch(Rectangle((x, y), length, length, fill=False, ec="white", lw=0.8))
        row[0].set_ylabel(names[b], fontsize=7)
        for ax, (run, step) in zip(row[1:], steps.items(), strict=True):
            _outline(ax, step.prediction[b].cpu().numpy(), PREDICTION, "--")
            _draw_clicks(ax, step.xy[b].tolist(), step.labels[b].tolist())
            if prompt == "box":
                x0, y0, x1, y1 = boxes[b].tolist()
                box = Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0 + 1, y1 - y0 + 1, fill=False)
                box.set(edgecolor="white", linestyle=":")
                ax.add_patch(box)
            ax.set_xlim(x, x + length)
            ax.set_ylim(y + length, y)
            ax.set_xlabel(f"Dice {dice[run][b]:.2f}", fontsize=7, labelpad=2)
            if b == 0:
                ax.set_title(run)
    axes[0, 0].set_title("Image")
    handles = [
        Line2D([], [], color=TRUTH, label="true outline"),
        Line2D([], [], color=PREDICTION, linestyle="--", label="predicted outline"),
    ]
    if prompt == "click":
        for label, name in ((1, "click on what was missed"), (0, "click on what was too much")):
            handles.append(Line2D([], [], linestyle="", label=name, **CLICK[label]))
    what = "a box" if prompt == "box" else f"{clicks} click{'s' * (clicks > 1)}"
    legend = figure.legend(handles=handles, loc="outside lower center", ncols=2)
    legend.set_frame_on(True)
    legend.get_frame().set(facecolor="0.7", linewidth=0)  # its colours are for dark images
    figure.suptitle(" ".join([f"Predictions after {what}.", note]).strip(), fontsize=8)
    return figure


@styled
def tsne_figure(
    features: Mapping[str, NDArray[np.floating]],
    extractor: str,
    *,
    perplexity: float = 50,
    seed: int = 0,
    note: str = "",
) -> Figure:
    """t-SNE of images, such as original, SAS-generated and test images (Fig. 3).

    Parameters
    ----------
    features : [n d] by set, of one extractor
    extractor : its name, for the title
    perplexity : at most; with few points a third of them, as t-SNE needs more points than that
    """
    points = np.concatenate(list(features.values())).astype(np.float32)
    if len(points) < 4:
        raise ValueError(f"t-SNE needs at least 4 points, got {len(points)}")
    used = min(perplexity, (len(points) - 1) / 3)
    placed = TSNE(perplexity=used, init="pca", random_state=seed).fit_transform(points)
    figure = Figure(figsize=(WIDTH * 0.6, WIDTH * 0.55))
    ax = figure.subplots()
    start = 0
    for i, (name, each) in enumerate(features.items()):
        part = placed[start : start + len(each)]
        start += len(each)
        ax.scatter(
            *part.T,
            s=12,
            marker=MARKERS[i],
            facecolor=COLOURS[i],
            edgecolor="white",
            linewidth=0.3,
            alpha=0.85,
            label=f"{name} (n = {len(each)})",
        )
    ax.set(xticks=[], yticks=[], xlabel="t-SNE 1", ylabel="t-SNE 2")
    ax.set_title(f"t-SNE, perplexity {used:.3g}, of features from {extractor}")
    if note:
        figure.suptitle(note, fontsize=8)
    figure.legend(loc="outside lower center", ncols=2, markerscale=1.5)
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


def _window(box: Sequence[float], margin: float, size: int) -> tuple[float, float, float]:
    """Left, top and side of a square around a box, inside the image where it fits: in pixels."""
    x0, y0, x1, y1 = box
    side = min((1 + 2 * margin) * max(x1 - x0 + 1, y1 - y0 + 1, 16), size)
    x, y = (
        float(np.clip((a + b - side) / 2, -0.5, size - 0.5 - side)) for a, b in ((x0, x1), (y0, y1))
    )
    return x, y, side


def _outline(ax: Axes, mask: NDArray[np.bool_], colour: str, line: Any) -> None:
    if mask.any():
        # a frame of zeros closes outlines at the border of the image
        framed = np.pad(mask, 1).astype(float)
        place = np.arange(-1, len(framed) - 1)
        ax.contour(place, place, framed, [0.5], colors=colour, linestyles=[line], linewidths=1.2)


def _draw_clicks(ax: Axes, xy: Sequence[Sequence[float]], labels: Sequence[int]) -> None:
    """Numbered in their order; -1 is padding."""
    for number, ((x, y), label) in enumerate(zip(xy, labels, strict=True), 1):
        if label != -1:
            ax.plot(x, y, linestyle="", **CLICK[label])
            text = ax.annotate(
                str(number), (x, y), (4, 3), textcoords="offset points", color="white", fontsize=7
            )
            text.set_path_effects([withStroke(linewidth=1.5, foreground="black")])
