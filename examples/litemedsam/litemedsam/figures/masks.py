"""One job: draw predicted masks and clicks over their images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from torch import Tensor

from ..clicks import bounding_box
from ..evaluate import Model, Step, interact, score
from .style import WIDTH, styled

# on dark images
TRUTH, PREDICTION = "#F0E442", "#56B4E9"
CLICK: dict[int, dict[str, Any]] = {
    1: {"marker": "P", "markerfacecolor": "white"},
    0: {"marker": "X", "markerfacecolor": "#CC79A7"},
}
for _style in CLICK.values():
    _style |= {"markersize": 7, "markeredgecolor": "black", "markeredgewidth": 0.7}


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
