"""One job: the models of the example, LiteMedSAM and a light one, and their weights."""

from __future__ import annotations

from .lite0 import Lite0, Lite0Config
from .litemedsam import CONFIGS as _LITEMEDSAM
from .litemedsam import Config, LiteMedSAM
from .weights import LoadReport, load_weights

#: Every model's sizes by the name that commands take.
CONFIGS: dict[str, Config | Lite0Config] = {
    **_LITEMEDSAM,
    # EfficientNet-Lite0 with ImageNet weights: minutes of one processor core.
    "lite0": Lite0Config(256),
    "lite0-128": Lite0Config(128),
}


def build(name: str) -> LiteMedSAM | Lite0:
    """Return the model of this name, with random numbers where no published weights are at hand."""
    if name not in CONFIGS:
        raise ValueError(f"config must be one of {', '.join(CONFIGS)}, got {name!r}")
    config = CONFIGS[name]
    return Lite0(config) if isinstance(config, Lite0Config) else LiteMedSAM(config)


__all__ = [
    "CONFIGS", "Config", "Lite0", "Lite0Config", "LiteMedSAM", "LoadReport", "build",
    "load_weights",
]  # fmt: skip
