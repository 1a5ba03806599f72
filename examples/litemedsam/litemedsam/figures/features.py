"""One job: draw features of images in a plane."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.manifold import TSNE

from .style import COLOURS, MARKERS, WIDTH, styled


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
