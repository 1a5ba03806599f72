"""Threads, child processes and the end of the interpreter: the same answer, and no crash."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import sasaug
from cases import disc

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
ignores_forks = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def answer(num_threads: int | None = None) -> bytes:
    images = np.random.default_rng(0).integers(0, 256, (12, 160, 160), np.uint8)
    masks = disc(12, 160)
    arrays = sasaug.sas(images, masks, seed=11, p=1.0, num_threads=num_threads)
    return b"".join(array.tobytes() for array in arrays)


def in_a_child(queue):
    queue.put((answer(), answer(num_threads=3), sasaug.get_num_threads()))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@ignores_forks
def test_child_processes_after_use(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip("no fork on this system")
    expected = answer(num_threads=4)  # threads have run before the fork
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=in_a_child, args=(queue,))
    child.start()
    assert queue.get(timeout=60) == (expected, expected, 1)
    child.join(60)
    assert child.exitcode == 0


def status_of_a_fork(work) -> int:
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)  # ends a child that waits for a lock
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    return os.waitpid(pid, 0)[1]


@needs_fork
@ignores_forks
def test_bare_fork_uses_one_thread():
    assert status_of_a_fork(lambda: sasaug.get_num_threads() == 1) == 0


@needs_fork
@ignores_forks
def test_forks_while_threads_are_at_work():
    """The child has none of the threads that its parent's calls use, and none of their locks."""
    expected = answer(num_threads=1)

    def child():
        again = status_of_a_fork(lambda: answer(num_threads=2) == expected)
        return again == 0 and all(answer(num_threads=k) == expected for k in (3, 1, 2))

    with ThreadPoolExecutor(3) as callers:
        calls = [callers.submit(answer, 3) for _ in range(60)]
        statuses = [status_of_a_fork(child) for _ in range(8)]
        assert all(call.result() == expected for call in calls)
    assert statuses == [0] * 8


def test_sixteen_callers_at_once():
    expected = answer(num_threads=1)
    with ThreadPoolExecutor(16) as callers:
        assert set(callers.map(lambda _: answer(num_threads=2), range(64))) == {expected}


def test_the_number_of_threads_may_change_at_any_time():
    expected = answer(num_threads=1)
    try:
        with ThreadPoolExecutor(3) as callers:
            calls = [callers.submit(answer) for _ in range(60)]
            for number in (1, 5, None, 2, 64, 3) * 10:
                sasaug.set_num_threads(number)
            assert {call.result() for call in calls} == {expected}
            sasaug.set_num_threads(7)
            assert answer() == expected
    finally:
        sasaug.set_num_threads(None)


DAEMON = """
import sys, threading
import numpy as np
import sasaug

images = np.zeros((16, 256, 256), np.uint8)
running = threading.Barrier(3)


def endless():
    sasaug.sas(images, images + 1, num_threads=2)
    running.wait()
    while True:
        {call}


for _ in range(2):
    threading.Thread(target=endless, daemon=True).start()
running.wait()
{end}
"""


@pytest.mark.parametrize(
    "call",
    [
        "sasaug.sas(images, images + 1, num_threads=2)",
        "sasaug.sas(images, images + 1, num_threads=1)",
        "sasaug.SAS().plan(images)",
    ],
)
@pytest.mark.parametrize(("end", "status"), [("", 0), ("sys.exit(3)", 3)])
def test_the_interpreter_ends_while_daemon_threads_call(call, end, status):
    """As those of loaders that fetch ahead: an end by std::terminate would be status -6."""
    code = DAEMON.format(call=call, end=end)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout, run.stderr) == (status, "", "")
