"""One job: from a run's JSON to ``benchmarks/results``: figures, tables, charts.

    pytest benchmarks --benchmark-json=r.json && python benchmarks/report.py r.json

writes NAME.json (every figure), NAME.md (tables) and NAME-*.svg (charts, with matplotlib); NAME is
made from the processor's. A NAME.json is taken as well, to draw anew.
"""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from summary import summarise
from tables import markdown

RESULTS = Path(__file__).resolve().parent / "results"


def slug(machine: str) -> str:
    """``Intel(R) Xeon(R) Processor @ 2.80GHz`` -> ``intel-xeon-2.80ghz``."""
    plain = re.sub(r"\((r|tm)\)|processor|cpu|@", " ", machine.lower())
    return re.sub(r"[^a-z0-9.]+", "-", plain).strip("-")


def report(
    source: Path, results: Path, name: str | None = None, remark: str | None = None
) -> list[Path]:
    """Write everything; returns the paths."""
    summary = summarise(json.loads(source.read_text()))
    name = name or slug(summary.machine)
    if remark is not None:
        summary = replace(summary, remark=remark)
    results.mkdir(parents=True, exist_ok=True)
    figures, tables = results / f"{name}.json", results / f"{name}.md"
    figures.write_text(json.dumps(summary.to_json(), indent=0) + "\n")
    tables.write_text(markdown(summary))
    written = [figures, tables]
    if find_spec("matplotlib"):
        from charts import draw_all

        written += draw_all(summary, results, name)
    else:
        print("no charts: matplotlib is not installed")
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0].removeprefix("One job: "))
    parser.add_argument("source", type=Path, help="of pytest-benchmark, or a NAME.json")
    parser.add_argument("--name", help="of the machine; default: from its processor")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--remark", help="on the run, such as: the machine was busy")
    options = parser.parse_args()
    for path in report(options.source, options.results, options.name, options.remark):
        print(path)


if __name__ == "__main__":
    main()
