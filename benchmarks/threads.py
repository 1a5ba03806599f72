"""One job: the time on default threads over that on the best of 1..n, from 16 to 1024 pixels.

    python benchmarks/threads.py

prints a line for each batch, and fails where a ratio is above 1.05. Needs a quiet machine: with
other work beside it only one thread is timed well.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from inputs import ellipses, frames
from memory import keep_freed

import sasaug

SIDES = (16, 32, 64, 128, 192, 256, 512, 1024)
BATCHES = (1, 2, 4, 8, 16, 32, 64)
SETTINGS = {"SAS()": sasaug.SAS(), "SAS(p=1.0)": sasaug.SAS(p=1.0)}
MOST = 1.05
TURNS = 15
SECONDS = 0.004  # of one way in a turn


def seconds_of(call: Callable[[], Any], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times


def ratios(augment: sasaug.SAS, n: int, side: int, threads: list[int]) -> tuple[float, list[float]]:
    """Microseconds on default threads, and how many times those on each number of threads."""
    images, masks = frames(n, size=side), ellipses(n, side)
    seeds = iter(range(10**9))  # new draws for every call: the rule knows them only from the plan

    def way(num_threads: int | None, seed: int) -> Callable[[], Any]:
        return lambda: augment(images, masks, seed=seed, num_threads=num_threads)

    times = max(1, int(SECONDS / seconds_of(way(1, 0), 2)))
    turns = []
    for _ in range(TURNS):
        seed = next(seeds)
        ways = [way(number, seed) for number in (None, *threads)]
        for call in ways:
            call()
        # there and back: a drift of the machine's speed meets all
        there = [seconds_of(call, times) for call in ways]
        back = [seconds_of(call, times) for call in reversed(ways)]
        turns.append([a + b for a, b in zip(there, reversed(back), strict=True)])
    default = statistics.median(turn[0] for turn in turns)
    others = [statistics.median(t[0] / t[k + 1] for t in turns) for k in range(len(threads))]
    return 5e5 * default, others


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0].removeprefix("One job: "))
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES)
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    options = parser.parse_args()
    keep_freed()
    threads = list(range(1, sasaug.get_num_threads() + 1))
    print("settings    images  side        us  default/best  (over each of 1..n threads)")
    worst = 0.0
    for name, augment in SETTINGS.items():
        for side in options.sides:
            for n in options.batches:
                microseconds, others = ratios(augment, n, side, threads)
                worst = max(worst, *others)
                shown = " ".join(f"{ratio:.3f}" for ratio in others)
                print(
                    f"{name:11} {n:6} {side:5} {microseconds:9.0f} {max(others):13.3f}  ({shown})"
                )
    print(f"worst {worst:.3f}, at most {MOST} is wanted")
    sys.exit(worst > MOST)


if __name__ == "__main__":
    main()
