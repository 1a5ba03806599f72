"""One job: under valgrind, count the instructions of each kernel on fixed inputs, less the call's.

    valgrind --tool=callgrind --instr-atstart=no python benchmarks/counted.py LIBRARY

LIBRARY is `REQUESTS`, compiled. Each case is called on a batch and on an empty batch: the
difference is the kernel's own. Counts go into callgrind's output, one dump per call, named.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import ml_dtypes
import numpy as np
from inputs import ellipses, frames

import sasaug

BATCH, SEED = 4, 1
WARM_UP = 20  # calls: Python specialises its code in the first ones
TYPES = ("uint8", "uint16", "float16", "bfloat16", "float32")
STRENGTHS = {"gaussian": 0.1, "speckle": 0.15, "salt_pepper": 0.05, "poisson": 100.0}

#: valgrind's requests are instructions that do nothing elsewhere; Python cannot write them
REQUESTS = """
#include <valgrind/callgrind.h>
void begin(void) { CALLGRIND_START_INSTRUMENTATION; CALLGRIND_ZERO_STATS; }
void end(const char* name) { CALLGRIND_DUMP_STATS_AT(name); }
"""


def images_of(dtype: str) -> Any:
    """[n h w] of the type, its full range, or [0, 1]."""
    images = frames(BATCH)
    if dtype == "uint8":
        return images
    if dtype == "uint16":
        return images.astype(np.uint16) * 257
    found = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    return (images.astype(np.float32) / 255).astype(found)


def cases() -> Iterator[tuple[str, Callable[[], Any], Callable[[], Any]]]:
    """Name, the call, and the same call without a sample."""
    masks = ellipses(BATCH)
    whole, nothing = sasaug.SAS(p=1.0, apply_to="all"), sasaug.SAS(p=0.0)
    for dtype in TYPES:
        images = images_of(dtype)
        listed: dict[str, Any] = {
            "whole SAS": partial(whole, seed=SEED),
            "pass-through": partial(nothing, seed=SEED),
            "thumbnail": partial(sasaug.thumbnail, size=160),
        }
        for kind, strength in STRENGTHS.items():
            listed[kind] = partial(noise, kind, strength)
        for name, call in listed.items():
            yield (
                f"{name}, {dtype}",
                partial(call, images, masks, num_threads=1),
                partial(call, images[:0], masks[:0], num_threads=1),
            )


def noise(kind: str, strength: float, images: Any, masks: Any, num_threads: int) -> Any:
    return getattr(sasaug, kind)(images, masks, strength, seed=SEED, num_threads=num_threads)


def main(library: str) -> None:
    requests = ctypes.CDLL(library)
    for name, call, empty in cases():
        for label, one in ((name, call), (f"{name}, empty", empty)):
            for _ in range(WARM_UP):
                one()
            requests.begin()
            one()
            requests.end(label.encode())


if __name__ == "__main__":
    main(sys.argv[1])
