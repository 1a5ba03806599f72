"""One job: a process that runs a named call whenever it is asked: by a line in, a line out.

The instruction set is chosen when sasaug is loaded (SASAUG_ISA), so each set needs its process.

    SASAUG_ISA=avx2 python served.py
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from inputs import ellipses, frames
from memory import keep_freed

import sasaug

BATCH = 32
SEED = 1


def calls(n: int = BATCH) -> dict[str, Callable[[], Any]]:
    masks = ellipses(n)
    kept: dict[str, Callable[[], Any]] = {}
    for dtype in ("uint8", "float32"):
        images = frames(n, dtype)
        augment = sasaug.SAS(p=1.0, apply_to="all")
        kept[f"whole SAS, {dtype}"] = partial(augment, images, masks, seed=SEED, num_threads=1)
        kept[f"thumbnail to 160, {dtype}"] = partial(
            sasaug.thumbnail, images, masks, 160, num_threads=1
        )
    images = frames(n)
    for kind, strength in (("speckle", 0.15), ("salt_pepper", 0.05), ("poisson", 100.0)):
        noise = getattr(sasaug, kind)
        kept[f"{kind}, uint8"] = partial(
            noise, images, masks, strength, seed=SEED, num_threads=1
        )  # fmt: skip
    return kept


class Served:
    """A child process with an instruction set of its own."""

    def __init__(self, instruction_set: str, environment: dict[str, str]) -> None:
        self.child = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve())], text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**environment, "SASAUG_ISA": instruction_set},
        )  # fmt: skip
        self.last_words = ""  # of a child that died

    def ask(self, name: str) -> str:
        """Run the call, and return the sum of what it gave; RuntimeError if the child died."""
        assert self.child.stdin and self.child.stdout and self.child.stderr
        try:
            self.child.stdin.write(f"{name}\n")
            answer = self.child.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self.last_words = self.last_words or self.child.stderr.read().strip()
            raise RuntimeError(self.last_words.splitlines()[-1])
        return answer.strip()

    def close(self) -> None:
        self.child.communicate()


def serve() -> None:
    keep_freed()
    known = calls()
    kept: Any = None  # the last result is let go as a caller's would be: when the next is there
    for line in sys.stdin:
        name, _, want = line.strip().partition("; ")
        kept = known[name]()
        print(checksum(kept) if want else "done", flush=True)


def checksum(result: Any) -> float:
    arrays = result if isinstance(result, tuple) else (result,)
    return sum(float(array.sum(dtype="float64")) for array in arrays)


if __name__ == "__main__":
    serve()
