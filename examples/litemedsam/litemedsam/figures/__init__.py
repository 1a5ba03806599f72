"""The paper's figures, drawn from tables of scores, images and models.

Each function returns a matplotlib figure, as wide as a page of the paper; ``save`` writes it.
Nothing here touches pyplot, so no figure is ever shown or kept by mistake.
"""

from .features import tsne_figure
from .masks import overlays_figure
from .scores import clicks_figure, prompts_figure, violins_figure
from .style import COLOURS, MARKERS, STYLE, save, styled

__all__ = [
    "COLOURS",
    "MARKERS",
    "STYLE",
    "clicks_figure",
    "overlays_figure",
    "prompts_figure",
    "save",
    "styled",
    "tsne_figure",
    "violins_figure",
]
