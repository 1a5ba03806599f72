"""One job: time whole SAS beside its peers, on one thread, in one run.

    pytest benchmarks --benchmark-json=results.json && python benchmarks/report.py results.json

64 images of 256 x 256, simulated sectors, masks of 10 to 20 % of the area, all transformed. The
contenders run in turn, round after round, so that a change in the machine's speed meets them all.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from peers import CONTENDERS, INTO

import sasaug
from sasaug.phantoms import phantoms

BATCH, SIZE, ROUNDS = 64, 256, 5


@pytest.fixture(scope="module", params=["uint8", "float32"])
def batch(request: Any) -> tuple[Any, Any]:
    cv2.setNumThreads(1)
    images = np.tile(phantoms(8, SIZE)[0], (BATCH // 8, 1, 1))
    if request.param == "float32":
        images = images.astype(np.float32) / 255
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIZE, :SIZE]
    masks = np.zeros(images.shape, np.uint8)
    for mask in masks:
        (cx, cy), (a, b) = rng.integers(90, 166, 2), rng.integers(46, 65, 2)
        mask[((x - cx) / a) ** 2 + ((y - cy) / b) ** 2 < 1] = 1
    assert 0.1 < masks.mean() < 0.2
    return images, masks


@pytest.fixture(scope="module")
def plan(batch: tuple[Any, Any]) -> sasaug.Plan:
    return sasaug.SAS(p=1.0).plan(batch[1], seed=1)


@pytest.mark.parametrize("name", CONTENDERS)
@pytest.mark.parametrize("turn", range(ROUNDS))
def test_whole_sas(benchmark: Any, batch: Any, plan: sasaug.Plan, turn: int, name: str) -> None:
    images, masks = batch
    contender = CONTENDERS[name]
    benchmark.extra_info.update(
        contender=name, dtype=str(images.dtype), pixels=images.size,
        bytes=images.nbytes + masks.nbytes,
    )  # fmt: skip
    rounds = 3 if "scikit" in name or "whole" in name else 20
    x, y = benchmark.pedantic(
        contender, (plan, images, masks), rounds=rounds, warmup_rounds=1, iterations=1
    )
    if turn == 0 and name != "copy":
        # scikit-image sets its Poisson's strength by itself, from the number of grey levels
        check_same_job(plan, images, masks, x, y, strength_of_poisson="scikit" not in name)


@pytest.mark.parametrize("name", INTO)
@pytest.mark.parametrize("turn", range(ROUNDS))
def test_into_given_arrays(benchmark: Any, batch: Any, turn: int, name: str) -> None:
    images, masks = batch
    out = (np.zeros_like(images), np.zeros_like(masks))
    benchmark.extra_info.update(
        contender=name, dtype=str(images.dtype), pixels=images.size,
        bytes=images.nbytes + masks.nbytes,
    )  # fmt: skip
    benchmark.pedantic(INTO[name], (images, masks, out), rounds=20, warmup_rounds=1, iterations=1)


def check_same_job(
    plan: sasaug.Plan, images: Any, masks: Any, x: Any, y: Any, strength_of_poisson: bool
) -> None:
    """Thumbnails within a grey level, masks but for ties, noise of the same strength by kind."""
    full = 255 if images.dtype == np.uint8 else 1
    quiet = plan[:]
    quiet.samples["noise"] = -1
    small, label = sasaug.apply(quiet, images, masks)
    assert (y != label).mean() < 0.01
    outside = (label == 0) & (y == 0)
    assert np.abs(x.astype(float) - small)[outside].max() <= full / 255 * 1.01
    noisy, _ = sasaug.apply(plan, images, masks)
    for kind in range(len(sasaug.NOISES)):
        roi = (label != 0) & (y != 0) & (plan.samples["noise"] == kind)[:, None, None]
        ours = (noisy.astype(float) - small)[roi].std()
        theirs = (x.astype(float) - small)[roi].std()
        if strength_of_poisson or sasaug.NOISES[kind] != "poisson":
            assert 0.85 < theirs / ours < 1.15
