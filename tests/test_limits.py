"""The limits: far addresses, long axes, many pixels, nothing at all, and the threads of a call."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import sasaug
from cases import same_bytes
from libraries import Face
from sasaug import _core, reference

FAR = 2**30 + 256  # twice this is beyond 2^31


def far(array, axis):
    """The same values, neighbours along one axis a gigabyte apart; untouched pages cost nothing."""
    strides, step = [0] * array.ndim, array.itemsize
    for k in reversed(range(array.ndim)):
        if k != axis:
            strides[k], step = step, step * array.shape[k]
    strides[axis] = FAR
    memory = np.zeros(FAR * (array.shape[axis] - 1) + step, np.uint8)
    view = np.ndarray(array.shape, array.dtype, memory, 0, strides)
    view[...] = array
    return view


def near_memory(face: Face) -> None:
    if face.copies:
        pytest.skip("all the gigabytes would be copied to the GPU")


@pytest.mark.parametrize("window", [None, (2, 2, 1, 1)])
@pytest.mark.parametrize("axis", range(4))
def test_far_reads(face: Face, axis, window):
    near_memory(face)
    rng = np.random.default_rng(axis)
    images = rng.integers(0, 256, (3, 3, 3, 3), np.uint8)
    masks = rng.integers(0, 3, (3, 3, 3), np.uint8)
    aug = face.SAS(canvas=5, p=1.0, small_fraction=0.5)
    windows = None if window is None else np.array([window] * 3)
    near = aug(images, masks, seed=1, windows=windows)
    away = aug(far(images, axis), far(masks, min(axis, 2)), seed=1, windows=windows)
    assert same_bytes(away[0], near[0]) and same_bytes(away[1], near[1])


@pytest.mark.parametrize("axis", range(4))
def test_far_writes(face: Face, axis):
    near_memory(face)
    rng = np.random.default_rng(axis)
    images = rng.integers(0, 256, (3, 3, 9, 3), np.uint8)
    masks = rng.integers(0, 3, (3, 3, 9), np.uint8)
    aug = face.SAS(canvas=(9, 3), p=1.0)
    near = aug(images, masks, seed=1)
    out = far(np.full_like(near[0], 7), axis), far(np.full_like(near[1], 7), min(axis, 2))
    aug(images, masks, seed=1, out=out)
    assert same_bytes(out[0].copy(), near[0]) and same_bytes(out[1].copy(), near[1])


@pytest.mark.parametrize(("antialias", "n_dst"), [(False, 50_000), (False, 90_000), (True, 2)])
def test_long_axes(face: Face, antialias, n_dst):
    row = np.random.default_rng(0).random((1, 70_000, 1), np.float32)
    mask = np.arange(70_000, dtype=np.int32)[None]
    samples = np.zeros(1, sasaug.plan.SAMPLE)
    samples["window"], samples["thumbnail"], samples["noise"] = (
        (0, 0, 70_000, 1),
        (0, 0, n_dst, 1),
        -1,
    )
    plan = sasaug.Plan(samples, 0, (1, n_dst), antialias=antialias)
    x, y = face.apply(plan, row[None], mask[None])
    ex, ey = reference.apply(plan, row[None], mask[None])
    assert same_bytes(x, ex) and same_bytes(y, ey)


@pytest.mark.large
def test_large_sizes(face: Face):
    w = np.array([[0, 0, 2**30, 2**29]], np.int32)
    assert _core.largest_sides(w, (2**28, 2**30)).tolist() == [2**29]
    mask = np.broadcast_to(np.ones(33_000, bool), (33_000, 33_000))
    assert face.SAS(canvas=33_000, p=0.0).plan(mask, seed=0).samples["thumbnail"][0].tolist() == [
        0,
        0,
        33_000,
        33_000,
    ]


@pytest.mark.large
def test_area_of_more_than_two_to_the_31_pixels(face: Face):
    mask = np.zeros((8, 2**28 + 64), bool)
    mask[:2] = True  # a quarter
    for fraction, large in ((0.26, False), (0.24, True)):
        assert (
            face.SAS(canvas=8, p=1.0, small_fraction=fraction)
            .plan(mask, seed=0)
            .samples["transformed"][0]
            == large
        )


@pytest.mark.parametrize("width", [191, 192, 193, 256, 600, 1000])
def test_area_of_wide_masks(face: Face, width):
    mask = np.ones((3, width), np.uint8)
    mask[2] = 0
    for fraction, large in ((0.66, True), (0.67, False)):
        assert (
            face.SAS(p=1.0, small_fraction=fraction).plan(mask, seed=0).samples["transformed"][0]
            == large
        )


@pytest.mark.parametrize("labels", [None, (1, 3)])
@pytest.mark.parametrize("dtype", ["bool", "int16", "uint32", "int64"])
def test_area_counts_every_pixel(face: Face, dtype, labels):
    """The first and the last, whatever the row's length: one more or less would be seen."""
    labels = labels and labels[: 1 if dtype == "bool" else 2]
    for width in (*range(1, 40), 300, 1001):
        mask = np.ones((3, width), dtype)
        aug = face.SAS(p=1.0, small_fraction=1 - 0.5 / mask.size, labels=labels)
        assert aug.plan(mask, seed=0).samples["transformed"][0]
        for place in (0, -1):
            less = mask.copy()
            less.flat[place] = 0
            assert not aug.plan(less, seed=0).samples["transformed"][0]


