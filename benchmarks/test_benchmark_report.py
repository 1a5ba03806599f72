"""The report of a small made-up run: medians, ratios turn by turn, losses told, charts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from losses import reason
from report import report, slug
from summary import Row, summarise

TURNS = {
    "copy": [1.0, 2.0, 4.0],
    "sasaug": [2.0, 4.0, 9.0],
    "OpenCV, noise in the mask's box": [1.5, 5.0, 8.0],
    "cv2.randn": [1.0, 3.0, 12.0],
}


def run_of(table: str, case: str, images: int = 10) -> list[dict[str, Any]]:
    """As pytest-benchmark writes it, turn after turn."""
    return [
        {
            "extra_info": {
                "table": table, "case": case, "contender": name, "note": f"note of {name}",
                "images": images, "pixels": 10**9, "bytes": 10**9,
            },
            "stats": {"median": seconds[turn]},
        }
        for turn in range(3)
        for name, seconds in TURNS.items()
    ]  # fmt: skip


@pytest.fixture
def data() -> dict[str, Any]:
    runs = run_of("what a call costs", "one image of 16 x 16, uint8")
    runs += run_of("cost over size, uint8", "one image, side 256")
    runs += run_of("DataLoader, whole SAS, uint8", "2 workers")
    runs += run_of("whole SAS", "whole SAS, uint8")
    return {
        "benchmarks": runs,
        "machine_info": {
            "cpu": {"brand_raw": "Some(R) Processor @ 1.00GHz"}, "system": "Linux",
            "machine": "x86_64", "python_version": "3.11.7", "instruction_set": "avx2",
            "versions": {"numpy": "2.4.6", "torchvision": None},
        },
        "commit_info": {"id": "0123456789abcdef", "dirty": False},
        "datetime": "2026-11-22T02:00:00",
        "skipped": {"torchvision v2": "no module"},
    }  # fmt: skip


def test_ratios_are_of_the_same_turn(data: dict[str, Any]) -> None:
    rows = {row.contender: row for row in summarise(data).rows if row.table == "whole SAS"}
    ours = rows["sasaug"]
    assert (ours.median, ours.ns, ours.rate, ours.gb) == (4.0, 4.0, 2.5, 0.5)
    assert ours.spread == (2.0, 9.0)
    assert ours.times(rows["copy"]) == 2.0  # 2, 2, 2.25
    assert rows["cv2.randn"].times(ours) == 0.75  # 0.5, 0.75, 1.33: not 3 over 4 by chance
    assert rows["OpenCV, noise in the mask's box"].times(ours) == pytest.approx(8 / 9)


def test_epochs_of_other_lengths_compare_per_image(data: dict[str, Any]) -> None:
    mine, theirs = (Row("t", "c", "", "", 1, pixels, 1, [pixels * 1.0]) for pixels in (10, 30))
    assert mine.times(theirs) == theirs.times(mine) == pytest.approx(1)
    data["benchmarks"] = run_of("t", "c") + run_of("t", "c", images=20)
    row = next(row for row in summarise(data).rows if row.contender == "copy")
    assert row.seconds == [1.0, 2.0, 4.0, 0.5, 1.0, 2.0]


def test_tables_and_charts(data: dict[str, Any], tmp_path: Path) -> None:
    source = tmp_path / "r.json"
    source.write_text(json.dumps(data))
    written = report(source, tmp_path / "results")
    text = written[1].read_text()
    assert written[1].name == "some-1.00ghz.md"
    assert "| sasaug | 4 | 9, 2 | 2 | 0.5 | 2 | 1 |" in text
    assert text.index("## Whole SAS") < text.index("## DataLoader") < text.index("## What a call")
    assert text.count("- cv2.randn: note of cv2.randn") == 1
    assert "- not run: torchvision v2: no module" in text
    assert "0123456," in text and "numpy 2.4.6" in text and "torchvision None" not in text
    for chart in written[2:]:
        assert ElementTree.parse(chart).getroot().tag.endswith("svg")
        assert chart.stat().st_size < 50_000
    assert len(written) in (2, 5)  # without matplotlib, and with

    before = {path: path.read_bytes() for path in written}
    report(written[0], tmp_path / "results")
    assert before == {path: path.read_bytes() for path in written}
    report(written[0], tmp_path / "results", remark="on battery")
    assert "Remark: on battery" in written[1].read_text() and "Remark" not in text


def test_losses_are_told_with_their_reason(data: dict[str, Any], tmp_path: Path) -> None:
    source = tmp_path / "r.json"
    source.write_text(json.dumps(data))
    lines = report(source, tmp_path)[1].read_text().splitlines()
    told = [line for line in lines if line.startswith("- **quicker than sasaug**")]
    assert len(told) == 8 and not any("copy" in line.split(".")[0] for line in told)
    assert sum("Why is not known." in line for line in told) == 7
    known = Row("what a call costs", "one image of 16 x 16, uint8", "OpenCV", "", 1, 1, 1, [1.0])
    assert "checks" in reason(known)


def test_slug() -> None:
    assert slug("Intel(R) Xeon(R) Processor @ 2.80GHz") == "intel-xeon-2.80ghz"
    assert slug("Apple M3 Pro") == "apple-m3-pro"
