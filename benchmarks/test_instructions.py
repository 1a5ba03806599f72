"""The comparing of instruction counts, and that every counted case runs; no valgrind needed."""

from __future__ import annotations

from typing import Any

import counted
import instructions
import numpy as np
import pytest
from instructions import grown, per_pixel, read_dumps, to_record

BEFORE = {"avx2": {"thumbnail, uint8": 4.0, "poisson, uint8": 10.0}}


@pytest.mark.parametrize(
    ("now", "worse", "behind"),
    [
        ({"thumbnail, uint8": 4.0, "poisson, uint8": 10.0}, [], []),
        ({"thumbnail, uint8": 4.07, "poisson, uint8": 9.81}, [], []),  # within 2 %
        ({"thumbnail, uint8": 4.09, "poisson, uint8": 10.0}, ["thumbnail"], []),
        ({"thumbnail, uint8": 4.0, "poisson, uint8": 9.7}, [], ["poisson"]),
        ({"thumbnail, uint8": 4.0}, ["poisson"], []),
        ({"thumbnail, uint8": 4.0, "poisson, uint8": 10.0, "rician, uint8": 1.0}, [], ["rician"]),
    ],
)
def test_only_growth_beyond_the_tolerance_fails(
    now: dict[str, float], worse: list[str], behind: list[str]
) -> None:
    def cases(lines: list[str]) -> list[str]:
        return [line.split(", ")[1] for line in lines]

    assert cases(grown(BEFORE, {"avx2": now})) == worse
    assert cases(to_record(BEFORE, {"avx2": now})) == behind


def test_an_instruction_set_that_is_not_counted_fails() -> None:
    assert len(grown(BEFORE, {})) == 2


def test_counts_are_of_the_kernel_alone() -> None:
    """A labelled dump counts, the one at the end does not; the empty call is taken off."""
    dumps = [
        "desc: Trigger: Client Request: thumbnail, uint8\nsummary: 1048576\n",
        "desc: Trigger: Client Request: thumbnail, uint8, empty\ntotals: 262144\n",
        "desc: Trigger: Program termination\nsummary: 99\n",
    ]
    assert per_pixel(read_dumps(dumps)) == {"thumbnail, uint8": 3.0}


@pytest.mark.parametrize(("compiler", "status"), [("gcc 12", 1), ("gcc 13", 2)])
def test_another_compilers_record_is_refused(
    monkeypatch: Any, tmp_path: Any, capsys: Any, compiler: str, status: int
) -> None:
    counts = [instructions.Record("gcc 12", "valgrind", BEFORE)]
    monkeypatch.setattr(instructions, "RECORD", tmp_path / "record.json")
    monkeypatch.setattr(instructions, "count_all", lambda: counts[-1])
    monkeypatch.setattr("sys.argv", ["instructions.py", "--record"])
    assert instructions.main() == 0
    monkeypatch.setattr("sys.argv", ["instructions.py"])
    assert instructions.main() == 0
    slower = {"avx2": {case: 2 * count for case, count in BEFORE["avx2"].items()}}
    counts.append(instructions.Record(compiler, "valgrind", slower))
    assert instructions.main() == status
    assert ("not comparable" in capsys.readouterr().out) == (status == 2)


def test_every_counted_case_runs() -> None:
    """On a batch, which it changes, and on none."""
    names = []
    for name, call, empty in counted.cases():
        result, nothing = call(), empty()
        images = result[0] if isinstance(result, tuple) else result
        changed = not np.array_equal(images, counted.images_of(name.split(", ")[1]))
        assert changed == ("pass-through" not in name), name
        assert len(nothing[0] if isinstance(nothing, tuple) else nothing) == 0
        names.append(name)
    assert len(names) == 35 == len(set(names))
