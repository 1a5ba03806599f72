"""One job: guard the GPU kernels' speed without a GPU: counts of their PTX against a record.

    python benchmarks/ptx_instructions.py            # compare; fails where a count grew by > 2 %
    python benchmarks/ptx_instructions.py --record   # rewrite benchmarks/ptx_instructions.json
    python benchmarks/ptx_instructions.py --estimate # print the record's times on an H100
    python benchmarks/ptx_instructions.py --idle     # print where lanes idle, by source file

Needs nvcc and a C++ compiler: the tests' played GPU (docs/gpu-testing.md) counts by canvas pixel
what the kernels do, and ptxas tells of registers, spills and shared memory. Counts are exact. They
are the compiler's: a record of another nvcc is not comparable, and is refused.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))
RECORD = HERE / "ptx_instructions.json"
TOLERANCE = 0.02
CACHE = Path(tempfile.gettempdir()) / "sasaug-ptx"
#: as machine.cpp counts them, for each kernel
COUNTED = ("instructions", "slots", "loads", "bytes loaded", "loads of a byte", "stores",
           "bytes stored", "stores of a byte", "accesses of shared memory")  # fmt: skip

WHOLE: dict[str, Any] = {"p": 1.0}
ALONE: dict[str, Any] = {"p": 1.0, "thumbnail": None}
#: name -> settings, dtype, channels, samples counted, side. A share stands for a larger batch.
CALLS: dict[str, tuple[dict[str, Any], str, int, int, int]] = {
    **{
        f"whole SAS, {t}": (WHOLE, t, 1, 16, 256) for t in ("uint8", "uint16", "float16", "float32")
    },
    "whole SAS, uint8, 3 channels": (WHOLE, "uint8", 3, 4, 256),
    "whole SAS, uint8, 1 of 512": (WHOLE, "uint8", 1, 8, 256),
    "whole SAS, uint8, 1024 x 1024": (WHOLE, "uint8", 1, 1, 1024),
    "thumbnail, uint8": ({"p": 1.0, "noise": None}, "uint8", 1, 16, 256),
    "pass-through, uint8": ({"p": 0.0}, "uint8", 1, 16, 256),
    "gaussian, uint8": ({**ALONE, "noise": {"gaussian": (0.1, 0.1)}}, "uint8", 1, 16, 256),
    "poisson, uint8": ({**ALONE, "noise": {"poisson": (64.0, 64.0)}}, "uint8", 1, 16, 256),
}


@dataclass(frozen=True)
class Record:
    compiler: str
    per_pixel: dict[str, dict[str, float]]  # call -> what -> count
    kernels: dict[str, dict[str, int]]  # kernel -> registers, spills, shared memory


def grown(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """A line for each count that grew by more than 2 %, and for each that is gone."""
    lines = []
    for name, counts in before.items():
        for what, old in counts.items():
            new = after.get(name, {}).get(what)
            if new is None:
                lines.append(f"{name}, {what}: recorded, but not counted")
            elif (what != "busy lanes, %" and new > old * (1 + TOLERANCE) + 0.005) or (
                what == "busy lanes, %" and new < old * (1 - TOLERANCE)
            ):
                lines.append(f"{name}, {what}: {old:g} to {new:g}")
    return lines


def batch(dtype: str, channels: int, n: int, side: int) -> tuple[Any, Any]:
    """Noise, and masks of 15 % of the image: a disc at a drawn place."""
    rng = np.random.default_rng(0)
    shape = (n, side, side) if channels == 1 else (n, side, side, channels)
    images = rng.integers(0, 255, shape).astype(np.uint8)
    y, x = np.mgrid[:side, :side]
    masks = np.zeros((n, side, side), np.uint8)
    for s in range(n):
        cy, cx = rng.uniform(0.35 * side, 0.65 * side, 2)
        masks[s] = (y - cy) ** 2 + (x - cx) ** 2 < 0.15 * side**2 / np.pi
    scale = 1 if dtype[0] == "u" else 255
    return (images / scale).astype(dtype), masks


def told(name: str, what: str, cache: Path = CACHE) -> tuple[list[list[str]], int]:
    """The words of each line that the played GPU has to tell of one call, and its pixels.

    ``what``: of ``ptx_counts``, which counts by kernel, or ``ptx_lines``, by line of the source.
    """
    import sasaug
    from libraries import Played
    from played_gpu import MEMORY, DeviceArray

    settings, dtype, channels, n, side = CALLS[name]
    images, masks = batch(dtype, channels, n, side)
    player = Played()
    Played.cache = cache
    with player.running():
        MEMORY.library.ptx_set_most_blocks(2**31 - 1)
        tell = getattr(MEMORY.library, what)
        tell()
        given = DeviceArray(images), DeviceArray(masks)
        sasaug.SAS(**settings)(*given, seed=1, ids=np.arange(n))
        lines = [line.split() for line in tell().decode().splitlines()]
        MEMORY.library.ptx_set_most_blocks(3)
    return lines, masks.size


def counted(name: str, cache: Path = CACHE) -> dict[str, float]:
    """What one call costs, by canvas pixel."""
    lines, pixels = told(name, "ptx_counts", cache)
    totals = np.sum([[float(v) for v in words[1:]] for words in lines], axis=0)
    found = dict(zip(COUNTED, (totals / pixels).round(3).tolist(), strict=True))
    busy = 100 * found["instructions"] / 32 / max(found.pop("slots"), 1e-9)
    return {**found, "busy lanes, %": round(busy, 1)}


def idle(name: str, cache: Path = CACHE) -> dict[str, float]:
    """Lanes that idle while others of their warp work, in instructions a canvas pixel: by file."""
    lines, pixels = told(name, "ptx_lines", cache)
    found: dict[str, float] = {}
    for where, instructions, slots in lines:
        file = where.split(":")[0]
        lost = (32 * int(slots) - int(instructions)) / pixels
        found[file] = found.get(file, 0.0) + lost
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def resources() -> dict[str, dict[str, int]]:
    """Registers, spilled bytes and shared memory of each kernel, as ptxas says."""
    from played_module import KERNELS, NVCC_FLAGS, ROOT, nvcc

    flags = [f for f in NVCC_FLAGS if not f.startswith("-arch")]
    command = [str(nvcc()), "-cubin", "-arch=sm_90", "-Xptxas=-v", *flags, f"-I{ROOT / 'csrc'}"]
    with tempfile.TemporaryDirectory() as folder:
        command += [str(KERNELS), "-o", f"{folder}/kernels.cubin"]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    found = {}
    for part in told.split("Compiling entry function")[1:]:
        size, kernel = re.search(r"ILi(\d+)E", part), "plan" if "4planI" in part else "pixels"
        assert size
        numbers = {
            "registers": re.search(r"Used (\d+) registers", part),
            "bytes spilled": re.search(r"(\d+) bytes spill stores", part),
            "bytes of shared memory": re.search(r"(\d+) bytes smem", part),
        }
        found[f"{kernel}, table of {size[1]} bytes"] = {
            k: int(v[1]) for k, v in numbers.items() if v
        }
    return found


def count_all() -> Record:
    from played_module import nvcc

    version = subprocess.run([str(nvcc()), "--version"], capture_output=True, text=True, check=True)
    release = re.search(r"release [^\n]*", version.stdout)
    return Record(
        release[0] if release else "?", {name: counted(name) for name in CALLS}, resources()
    )


# An H100 SXM, by NVIDIA's data sheet: lanes that start an instruction in a cycle, its clock in Hz
# at base and at boost, bytes a second of its memory, and the share of those that a copy reaches.
LANES, CLOCKS, MEMORY, COPIED = 132 * 4 * 32, (1.6e9, 1.98e9), 3.35e12, 0.9


def estimate(per_pixel: dict[str, dict[str, float]], pixels: int = 64 * 256 * 256) -> str:
    """A Markdown table: microseconds to issue the instructions, and to copy the arrays."""
    lines = [
        "| call | instructions a pixel | lanes busy | issue, µs | copy, µs |",
        "|---|---|---|---|---|",
    ]
    for name, counts in per_pixel.items():
        _, dtype, channels, *_ = CALLS[name]
        busy = counts["busy lanes, %"]
        slow, fast = (
            counts["instructions"] / (busy / 100) * pixels / (LANES * clock) * 1e6
            for clock in CLOCKS
        )
        copied = 2 * (np.dtype(dtype).itemsize * channels + 1) * pixels
        copy = copied / (MEMORY * COPIED) * 1e6
        lines.append(
            f"| {name} | {counts['instructions']:.1f} | {busy:.0f} % | {fast:.1f} to {slow:.1f} "
            f"| {copy:.1f} |"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0].removeprefix("One job: "))
    parser.add_argument("--record", action="store_true", help="rewrite the record")
    parser.add_argument("--estimate", action="store_true", help="print the record's times")
    parser.add_argument("--idle", action="store_true", help="print where lanes idle")
    options = parser.parse_args()
    if options.idle:
        for name in CALLS:
            lost = idle(name)
            most = ", ".join(f"{file} {v:.2f}" for file, v in lost.items() if v >= 0.05)
            print(f"{name}: {sum(lost.values()):.2f}: {most}", flush=True)
        return 0
    if options.estimate:
        print(estimate(json.loads(RECORD.read_text())["per_pixel"]))
        return 0
    now = count_all()
    if options.record:
        RECORD.write_text(json.dumps(asdict(now), indent=1) + "\n")
        print(f"recorded {len(now.per_pixel)} calls, {now.compiler}")
        return 0
    before = Record(**json.loads(RECORD.read_text()))
    if before.compiler != now.compiler:
        print(f"not comparable: recorded with {before.compiler}, counted with {now.compiler}")
        return 2
    worse = grown(before.per_pixel, now.per_pixel) + grown(before.kernels, now.kernels)
    for line in worse:
        print(f"grown: {line}")
    print(f"{len(now.per_pixel)} calls, {len(worse)} counts grown by more than 2 %")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
