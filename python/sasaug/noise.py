"""One job: the noise kinds as Python sees them: names, ranges, presets.

The kinds themselves are in ``csrc/noise.h``; everything here is read from there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypedDict

from . import _core


class Kind(TypedDict):
    """A noise kind, as ``csrc/noise.h`` states it."""

    name: str
    strength: str
    formula: str
    lowest: float
    highest: float
    identity: float
    usual: tuple[float, float]


KINDS: dict[str, Kind] = {kind["name"]: kind for kind in _core.NOISES}
NOISES: tuple[str, ...] = tuple(KINDS)
NUMBERS: dict[str, int] = {name: number for number, name in enumerate(NOISES)}

#: Ranges of strength by preset; what each reproduces, and what not, is in docs/noise.md.
PRESETS: dict[str, dict[str, tuple[float, float]]] = {
    # the paper's four kinds; a further one must not change what a seed means
    "default": {
        name: KINDS[name]["usual"] for name in ("gaussian", "speckle", "salt_pepper", "poisson")
    },
    # random_noise(): var=0.01, amount=0.05; poisson takes 2^ceil(log2(grey levels)) photons
    "scikit-image": {
        "gaussian": (0.1, 0.1),
        "speckle": (0.1, 0.1),
        "salt_pepper": (0.05, 0.05),
        "poisson": (256.0, 256.0),
    },
    # noise.gaussian stddev=1 grey level, noise.salt_and_pepper prob=0.05, noise.shot factor=20
    "dali": {
        "gaussian": (1 / 255, 1 / 255),
        "salt_pepper": (0.05, 0.05),
        "poisson": (255 / 20, 255 / 20),
    },
    # GaussNoise std_range, MultiplicativeNoise (0.9, 1.1) by its standard deviation, SaltAndPepper
    # amount, ShotNoise scale_range (0.1, 0.3) by its reciprocal
    "albumentations": {
        "gaussian": (0.2, 0.44),
        "speckle": (0.1 / math.sqrt(3), 0.1 / math.sqrt(3)),
        "salt_pepper": (0.01, 0.06),
        "poisson": (1 / 0.3, 1 / 0.1),
    },
}


def strength_rule(name: str) -> str:
    """What a strength of this kind must be, in words for an error."""
    kind = KINDS[name]
    rule = f"in [{kind['lowest']:g}, {kind['highest']:g}]"
    return rule + " or infinity" if math.isinf(kind["identity"]) else rule


def resolve(
    noise: Mapping[str, tuple[float, float]] | str | None,
) -> dict[str, tuple[float, float]]:
    """Ranges by kind, in the list's order, from a mapping, a preset's name or None (no noise)."""
    if noise is None:
        return {}
    if isinstance(noise, str):
        if noise not in PRESETS:
            raise ValueError(f"noise must be a mapping or one of {sorted(PRESETS)}, got {noise!r}")
        return dict(PRESETS[noise])
    if not isinstance(noise, Mapping):
        raise TypeError(f"noise must be a mapping of kind to (low, high), got {noise!r}")
    for name in noise:
        if name not in KINDS:
            raise ValueError(f"noise must name kinds of {list(NOISES)}, got {name!r}")
    return {name: _range(name, noise[name]) for name in NOISES if name in noise}


def _range(name: str, limits: tuple[float, float]) -> tuple[float, float]:
    kind = KINDS[name]
    rule = (
        f"noise[{name!r}] must be (low, high) with "
        f"{kind['lowest']:g} <= low <= high <= {kind['highest']:g}, got {limits!r}"
    )
    try:
        low, high = (float(limit) for limit in limits)
    except (TypeError, ValueError):
        raise ValueError(rule) from None
    if not kind["lowest"] <= low <= high <= kind["highest"]:
        raise ValueError(rule)
    return low, high
