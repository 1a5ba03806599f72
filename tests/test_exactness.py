"""One answer: nothing but images, masks, windows, settings, seed and ids enters the output."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import platform
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sasaug
from cases import Case, cases, disc, numpy_state, same_bytes
from libraries import Face
from sasaug import _core


def batch(n: int = 12, size: int = 96, dtype: str = "uint8"):
    rng = np.random.default_rng(0)
    scale = 1 if dtype.startswith("f") else np.iinfo(dtype).max
    images = (rng.random((n, size, size)) * scale).astype(dtype)
    return images, disc(n, size)


def answer(dtype: str = "uint8", **options):
    images, masks = batch(dtype=dtype)
    return sasaug.sas(images, masks, seed=11, p=1.0, position="random", **options)


def same(a, b) -> bool:
    return same_bytes(a[0], b[0]) and same_bytes(a[1], b[1])


def apply_case(face, case: Case, plan, **options):
    return face.apply(
        plan, case.images, case.masks, dtype=case.dtype, check_values=False, **options
    )


@given(case=cases(), data=st.data())
def test_any_split_and_order_of_the_batch(face: Face, case: Case, data):
    n = len(case.masks)
    whole = apply_case(face, case, case.plan(face))
    order = data.draw(st.permutations(range(n)))
    aug = face.SAS(**case.settings)
    for s in order:
        one = slice(s, s + 1)
        windows = None if case.windows is None else case.windows[one]
        alone = aug(
            case.images[one],
            case.masks[one],
            seed=case.seed,
            ids=case.ids[one],
            windows=windows,
            dtype=case.dtype,
        )
        assert same(alone, (whole[0][one], whole[1][one]))


@pytest.mark.parametrize("threads", range(1, 9))
@pytest.mark.parametrize("n", [1, 3, 12])
def test_any_number_of_threads(threads, n):
    images, masks = batch(n, 200)
    one = sasaug.sas(images, masks, seed=2, p=1.0, num_threads=1)
    assert same(sasaug.sas(images, masks, seed=2, p=1.0, num_threads=threads), one)


@given(case=cases())
@settings(max_examples=150)
def test_any_instruction_set(case: Case):
    before = _core.instruction_set()
    try:
        answers = []
        for name in _core.instruction_sets():
            _core.use_instruction_set(name)
            answers.append((case.plan().rows(), apply_case(sasaug, case, case.plan())))
    finally:
        _core.use_instruction_set(before)
    for rows, pair in answers:
        assert rows == answers[0][0] and same(pair, answers[0][1])


@given(case=cases(), data=st.data())
def test_any_strides_and_alignment(face: Face, case: Case, data):
    plan = case.plan(face)
    expected = apply_case(face, case, plan)

    def disguise(array):
        """The same values: padded, reversed along some axes, in another axis order, misaligned."""
        signs = st.sampled_from([1, -1] if face.reverses else [1])
        flips = tuple(slice(None, None, data.draw(signs)) for _ in array.shape)
        array = array[flips]
        order = data.draw(st.permutations(range(array.ndim)))
        offset = data.draw(st.integers(0, 7))
        step = data.draw(st.integers(1, 2))
        shape = [array.shape[axis] * (step if axis == order[-1] else 1) for axis in order]
        memory = np.zeros(int(np.prod(shape)) * array.itemsize + 8, np.uint8)
        inner = memory[offset : len(memory) - 8 + offset].view(array.dtype).reshape(shape)
        view = inner.transpose(np.argsort(order))
        take = tuple(
            slice(None, None, step if axis == order[-1] else 1) for axis in range(array.ndim)
        )
        view = view[take]
        view[...] = array
        view = view[flips]
        view.flags.writeable = False
        return view

    disguised = Case(
        disguise(case.images), disguise(case.masks), case.settings, case.seed, case.ids,
        case.windows, case.dtype,
    )  # fmt: skip
    assert disguised.plan(face).rows() == plan.rows()
    assert same(apply_case(face, disguised, plan), expected)

    x = np.zeros((*expected[0].shape[:-1], 5), expected[0].dtype)[..., ::-1]
    out = (x[..., 1 : 1 + expected[0].shape[-1]], np.zeros_like(expected[1], order="F"))
    apply_case(face, case, plan, out=out)
    assert same(tuple(np.ascontiguousarray(o) for o in out), expected)


@given(case=cases())
def test_channels_first_and_last(face: Face, case: Case):
    plan = case.plan(face)
    last = apply_case(face, case, plan)
    first = face.apply(
        plan,
        case.images.transpose(0, 3, 1, 2),
        case.masks,
        dtype=case.dtype,
        check_values=False,
        channels="first",
    )
    assert same((np.ascontiguousarray(first[0].transpose(0, 2, 3, 1)), first[1]), last)
    contiguous = np.ascontiguousarray(case.images.transpose(0, 3, 1, 2))
    planar = face.apply(
        plan, contiguous, case.masks, dtype=case.dtype, check_values=False, channels="first"
    )
    assert same(planar, first)


@given(case=cases())
def test_noise_of_one_channel_is_shared_unless_asked(face: Face, case: Case):
    case.settings["per_channel"] = False
    plan = case.plan(face)
    whole = apply_case(face, case, plan)[0]
    for k in range(case.images.shape[-1]):
        alone = face.apply(
            plan, case.images[..., k], case.masks, dtype=case.dtype, check_values=False
        )[0]
        assert same_bytes(np.ascontiguousarray(whole[..., k]), alone)


@given(case=cases())
def test_ragged_lists_are_stacked_batches(face: Face, case: Case):
    if not len(case.masks):
        return
    plan = case.plan(face)
    ragged = face.apply(
        plan, list(case.images), list(case.masks), dtype=case.dtype, check_values=False
    )
    assert same(ragged, apply_case(face, case, plan))


def test_ragged_sizes(face: Face):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, size, np.uint8) for size in ((30, 40), (64, 20), (1, 7))]
    masks = [image > 100 for image in images]
    aug = face.SAS(canvas=32, p=1.0, apply_to="all")
    x, y = aug(images, masks, seed=4)
    assert x.shape == y.shape == (3, 32, 32)
    for s in range(3):
        alone = aug(images[s], masks[s], seed=4, ids=s)
        assert same(alone, (x[s], y[s]))


@given(case=cases())
def test_noise_is_a_step_of_its_own(face: Face, case: Case):
    """sas is the thumbnail, then the noise on what the thumbnail stored."""
    plan = case.plan(face)
    x, y = apply_case(face, case, plan)
    quiet = plan[:]
    quiet.samples["noise"] = -1
    small, label = apply_case(face, case, quiet)
    assert same_bytes(label, y)
    height, width = plan.canvas
    again = plan[:]
    again.samples["window"] = again.samples["thumbnail"] = (0, 0, width, height)
    types = case.dtype, str(case.images.dtype)
    if types[0] != types[1] and not all("float" in dtype for dtype in types):
        again.value_range = None  # the new type's own range is filled
    assert same_bytes(face.apply(again, small, label, check_values=False)[0], x)


@given(case=cases())
def test_outside_the_roi_nothing_changes(face: Face, case: Case):
    plan = case.plan(face)
    x, y = apply_case(face, case, plan)
    quiet = plan[:]
    quiet.samples["noise"] = -1
    small, label = apply_case(face, case, quiet)
    roi = y != 0 if plan.labels is None else np.isin(y, plan.labels)
    assert same_bytes(x[~roi], small[~roi])
    assert same_bytes(y, label)
    assert set(np.unique(y)) <= {0, *np.unique(case.masks)}


@given(case=cases())
def test_inputs_are_not_written(face: Face, case: Case):
    before = case.images.copy(), case.masks.copy(), case.plan(face).rows()
    case.ids.flags.writeable = False
    plan = case.plan(face)
    apply_case(face, case, plan)
    assert same_bytes(case.images, before[0]) and same_bytes(case.masks, before[1])
    assert plan.rows() == before[2]


def test_out_may_name_the_inputs(face: Face):
    images, masks = batch()
    expected = face.sas(images, masks, seed=1, p=1.0)
    x, y = face.sas(images, masks, seed=1, p=1.0, out=(images, masks))
    assert x is images and y is masks and same((x, y), expected)
    image = images[0].copy()
    noisy = face.gaussian(image, masks[0], std=0.1, seed=1)
    assert same_bytes(face.gaussian(image, masks[0], std=0.1, seed=1, out=image), noisy)


def test_mirrored_inputs(face: Face):
    rng = np.random.default_rng(0)
    images, masks = rng.random((2, 40, 50), np.float32), rng.integers(0, 2, (2, 40, 50), np.uint8)
    expected = face.sas(images, masks, seed=2, p=1.0)
    for axes in ((0,), (1,), (2,), (1, 2)):
        view = [np.flip(np.flip(a, axes).copy(), axes) for a in (images, masks)]
        got = face.sas(*view, seed=2, p=1.0)
        assert same_bytes(got[0], expected[0]) and same_bytes(got[1], expected[1])


def test_mirrored_outputs(face: Face):
    images, masks = (
        np.random.default_rng(0).random((3, 40, 50), np.float32),
        disc(3, 64)[:, :40, :50],
    )
    expected = face.sas(images, masks, seed=2, p=1.0)
    for flip in (
        (slice(None), slice(None, None, -1)),
        (slice(None, None, -1),),
        (slice(None), slice(None), slice(None, None, -1)),
    ):
        out = np.zeros_like(images)[flip], np.zeros_like(masks)[flip]
        face.sas(images, masks, seed=2, p=1.0, out=out)
        assert same_bytes(out[0].copy(), expected[0]) and same_bytes(out[1].copy(), expected[1])


def test_in_place_every_way(face: Face):
    images, masks = (
        np.random.default_rng(0).integers(0, 256, (3, 40, 50), np.uint8),
        disc(3, 64)[:, :40, :50].copy(),
    )
    plan = face.SAS(p=1.0).plan(masks, seed=1)
    calls = (
        lambda i, m, **o: face.apply(plan, i, m, **o),
        lambda i, m, **o: face.thumbnail(i, m, 20, **o),
        lambda i, m, **o: face.sas(i, m, seed=1, p=1.0, **o),
    )
    for call in calls:
        expected = call(images, masks)
        for how in ("same", "view", "swapped", "list"):
            i, m = images.copy(), masks.copy()
            ins = (list(i), list(m)) if how == "list" else (i, m)
            if how == "view":
                big = np.zeros((2, 3, 41, 50), np.uint8)
                i, m, out = big[0, :, :40], big[1, :, :40], (big[0, :, 1:], big[1, :, 1:])
                i[...], m[...] = images, masks
                ins = i, m
            else:
                out = (m, i) if how == "swapped" else (i, m)
            got = call(*ins, out=out)
            assert same_bytes(got[0].copy(), expected[0]) and same_bytes(
                got[1].copy(), expected[1]
            ), how


def test_nan_and_infinity_in_the_roi_become_numbers(face: Face):
    x = np.full((8, 8), 0.5, np.float32)
    x[1, :4] = np.nan, np.inf, -np.inf, np.nan
    mask = np.zeros((8, 8), bool)
    mask[1, :3] = True
    for kind, strength in (
        ("gaussian", 0),
        ("speckle", 0),
        ("salt_pepper", 0),
        ("poisson", np.inf),
    ):
        out = getattr(face, kind)(x, mask, strength, seed=1, check_values=False)
        assert np.isnan(out[1, 3]), kind
        assert out[1, 0] == 0 and out[1, 2] == 0, kind
        assert out[1, 1] in (0, 1), kind


@pytest.mark.large
def test_many_samples_of_one_image(face: Face):
    image = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    mask = disc()[0]
    n = 70_000
    x, y = face.sas(
        np.broadcast_to(image, (n, 64, 64)), np.broadcast_to(mask, (n, 64, 64)),
        seed=5, p=1.0, canvas=8,
    )  # fmt: skip
    last = face.sas(image, mask, seed=5, ids=n - 1, p=1.0, canvas=8)
    assert x.shape == (n, 8, 8) and same((x[-1], y[-1]), last)


# ---- the machine's own state --------------------------------------------------------------------


def test_environment_names_the_instruction_set():
    code = "import sasaug; print(sasaug._core.instruction_set())"
    for name in _core.instruction_sets():
        env = {**os.environ, "SASAUG_ISA": name}
        run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
        assert run.stdout.strip() == name, run.stderr
    env = {**os.environ, "SASAUG_ISA": "mmx"}
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert run.returncode and "SASAUG_ISA must be one that this machine runs" in run.stderr


def test_instruction_set_in_use(instruction_set):
    assert _core.instruction_set() == instruction_set


def test_empty_environment_is_the_fastest():
    env = {**os.environ, "SASAUG_ISA": ""}
    run = subprocess.run(
        [sys.executable, "-c", "import sasaug; print(sasaug._core.instruction_set())"],
        env=env,
        capture_output=True,
        text=True,
    )
    assert run.stdout.strip() == _core.instruction_sets()[-1], run.stderr


def test_global_random_state_is_neither_read_nor_written():
    np.random.seed(0)
    before = numpy_state()
    first = answer()
    np.random.seed(1)
    assert same(answer(), first)
    np.random.seed(0)
    answer()
    assert numpy_state() == before


@pytest.mark.skipif(
    platform.machine() != "x86_64" or platform.system() != "Linux", reason="sets glibc's fenv_t"
)
@pytest.mark.parametrize("word", [0x8040, 0x6000, 0x2000], ids=["flush", "truncate", "down"])
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32"])
def test_flush_to_zero_and_rounding_mode_of_the_caller_do_not_matter(word, dtype, instruction_set):
    libm = ctypes.CDLL(ctypes.util.find_library("m"))
    saved = (ctypes.c_uint8 * 32)()
    libm.fegetenv(ctypes.byref(saved))
    changed = (ctypes.c_uint8 * 32)(*saved)
    mxcsr = ctypes.c_uint32.from_buffer(changed, 28)
    mxcsr.value |= word
    images, masks = batch(2, dtype=dtype)
    if dtype != "uint8":
        images *= np.array(1e-39 if dtype == "float32" else 1e-5, dtype)  # subnormal numbers
    plan = sasaug.SAS(p=1.0, noise={"speckle": (0.2, 0.2)}).plan(masks, seed=1)
    expected = sasaug.apply(plan, images, masks, num_threads=1)
    libm.fesetenv(ctypes.byref(changed))
    try:
        got = sasaug.apply(plan, images, masks, num_threads=1)
        after = (ctypes.c_uint8 * 32)()
        libm.fegetenv(ctypes.byref(after))
    finally:
        libm.fesetenv(ctypes.byref(saved))
    assert same(got, expected)
    assert ctypes.c_uint32.from_buffer(after, 28).value & 0xFFC0 == mxcsr.value & 0xFFC0


@pytest.mark.parametrize("channels", ["first", "last"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_what_passes_through_is_copied_from_and_to_slices(dtype, channels):
    """Rows that are contiguous, but not neighbours: each is copied, and nothing between them."""
    rng = np.random.default_rng(0)
    for c in (1, 3):
        shape = (2, c, 14, 20) if channels == "first" else (2, 14, 20, c)
        rows = np.s_[:, :, 2:11, 3:16] if channels == "first" else np.s_[:, 2:11, 3:16]
        large = rng.integers(0, 256, shape).astype(dtype)
        images, labels = large[rows], rng.integers(0, 3, (2, 14, 20))[:, 2:11, 3:16]
        frame, edge = np.full_like(large, 7), np.full((2, 14, 20), 7)
        out = frame[rows], edge[:, 2:11, 3:16]
        for to in (None, out):
            x, y = sasaug.sas(images, labels, seed=1, p=0.0, channels=channels, out=to)
            assert np.array_equal(x, images) and np.array_equal(y, labels)
        mirrored = images[..., ::-1] if channels == "first" else images[:, :, ::-1]
        x, y = sasaug.sas(mirrored, labels, seed=1, p=0.0, channels=channels)
        assert np.array_equal(x, mirrored) and np.array_equal(y, labels)
        x, y = sasaug.sas(images, labels[..., ::-1], seed=1, p=0.0, channels=channels)
        assert np.array_equal(x, images) and np.array_equal(y, labels[..., ::-1])
        out[0][...], out[1][...] = 7, 7
        assert (frame == 7).all() and (edge == 7).all()
