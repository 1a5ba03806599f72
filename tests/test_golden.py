"""Golden vectors: this version and the next give the pictures that tests/data/golden.txt holds.

A deliberate change bumps kStreamVersion in csrc/bindings.cpp and rewrites the file:

    python tests/test_golden.py
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sasaug
from cases import IMAGE_TYPES, full_scale
from libraries import Face
from sasaug.noise import KINDS

GOLDEN = Path(__file__).parent / "data" / "golden.txt"
H, W = 7, 10


def inputs(dtype: str) -> tuple[Any, Any]:
    """A ramp and a mask of labels 1 and 2, from formulas alone."""
    y, x = np.mgrid[:H, :W]
    levels = (37 * y + 11 * x) % 64
    image = levels * (full_scale(dtype) // 63) if dtype.startswith("u") else levels / 64
    mask = np.where((x > 1) & (y > 0) & (y < 6), 1 + x // 6, 0)
    return image.astype(dtype), mask.astype(np.uint8)


@cache
def results(face: Any = sasaug) -> dict[str, list[str]]:
    """Name of each case -> its lines: pixels as the bits of their type, in hexadecimal."""
    out: dict[str, list[str]] = {"stream version": [str(sasaug.STREAM_VERSION)]}
    for dtype in IMAGE_TYPES:
        image, mask = inputs(dtype)
        for kind in sasaug.NOISES:
            strength = KINDS[kind]["usual"][1]
            noisy = getattr(face, kind)(image, mask, strength, seed=2025, ids=3 * 2**40)
            out[f"{kind} {dtype}"] = lines(noisy)
        limits = (0, full_scale(dtype) // 16) if dtype.startswith("u") else (-0.25, 2.0)
        for kind in sasaug.PRESETS["default"]:
            strength = KINDS[kind]["usual"][1]
            noisy = getattr(face, kind)(
                image, mask, strength, seed=2025, value_range=limits, check_values=False
            )
            out[f"{kind} {dtype} value_range={limits}"] = lines(noisy)
        x, _ = face.thumbnail(image, mask, 6, canvas=(5, 8), value_range=(1, 2))
        out[f"thumbnail {dtype} value_range=(1, 2)"] = lines(x)
        for antialias in (False, True):
            x, y = face.thumbnail(image, mask, 6, canvas=(5, 8), antialias=antialias)
            out[f"thumbnail {dtype} antialias={antialias}"] = lines(x) + lines(y)
    masks = np.broadcast_to(inputs("uint8")[1], (12, H, W))
    for position in ("center", "random", "top_left"):
        plan = face.SAS(canvas=256, position=position, p=0.75).plan(masks, seed=2**64 - 1)
        out[f"plan {position}"] = plan.to_json().splitlines()
    plan = face.SAS(canvas=256, position="top_center", least_roi=9000, p=1.0).plan(masks, seed=7)
    out["plan top_center least_roi=9000"] = plan.to_json().splitlines()
    image, mask = inputs("uint8")
    clip, labels = np.stack([image, image[::-1], image]), np.stack([mask, mask, mask[:, ::-1]])
    for kind in sasaug.PRESETS["default"]:
        strength = KINDS[kind]["usual"][1]
        noisy = getattr(face, kind)(clip, labels, strength, seed=2025, ids=3 * 2**40, frames=True)
        out[f"{kind} clip"] = lines(noisy.reshape(-1, W))
    plan = face.SAS(canvas=256, frames=True, p=1.0, least_roi=9000).plan(labels[None], seed=7)
    out["plan clip least_roi=9000"] = plan.to_json().splitlines()
    return out


def lines(array: Any) -> list[str]:
    bits = np.ascontiguousarray(array).view(f"u{array.itemsize}")
    digits = 2 * array.itemsize
    return [" ".join(f"{int(v):0{digits}x}" for v in row) for row in bits]


def read() -> dict[str, list[str]]:
    cases: dict[str, list[str]] = {}
    for line in GOLDEN.read_text().splitlines():
        if line.startswith("# "):
            cases[line[2:]] = []
        elif line:
            cases[list(cases)[-1]].append(line)
    return cases


@pytest.mark.parametrize("name", list(read()) if GOLDEN.exists() else [])
def test_golden(face: Face, name):
    assert results(face)[name] == read()[name]


def test_golden_has_every_case_of_the_paper():
    """A further noise kind is recorded by its first release."""
    recorded = set(read())
    assert recorded <= set(results())
    further = set(sasaug.NOISES) - set(sasaug.PRESETS["default"])
    assert all(name.split()[0] in further for name in set(results()) - recorded)


if __name__ == "__main__":
    text = "\n\n".join("\n".join([f"# {name}", *rows]) for name, rows in results().items())
    GOLDEN.write_text(text + "\n")