def test_empty_window_and_thumbnail_with_antialias(face: Face):
    x = np.zeros((1, 0, 5), np.uint8)
    assert face.sas(x, x, seed=0, canvas=8, antialias=True)[0].shape == (1, 8, 8)
    x = np.zeros((1, 8, 9), np.uint8)
    plan = face.SAS(antialias=True).plan(x, seed=0)
    for thumbnail in ((0, 0, 0, 8), (0, 0, 9, 0), (9, 8, 0, 0)):
        plan.samples["thumbnail"][0] = thumbnail
        assert not face.apply(plan, x + 1, x)[0].any()


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads by /proc")
@pytest.mark.parametrize("threads", [1, 3])
def test_threads_are_as_many_as_asked(threads):
    code = f"""if True:  # a process of its own: no thread of another test comes or goes
        import os, threading, numpy as np, sasaug
        images = np.broadcast_to(np.uint8(100), (48, 512, 512))
        before, most, done = len(os.listdir("/proc/self/task")), 0, False
        def watch():
            global most
            while not done:
                most = max(most, len(os.listdir("/proc/self/task")))
        watcher = threading.Thread(target=watch)
        watcher.start()
        for _ in range(20):  # on a busy machine the watcher may miss a call
            sasaug.gaussian(images, images, 0.1, seed=0, num_threads={threads})
        done = True
        watcher.join()
        print(most - before - 1)  # less the watcher
    """
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == str(threads - 1), run.stderr


def test_no_thread_to_be_had():
    code = """if True:
        import resource, numpy as np, sasaug
        x = np.full((8, 256, 256), 100, np.uint8); out = x.copy(), x.copy()
        one = sasaug.sas(x, x, seed=1, p=1.0, num_threads=1)
        size = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + 2**21, -1))
        sasaug.sas(x, x, seed=1, p=1.0, num_threads=8, out=out)
        assert (out[0] == one[0]).all() and (out[1] == one[1]).all()
        import threading
        try: threading.Thread(target=print).start()
        except RuntimeError: print("none")
    """
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == "none", run.stderr


def test_working_memory():
    """At most a megabyte a thread beside inputs and outputs, for rows of 8192 pixels too."""
    if sys.platform != "linux":
        pytest.skip("resident memory is read from Linux's /proc")
    code = """
import numpy, re, sasaug
def highest():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
def images(width):
    shape = width // 64, width
    x, y = numpy.full(shape, 0.5, numpy.float32), numpy.ones(shape, bool)
    return x, y, numpy.ones_like(x), numpy.ones_like(y)
def run(x, y, *out):
    for kind in sasaug.NOISES:
        sasaug.sas(x, y, seed=1, p=1.0, noise={kind: (8, 8) if kind == "poisson" else (1, 1)},
                   out=out, num_threads=1)
run(*images(64))
wide = images(8192)
before = highest()
run(*wide)
print(highest() - before)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) <= 1024


def test_nothing_beyond_the_arrays_is_touched():
    """Inputs and outputs that end, or begin, at a page that nobody may touch."""
    if sys.platform != "linux":
        pytest.skip("memory is protected by Linux's mprotect")
    code = """
import ctypes, itertools, mmap, numpy, sasaug
from sasaug import _core
protect = ctypes.CDLL(None, use_errno=True).mprotect
page, kept = mmap.PAGESIZE, []
def edged(array, end):
    pages = -(-array.nbytes // page)
    memory = mmap.mmap(-1, (pages + 2) * page)
    kept.append(memory)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for forbidden in (start, start + (pages + 1) * page):
        assert protect(ctypes.c_void_p(forbidden), page, 0) == 0
    offset = page + (pages * page - array.nbytes if end else 0)
    view = numpy.frombuffer(memory, array.dtype, array.size, offset).reshape(array.shape)
    view[...] = array
    return view
rng = numpy.random.default_rng(0)
for isa, dtype, end in itertools.product(
    _core.instruction_sets(), ("uint8", "uint16", "float16", "float32"), (False, True)
):
    _core.use_instruction_set(isa)
    for h, w, canvas in ((1, 1, 3), (5, 17, 16), (40, 33, 29), (64, 70, 61), (9, 100, 90)):
        x = edged((rng.random((h, w)) * (255 if dtype[0] == "u" else 1)).astype(dtype), end)
        y = edged(numpy.ones((h, w), numpy.uint8), end)
        out = edged(numpy.zeros((canvas, canvas), dtype), end)
        labels = edged(numpy.zeros((canvas, canvas), numpy.uint8), end)
        for kind in sasaug.NOISES:
            noise = {kind: (8, 8) if kind == "poisson" else (0.5, 0.5)}
            for seed in range(3):
                sasaug.sas(x, y, seed=seed, canvas=canvas, p=1.0, noise=noise, out=(out, labels),
                           num_threads=1)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr or result.returncode
