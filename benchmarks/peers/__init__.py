"""One job: the list of peers; each file has one, and imports its library when it is loaded."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path

import pytest

from .peer import Job, Peer

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests" / "adapters"))

from samples import name_missing_operators

__all__ = ["MISSING", "NAMES", "THUMBNAILS", "Job", "Peer", "load", "name_missing_operators"]

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # no network call at its import

OURS = ("copy", "sasaug")
EVERY, LAST, FIRST = ("grey", "last", "first"), ("grey", "last"), ("grey", "first")

#: name -> module, attribute, and where it takes channels without a copy
NAMES = {
    "copy": ("ours", "COPY", EVERY),
    "sasaug": ("ours", "SASAUG", EVERY),
    "OpenCV, noise in the mask's box": ("opencv", "BOX", LAST),
    "OpenCV + NumPy, gathered": ("opencv", "GATHERED", LAST),
    "OpenCV + NumPy, gathered, float32": ("opencv", "GATHERED_FLOAT32", LAST),
    "OpenCV + NumPy, whole frame": ("opencv", "WHOLE_FRAME", LAST),
    "OpenCV + scikit-image": ("scikit_image", "PEER", LAST),
    "albumentations": ("albumentations_mit", "PEER", LAST),
    "torch, interpolate": ("plain_torch", "INTERPOLATE", FIRST),
    "torch, grid_sample": ("plain_torch", "GRID_SAMPLE", FIRST),
    "torchvision v2": ("torchvision_v2", "PEER", FIRST),
    "kornia": ("kornia_batched", "PEER", FIRST),
    "MONAI": ("monai_arrays", "PEER", FIRST),
    "batchgeneratorsv2": ("batchgenerators_v2", "PEER", FIRST),
    "TorchIO": ("torch_io", "PEER", FIRST),
}

#: those that differ where there is no noise
THUMBNAILS = {
    "copy": NAMES["copy"],
    "sasaug": NAMES["sasaug"],
    "OpenCV": ("opencv", "THUMBNAIL", LAST),
    **{name: NAMES[name] for name in NAMES if "OpenCV" not in name and name not in OURS},
}

#: name -> why it could not be imported, as far as tried
MISSING: dict[str, str] = {}


def load(name: str) -> Peer:
    """The peer, or a skip with the reason why its library cannot be imported here."""
    module, attribute, _ = (NAMES | THUMBNAILS)[name]
    try:
        if module == "torchvision_v2":
            name_missing_operators()
        peer = getattr(import_module(f"peers.{module}"), attribute)
    except (ImportError, RuntimeError) as reason:  # torchvision raises the latter
        MISSING[name] = str(reason).splitlines()[0]
        pytest.skip(f"{name}: {MISSING[name]}")
    assert isinstance(peer, Peer)
    return peer
