"""The comparing of the GPU kernels' counts, and that one call still costs what the record says."""

from __future__ import annotations

import json
from pathlib import Path

import ptx_instructions
import pytest
from ptx_instructions import CALLS, RECORD, counted, estimate, grown, idle

from played_module import missing

BEFORE = {"pass": {"instructions": 8.0, "busy lanes, %": 80.0}}


@pytest.mark.parametrize(
    ("now", "worse"),
    [
        ({"instructions": 8.0, "busy lanes, %": 80.0}, []),
        ({"instructions": 8.1, "busy lanes, %": 79.0}, []),  # within 2 %
        ({"instructions": 8.2, "busy lanes, %": 80.0}, ["pass, instructions: 8 to 8.2"]),
        ({"instructions": 8.0, "busy lanes, %": 70.0}, ["pass, busy lanes, %: 80 to 70"]),
        ({"instructions": 8.0}, ["pass, busy lanes, %: recorded, but not counted"]),
    ],
)
def test_only_growth_beyond_the_tolerance_fails(now: dict[str, float], worse: list[str]) -> None:
    assert grown(BEFORE, {"pass": now}) == worse


def test_the_record_holds_every_call_and_no_spills() -> None:
    record = ptx_instructions.Record(**json.loads(RECORD.read_text()))
    assert list(record.per_pixel) == list(CALLS)
    assert all(kernel["bytes spilled"] == 0 for kernel in record.kernels.values())
    assert all(call["stores of a byte"] == 0 for call in record.per_pixel.values())


def test_the_estimate_divides_by_the_lanes_and_by_the_memory() -> None:
    """50 lane cycles a pixel on 16,896 lanes; 4 bytes a pixel at 3.015e12 bytes a second."""
    counts = {"whole SAS, uint8": {"instructions": 40.0, "busy lanes, %": 80.0}}
    assert estimate(counts, pixels=10**6).splitlines()[2:] == [
        "| whole SAS, uint8 | 40.0 | 80 % | 1.5 to 1.8 | 1.3 |"
    ]


@pytest.mark.skipif(bool(missing()), reason=str(missing()))
@pytest.mark.parametrize("name", ["pass-through, uint8", "whole SAS, uint8, 1 of 512"])
def test_calls_cost_what_the_record_says(name: str, request: pytest.FixtureRequest) -> None:
    cache = getattr(request.config, "cache", None)
    folder = cache.mkdir("sasaug") if cache else Path(ptx_instructions.CACHE)
    record = json.loads(RECORD.read_text())["per_pixel"][name]
    now = counted(name, folder)
    assert not grown({name: record}, {name: now})
    # both ways of counting see the same lanes
    lost = now["instructions"] * (100 / now["busy lanes, %"] - 1)
    assert sum(idle(name, folder).values()) == pytest.approx(lost, rel=0.02)
