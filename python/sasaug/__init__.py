"""SAS augmentation for ultrasound segmentation: random thumbnails, noise inside the mask.

Of "Segment Anything Small" (arXiv 2503.05916), batched, and bit for bit the same for a
(seed, sample id) on every machine. Start with :func:`sas`, :class:`SAS` or ``python -m sasaug``.
"""

from __future__ import annotations

import importlib
from typing import Any

try:
    from . import _core
except ImportError as error:
    error.msg += ": the compiled part of sasaug is missing; was the package built and installed?"
    raise

from ._noise_functions import *  # noqa: F403  # a function for each kind, whatever the kinds
from ._threads import get_num_threads, set_num_threads
from .calls import apply, sas, thumbnail
from .noise import NOISES, PRESETS
from .plan import Plan
from .settings import SAS

__version__ = "0.1.0"

#: Bumped when the same (seed, sample id) gives other images than before.
STREAM_VERSION: int = _core.STREAM_VERSION

cuda_available = _core.cuda_available


def __getattr__(name: str) -> Any:
    if name == "torch":  # imports torch itself, so not before someone asks for it
        return importlib.import_module("sasaug.torch")
    raise AttributeError(f"module 'sasaug' has no attribute {name!r}")


__all__ = [
    "NOISES",
    "PRESETS",
    "SAS",
    "STREAM_VERSION",
    "Plan",
    "apply",
    "cuda_available",
    "get_num_threads",
    "sas",
    "set_num_threads",
    "thumbnail",
    *NOISES,
]
