"""One job: the model of the example, LiteMedSAM, and its weights."""

from .litemedsam import CONFIGS, Config, LiteMedSAM
from .weights import LoadReport, load_weights

__all__ = ["CONFIGS", "Config", "LiteMedSAM", "LoadReport", "load_weights"]
