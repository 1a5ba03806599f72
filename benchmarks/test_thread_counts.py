"""One job: time whole SAS on one, two and the default threads, beside two processes.

The two processes share out the batches, one after the other, and work on one thread each: no
threads of one process can be quicker than the machine lets these be.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import pytest
from inputs import SIZE, ellipses, frames

import sasaug

AUGMENT = sasaug.SAS(p=1.0, apply_to="all")
CASES = {f"{n} images of {SIZE} x {SIZE}, uint8": n for n in (1, 4, 16, 64)}
THREADS = {"sasaug": None, "sasaug, one thread": 1, "sasaug, two threads": 2}
PROCESSES = "two processes"
NOTES = {"sasaug": "default threads", PROCESSES: "every second batch each, one thread"}
IMAGES = 512  # of two processes in a round: telling them takes next to no time

Call = Callable[[], Any]


def work(n: int, num_threads: int | None) -> Call:
    images, masks, ids = frames(n), ellipses(n), [sample % 16 for sample in range(n)]
    return lambda: AUGMENT(images, masks, seed=1, ids=ids, num_threads=num_threads)


def serve(requests: Connection) -> None:
    """Augment `calls` batches of n images for each (n, calls) that comes; (0, 0) is the end."""
    kept: dict[int, Call] = {}
    while True:
        n, calls = requests.recv()
        if n == 0:
            return
        if n not in kept:
            kept[n] = work(n, 1)
        for _ in range(calls):
            x, y = kept[n]()
        requests.send((x, y))


@pytest.fixture(scope="module")
def servers() -> Iterator[list[Connection]]:
    """Two processes that wait for work."""
    context, ends, processes = multiprocessing.get_context("spawn"), [], []
    for _ in range(2):
        mine, theirs = context.Pipe()
        processes.append(context.Process(target=serve, args=(theirs,), daemon=True))
        processes[-1].start()
        ends.append(mine)
    yield ends
    for end, process in zip(ends, processes, strict=True):
        end.send((0, 0))
        process.join(30)


def shared_out(servers: list[Connection], n: int, calls: int) -> tuple[Any, Any]:
    for server in servers:
        server.send((n, calls // 2))
    answers = [server.recv() for server in servers]
    return answers[0][0], answers[0][1]


@pytest.mark.parametrize("contender", [*THREADS, PROCESSES])
@pytest.mark.parametrize("case", CASES)
def test_threads(
    timed: Any, quick: bool, servers: list[Connection], case: str, turn: int, contender: str
) -> None:
    n = CASES[case]
    both = contender == PROCESSES
    calls = 1 if not both else 2 if quick else IMAGES // n
    call = (lambda: shared_out(servers, n, calls)) if both else work(n, THREADS[contender])
    x, y = timed(
        call, table="threads", case=case, contender=contender, note=NOTES.get(contender, ""),
        images=calls * n, pixels=calls * n * SIZE**2, bytes=2 * calls * n * SIZE**2,
    )  # fmt: skip
    x_, y_ = work(n, 1)()
    assert np.array_equal(x, x_) and np.array_equal(y, y_)
