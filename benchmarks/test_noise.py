"""One job: time each noise alone: on whole frames beside the bare drawing of as many numbers by
OpenCV and NumPy, and on one small ROI per sample beside the loops that people write."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import cv2
import numpy as np
import pytest
from inputs import ellipses, frames
from peers.opencv import box_noise, gathered_noise, numpy_noise
from peers.peer import SEED

import sasaug

STRENGTHS = {"gaussian": 0.1, "speckle": 0.15, "salt_pepper": 0.05, "poisson": 100.0}
PEAKS = (1.0, 10.0, 100.0, 1000.0, 10000.0)
RNG = np.random.default_rng(0)

Batch = tuple[Any, Any]


@cache
def batch(n: int, small_roi: bool) -> Batch:
    images = np.maximum(frames(n), 1)  # black would cost Poisson nothing
    return images, ellipses(n, shrink=0.3) if small_roi else np.ones_like(images)


def ours(kind: str, strength: float, images: Any, masks: Any) -> Any:
    return getattr(sasaug, kind)(images, masks, strength, seed=SEED, num_threads=1)


def copy(images: Any, masks: Any) -> Any:
    return images.copy(), masks.copy()


# ---- whole frames: only draw ---------------------------------------------------------------


def cv2_normals(kind: str, strength: float, images: Any) -> Any:
    return cv2.randn(np.empty(images.shape, np.float32), 0, strength)


def cv2_uniforms(kind: str, strength: float, images: Any) -> Any:
    return cv2.randu(np.empty(images.shape, np.float32), 0, 1)


def numpy_draw(kind: str, strength: float, images: Any) -> Any:
    if kind == "poisson":
        return RNG.poisson(images * (strength / 255))
    if kind == "salt_pepper":
        return RNG.random(images.shape, np.float32)
    return RNG.standard_normal(images.shape, np.float32)


DRAWS: dict[str, tuple[str, Callable[[str, float, Any], Any], str]] = {
    "normals": ("cv2.randn", cv2_normals, "draws as many float32 and does nothing with them"),
    "uniforms": ("cv2.randu", cv2_uniforms, "draws as many float32 and does nothing with them"),
}
WHOLE = [(kind, strength) for kind, strength in STRENGTHS.items() if kind != "poisson"]
WHOLE += [("poisson", peak) for peak in PEAKS]


def whole_frame_contenders(kind: str) -> dict[str, tuple[Any, str]]:
    listed = {"NumPy": (numpy_draw, "`Generator`, in float32 but for Poisson; draws alone")}
    if kind != "poisson":
        name, call, note = DRAWS["uniforms" if kind == "salt_pepper" else "normals"]
        listed = {name: (call, note), **listed}
    return listed


OURS = ("copy", "sasaug")


def own(
    contender: str, kind: str, strength: float, images: Any, masks: Any
) -> tuple[Callable[[], Any], str]:
    """The call of the copy or of sasaug, and what to say of it."""
    if contender == "copy":
        return partial(copy, images, masks), "image and mask"
    note = "the kind's function: `sasaug.gaussian` and so on"
    return partial(ours, kind, strength, images, masks), note


def name_of(kind: str, strength: float) -> str:
    return f"poisson, peak {strength:g}" if kind == "poisson" else kind


FRAMES = {f"{name_of(*pair)}, whole frame": pair for pair in WHOLE}
FRAME_PAIRS = [
    (case, name)
    for case, (kind, _) in FRAMES.items()
    for name in (*OURS, *whole_frame_contenders(kind))
]


@pytest.mark.parametrize(("case", "contender"), FRAME_PAIRS)
def test_whole_frames(timed: Any, quick: bool, case: str, turn: int, contender: str) -> None:
    images, masks = batch(2 if quick else 8, small_roi=False)
    kind, strength = FRAMES[case]
    if contender in OURS:
        call, note = own(contender, kind, strength, images, masks)
    else:
        draw, note = whole_frame_contenders(kind)[contender]
        call = partial(draw, kind, strength, images)
    result = timed(
        call, table="one noise, every pixel of uint8 frames", case=case, contender=contender,
        note=note, images=len(images), pixels=images.size, bytes=images.nbytes + masks.nbytes,
    )  # fmt: skip
    if turn == 0 and contender == "sasaug":
        expected = numpy_noise(kind, strength, images / 255.0).clip(0, 1) * 255
        noisy = result.astype(float)
        assert np.std(noisy - images) / np.std(expected - images) == pytest.approx(1, abs=0.05)
    elif turn == 0 and contender != "copy":
        assert result.shape == images.shape and np.std(result) > 0


# ---- one small ROI per sample --------------------------------------------------------------

LOOPS: dict[str, tuple[Any, str]] = {
    "OpenCV, noise in the mask's box": (box_noise, "from OpenCV's global state; Poisson by NumPy"),
    "OpenCV + NumPy, gathered, float32": (gathered_noise(np.float32), "in the mask alone"),
}
ROIS = {f"{kind}, ROI of 1 % of the frame": (kind, s) for kind, s in STRENGTHS.items()}


def loop(noise: Any, kind: str, strength: float, images: Any, masks: Any) -> Any:
    row = {"noise": kind, "strength": strength}
    return np.stack(
        [noise(row, image.copy(), mask) for image, mask in zip(images, masks, strict=True)]
    )


@pytest.mark.parametrize("contender", [*OURS, *LOOPS])
@pytest.mark.parametrize("case", ROIS)
def test_small_roi(timed: Any, case: str, turn: int, contender: str) -> None:
    images, masks = batch(64, small_roi=True)
    kind, strength = ROIS[case]
    if contender in OURS:
        call, note = own(contender, kind, strength, images, masks)
    else:
        noise, note = LOOPS[contender]
        call = partial(loop, noise, kind, strength, images, masks)
    result = timed(
        call, table="one noise, a small ROI in every uint8 frame", case=case, contender=contender,
        note=note, images=len(images), pixels=images.size, bytes=images.nbytes + masks.nbytes,
    )  # fmt: skip
    if turn == 0 and contender != "copy":
        roi = masks != 0
        assert np.array_equal(result[~roi], images[~roi])
        before = images[roi].astype(float)
        expected = numpy_noise(kind, strength, before / 255).clip(0, 1) * 255 - before
        deviation = (result[roi] - before).std() / expected.std()
        assert deviation == pytest.approx(1, abs=0.1), contender
