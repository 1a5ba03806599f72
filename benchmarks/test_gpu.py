"""The GPU benchmark runs: here a tiny batch on the CPU, so that it is no surprise on a GPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_gpu_benchmark_runs() -> None:
    command = [sys.executable, str(Path(__file__).parent / "gpu.py"), "--device=cpu", "--quick"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    rows = [line for line in run.stdout.splitlines() if line.startswith("| sasaug")]
    assert len(rows) == 4 and "left out" not in "".join(rows)
