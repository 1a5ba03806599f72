"""One job: guard the kernels' speed without a clock: instructions per pixel against a record.

    python benchmarks/instructions.py            # compare; fails where a count grew by > 2 %
    python benchmarks/instructions.py --record   # rewrite benchmarks/instructions.json

Needs valgrind with its headers, and a C compiler; valgrind knows no AVX-512, so the narrower
instruction sets are counted. Counts repeat to some hundredths of a per cent on any machine, but
they are the compiler's: a record of another compiler is not comparable, and is refused.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
RECORD = HERE / "instructions.json"
SETS = ("baseline", "avx2")
TOLERANCE = 0.02  # a change of code moves a loop's count by more, or matters little

Counts = dict[str, dict[str, float]]  # instruction set -> case -> instructions per pixel


@dataclass(frozen=True)
class Record:
    """What was counted, and what made the code."""

    compiler: str
    valgrind: str
    instructions_per_pixel: Counts


# ---- comparing ------------------------------------------------------------------------------


def grown(before: Counts, after: Counts, tolerance: float = TOLERANCE) -> list[str]:
    """A line for each case that costs more, and for each that is no longer counted."""
    lines = []
    for instruction_set, case, old in flat(before):
        new = after.get(instruction_set, {}).get(case)
        if new is None:
            lines.append(f"{instruction_set}, {case}: recorded, but not counted")
        elif new > old * (1 + tolerance):
            lines.append(f"{instruction_set}, {case}: {change(old, new)}")
    return lines


def to_record(before: Counts, after: Counts, tolerance: float = TOLERANCE) -> list[str]:
    """A line for each case that costs less, and for each that is new: the record is behind."""
    lines = []
    for instruction_set, case, new in flat(after):
        old = before.get(instruction_set, {}).get(case)
        if old is None:
            lines.append(f"{instruction_set}, {case}: new")
        elif new < old * (1 - tolerance):
            lines.append(f"{instruction_set}, {case}: {change(old, new)}")
    return lines


def flat(counts: Counts) -> list[tuple[str, str, float]]:
    return [(name, case, count) for name, some in counts.items() for case, count in some.items()]


def change(old: float, new: float) -> str:
    return f"{old:.3f} to {new:.3f} instructions per pixel, {100 * (new / old - 1):+.1f} %"


# ---- counting -------------------------------------------------------------------------------


def count_all() -> Record:
    valgrind, compiler = shutil.which("valgrind"), shutil.which("cc")
    if valgrind is None or compiler is None:
        raise SystemExit("valgrind and a C compiler are needed, and one is not found")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        library = compile_requests(compiler, folder)
        counts = {found: count(valgrind, found, library, folder) for found in SETS}
    version = subprocess.run([valgrind, "--version"], capture_output=True, text=True, check=True)
    return Record(compiler_of_kernels(), version.stdout.strip(), counts)


def compile_requests(compiler: str, folder: Path) -> Path:
    from counted import REQUESTS

    source, library = folder / "requests.c", folder / "requests.so"
    source.write_text(REQUESTS)
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
    return library


def count(valgrind: str, instruction_set: str, library: Path, folder: Path) -> dict[str, float]:
    """Run the cases under callgrind, and read its dumps."""
    out = folder / instruction_set
    out.mkdir()
    command = [
        valgrind, "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}/dump",
        sys.executable, str(HERE / "counted.py"), str(library),
    ]  # fmt: skip
    fixed = {"SASAUG_ISA": instruction_set, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, env={**os.environ, **fixed}, capture_output=True, text=True)
    if run.returncode != 0:
        raise SystemExit(run.stderr)
    return per_pixel(read_dumps(path.read_text() for path in out.iterdir()))


def read_dumps(texts: Iterable[str]) -> dict[str, int]:
    """Label -> instructions, from callgrind's dumps; the one at the end has no label."""
    found: dict[str, int] = {}
    for text in texts:
        label = re.search(r"^desc: Trigger: Client Request: (.+)$", text, re.M)
        total = re.search(r"^(?:summary|totals): (\d+)", text, re.M)
        if label and total:
            found[label.group(1)] = int(total.group(1))
    return found


def per_pixel(counts: dict[str, int]) -> dict[str, float]:
    """The calls less the empty ones, over the pixels of the batch."""
    from counted import BATCH
    from inputs import SIZE

    pixels = BATCH * SIZE**2
    return {
        label: round((number - counts[f"{label}, empty"]) / pixels, 3)
        for label, number in sorted(counts.items())
        if not label.endswith(", empty")
    }


def compiler_of_kernels() -> str:
    """As the compiler signed the extension."""
    from sasaug import _core

    signed = re.search(rb"(GCC: \([^)]*\) [\d.]+|clang version [\d.]+)", read(_core.__file__))
    return signed.group(1).decode() if signed else "unknown"


def read(path: str | None) -> bytes:
    assert path is not None
    return Path(path).read_bytes()


# ---- the command ----------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0].removeprefix("One job: "))
    parser.add_argument("--record", action="store_true", help="rewrite the record")
    options = parser.parse_args()
    now = count_all()
    if options.record:
        RECORD.write_text(json.dumps(asdict(now), indent=1) + "\n")
        print(f"recorded {len(flat(now.instructions_per_pixel))} counts, {now.compiler}")
        return 0
    before = Record(**json.loads(RECORD.read_text()))
    if before.compiler != now.compiler:
        print(f"not comparable: recorded with {before.compiler}, built with {now.compiler}")
        return 2
    worse = grown(before.instructions_per_pixel, now.instructions_per_pixel)
    for line in to_record(before.instructions_per_pixel, now.instructions_per_pixel):
        print(f"to record: {line}")
    for line in worse:
        print(f"grown: {line}")
    print(f"{len(flat(now.instructions_per_pixel))} counts, {len(worse)} grown by more than 2 %")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
