"""One job: time the kernels by instruction set, each in a process of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from inputs import frames
from served import BATCH, Served, calls, checksum

CASES = (
    "whole SAS, uint8", "whole SAS, float32", "thumbnail to 160, uint8",
    "thumbnail to 160, float32", "speckle, uint8", "salt_pepper, uint8", "poisson, uint8",
)  # fmt: skip
SETS = ("baseline", "avx2", "avx512")


@pytest.fixture(scope="module")
def children() -> Iterator[dict[str, Served]]:
    started: dict[str, Served] = {}
    yield started
    for child in started.values():
        child.close()


@cache
def here() -> dict[str, Any]:
    return calls()


@pytest.mark.parametrize("contender", ["copy", *SETS])
@pytest.mark.parametrize("case", CASES)
def test_instruction_sets(
    timed: Any, children: dict[str, Served], case: str, turn: int, contender: str
) -> None:
    images = frames(BATCH, case.split(", ")[1])
    masks = images.astype("uint8")
    row = {
        "table": "instruction sets", "case": case, "contender": contender, "note": "",
        "images": BATCH, "pixels": images.size, "bytes": images.nbytes + masks.nbytes,
    }  # fmt: skip
    if contender == "copy":
        timed(lambda: (images.copy(), masks.copy()), **row)
        return
    if contender not in children:
        children[contender] = Served(contender, dict(os.environ))
    child = children[contender]
    try:
        answer = child.ask(f"{case}; sum")
    except RuntimeError as reason:
        pytest.skip(f"{contender}: {reason}")
    if turn == 0:
        assert float(answer) == checksum(here()[case]())
    timed(lambda: child.ask(case), **row)
