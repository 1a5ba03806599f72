"""Sixteen Python threads at once give the bytes of one; a free-threaded Python keeps no GIL for it.

No framework is needed, so that the wheel of each Python runs this file.
"""

from __future__ import annotations

import functools
import gc
import subprocess
import sys
import sysconfig
import threading

import numpy as np
import pytest

import sasaug

THREADS, CALLS = 16, 12


@pytest.fixture(autouse=True)
def frequent_switches():
    """A Python with a GIL hands it on as often as it can, and so between any two steps."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def call(number: int) -> bytes:
    """One of many calls: each has its own settings, types and sizes, and fills caches anew."""
    kind, size = sasaug.NOISES[number % 4], 32 + number % 7
    images = np.random.default_rng(number).integers(0, 256, (3, size, size + 5), np.uint8)
    masks = np.zeros(images.shape, ("uint8", "int16", "int64")[number % 3])
    masks[:, 4:-4, 5:-6] = 1 + number % 2
    if number % 5 == 0:
        images = (images / 255).astype(("float32", "float16")[number % 2])
    augment = sasaug.SAS(
        canvas=40 + number % 3, labels=(1, 2), p=1.0, noise={kind: sasaug.PRESETS["default"][kind]}
    )
    x, y = augment(images, masks, seed=number, num_threads=1 + number % 3)
    plan = sasaug.Plan.from_json(augment.plan(masks, seed=number).to_json())
    again = sasaug.apply(plan, list(images), list(masks))
    assert np.array_equal(again[0], x) and np.array_equal(again[1], y)
    return x.tobytes() + y.tobytes()


def forget() -> None:
    """Empty the package's caches, so that the threads fill them side by side."""
    cached = [one for one in gc.get_objects() if type(one) is functools._lru_cache_wrapper]
    ours = [one for one in cached if (one.__module__ or "").startswith("sasaug.")]
    assert any(one.cache_info().currsize for one in ours)
    for one in ours:
        one.cache_clear()


def test_sixteen_threads_give_the_bytes_of_one():
    expected = [call(number) for number in range(THREADS * CALLS)]
    forget()
    got: dict[int, bytes] = {}
    start = threading.Barrier(THREADS)

    def work(first: int) -> None:
        start.wait()
        for number in range(CALLS):  # each thread meets each call of another at about the same time
            chosen = (first * CALLS + 7 * number) % len(expected)
            got[first, number] = call(chosen) == expected[chosen]

    threads = [threading.Thread(target=work, args=(first,)) for first in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == THREADS * CALLS and all(got.values())


def test_one_set_of_settings_and_one_plan_serve_all_threads():
    augment = sasaug.SAS(canvas=48, p=1.0)
    images = np.random.default_rng(0).integers(0, 256, (4, 60, 60), np.uint8)
    masks = np.ones_like(images)
    plan = augment.plan(masks, seed=3)
    expected = augment(images, masks, seed=3)
    forget()
    wrong, start = [], threading.Barrier(THREADS)

    def work() -> None:
        start.wait()
        for _ in range(CALLS):
            for x, y in (augment(images, masks, seed=3), sasaug.apply(plan, images, masks)):
                if not (np.array_equal(x, expected[0]) and np.array_equal(y, expected[1])):
                    wrong.append(x)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_module_says_that_it_needs_no_gil():
    """As CPython reads it: the slot of the module's definition, 0 or absent where it needs one."""
    code = (
        "import warnings; warnings.simplefilter('error')\n"
        "import sys, sasaug; sasaug.set_num_threads(2); print(sys._is_gil_enabled())"
    )
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        pytest.skip("this Python always has a GIL")
    command = [sys.executable, "-X", "gil=0", "-c", code]
    plain = [sys.executable, "-c", code]
    for run in (command, plain):
        made = subprocess.run(run, capture_output=True, text=True)
        assert made.stdout == "False\n", made.stderr
