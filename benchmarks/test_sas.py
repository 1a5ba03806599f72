"""One job: time whole SAS, and the thumbnail alone, beside every peer."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from agreement import check, check_ours
from inputs import ellipses, frames
from peers import NAMES, THUMBNAILS, Job, load
from peers.peer import job

CASES = {
    "whole SAS, uint8": ("uint8", "grey", {}),
    "whole SAS, float32": ("float32", "grey", {}),
    "whole SAS, uint8, 3 channels last": ("uint8", "last", {}),
    "whole SAS, uint8, 3 channels first": ("uint8", "first", {}),
    "thumbnail alone, uint8": ("uint8", "grey", {"noise": None}),
    "thumbnail alone, float32": ("float32", "grey", {"noise": None}),
}


@cache
def work(case: str, n: int) -> Job:
    dtype, layout, settings = CASES[case]
    return job(frames(n, dtype, layout), ellipses(n), layout, **settings)


PAIRS = [
    (case, name)
    for case, (_, layout, settings) in CASES.items()
    for name, (_, _, layouts) in (THUMBNAILS if "noise" in settings else NAMES).items()
    if layout in layouts
]


@pytest.mark.parametrize(("case", "contender"), PAIRS)
def test_peers(timed: Any, quick: bool, case: str, turn: int, contender: str) -> None:
    peer = load(contender)
    batch = work(case, 16 if quick else 64)
    x, y = timed(
        lambda: peer.run(batch), table=case.split(",")[0], case=case, contender=contender,
        note=peer.note, images=len(batch.images), pixels=batch.masks.size, bytes=batch.bytes,
    )  # fmt: skip
    if turn == 0 and contender == "sasaug":
        check_ours(batch, x, y)
    elif turn == 0 and contender != "copy":
        check(contender, peer, batch, x, y)
