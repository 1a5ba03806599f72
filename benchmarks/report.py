"""One job: a table from the JSON of pytest-benchmark: ns per pixel, GB/s, ratios, the machine.

python benchmarks/report.py results.json > benchmarks/results/NAME.md
"""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path

import sasaug

PACKAGES = ("sasaug", "numpy", "opencv-python-headless", "scikit-image")
COMMAND = "pytest benchmarks --benchmark-json=r.json && python benchmarks/report.py r.json"
ROOFS = {"sasaug, out=": "copy, out=", "copy, out=": "copy, out="}  # of the others: "copy"


def main(path: str) -> None:
    data = json.loads(Path(path).read_text())
    times: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    sizes: dict[str, tuple[int, int]] = {}
    for run in data["benchmarks"]:
        info = run["extra_info"]
        times[info["dtype"]][info["contender"]].append(run["stats"]["median"])
        sizes[info["dtype"]] = (info["pixels"], info["bytes"])

    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    cpu = data["machine_info"]["cpu"].get("brand_raw", platform.processor())
    print(f"Machine: {cpu}, one thread, {platform.system()}, Python {platform.python_version()}, "
          f"instruction set {sasaug._core.instruction_set()}  ")  # fmt: skip
    print("Versions: " + ", ".join(f"{name} {version(name)}" for name in PACKAGES) + "  ")
    print(f"Commit: {git.stdout.strip()}, {data['datetime'][:10]}  ")
    print(f"Command: `{COMMAND}`\n")
    for dtype, contenders in times.items():
        pixels, size = sizes[dtype]
        medians = {name: statistics.median(runs) for name, runs in contenders.items()}
        print(f"## {dtype}: {pixels // 65536} images of 256 x 256, all transformed\n")
        print("| | ns per pixel | spread | GB/s in + out | times the copy | times sasaug |")
        print("|---|---|---|---|---|---|")
        for name, runs in contenders.items():
            median = medians[name]
            roof = medians[ROOFS.get(name, "copy")]
            ours = medians["sasaug, out=" if "out=" in name else "sasaug"]
            low, high = (1e9 * v / pixels for v in (min(runs), max(runs)))
            print(
                f"| {name} | {1e9 * median / pixels:.2f} | {low:.2f} to {high:.2f} "
                f"| {2e-9 * size / median:.2f} | {median / roof:.1f} | {median / ours:.1f} |"
            )
        print()


if __name__ == "__main__":
    main(sys.argv[1])
