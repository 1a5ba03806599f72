"""One job: time whole SAS over the side of an image and the size of a batch, beside the copy."""

from __future__ import annotations

from typing import Any

import pytest
from inputs import ellipses, frames

import sasaug

SIDES = (32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
BATCHES = (1, 4, 16, 64, 256, 1024, 4096)
BATCH_SIDE = 128
AUGMENT = sasaug.SAS(p=1.0, apply_to="all")

_kept: dict[str, tuple[Any, Any]] = {}  # one at a time: they are large


def batch(case: str, n: int, side: int) -> tuple[Any, Any]:
    if case not in _kept:
        _kept.clear()
        _kept[case] = (frames(n, size=side), ellipses(n, side))
    return _kept[case]


CASES = {f"one image, side {side}": (1, side) for side in SIDES}
CASES |= {f"batch of {n}, side {BATCH_SIDE}": (n, BATCH_SIDE) for n in BATCHES}
QUICK = {case: shape for case, shape in CASES.items() if shape[0] <= 64 and shape[1] <= 256}


@pytest.mark.parametrize("contender", ["copy", "sasaug"])
@pytest.mark.parametrize("case", CASES)
def test_scaling(timed: Any, quick: bool, case: str, turn: int, contender: str) -> None:
    if quick and case not in QUICK:
        pytest.skip("large: timed only")
    n, side = CASES[case]
    images, masks = batch(case, n, side)
    # the sample id chooses size and noise: the same sixteen over and over; for one image the one
    # with speckle and a thumbnail of 0.58 of the side
    ids = [sample % 16 for sample in range(n)] if n > 1 else [15]
    call = (
        (lambda: (images.copy(), masks.copy()))
        if contender == "copy"
        else (lambda: AUGMENT(images, masks, seed=1, ids=ids, num_threads=1))
    )
    x, y = timed(
        call, table="cost over size, uint8", case=case, contender=contender, note="",
        images=n, pixels=images.size, bytes=images.nbytes + masks.nbytes,
    )  # fmt: skip
    assert x.shape == images.shape and y.shape == masks.shape
