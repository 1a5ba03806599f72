"""Plans that stay on the GPU, and per-sample values that are read there."""

from __future__ import annotations

import pickle
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given

import sasaug
from cases import Case, cases, disc, same_bytes
from libraries import Face
from played_gpu import MEMORY
from sasaug.noise import KINDS
from sasaug.plan import DeviceSamples

LOW, HIGH = -(2**31), 2**31 - 1  # the ends of int32


def same(a, b) -> bool:
    return same_bytes(a[0], b[0]) and same_bytes(a[1], b[1])


def batch(n: int = 5, size: int = 40, dtype: str = "uint8"):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n, size, size))
    return (images if dtype == "uint8" else images / 255).astype(dtype), disc(n, size)


def ragged(n: int):
    rng = np.random.default_rng(n)
    sizes = rng.integers(1, 14, (n, 2))
    images = [rng.integers(0, 256, size, np.uint8) for size in sizes]
    return images, [(image > 99).astype(np.uint8) for image in images]


@contextmanager
def copies(gpu: Face, monkeypatch):
    """The arrays copied from the GPU meanwhile."""
    kind, copied = type(gpu.library.frontend), []
    to_numpy = kind.to_numpy

    def watched(self, array):
        copied.append(array)
        return to_numpy(self, array)

    with monkeypatch.context() as patch:
        patch.setattr(kind, "to_numpy", watched)
        yield copied


# ---- plans -------------------------------------------------------------------------------------


def test_calls_copy_nothing_to_the_host(gpu: Face, monkeypatch):
    images, masks = batch()
    values = gpu.to(np.arange(5)), gpu.to(np.full((5, 4), (3, 4, 20, 30), np.int32))
    with copies(gpu, monkeypatch) as copied:
        aug = gpu.SAS(p=1.0)
        plan = aug.plan(masks, seed=1, ids=values[0], windows=values[1])
        assert len(plan) == 5 and plan.seed == 1 and plan.canvas == (40, 40)
        gpu.apply(plan, images, masks)
        gpu.apply(plan, images, masks, dtype="float32")
        aug(images, masks, seed=1, ids=values[0], windows=values[1])
        gpu.thumbnail(images, masks, gpu.to(np.full(5, 9, np.int32)), windows=values[1], seed=1)
        gpu.gaussian(images, masks, gpu.to(np.full(5, 0.1, np.float32)), seed=1, ids=values[0])
        assert isinstance(plan.stored, DeviceSamples)
    assert not copied


USES: dict[str, Any] = {
    "print": str,
    "json": sasaug.Plan.to_json,
    "rows": sasaug.Plan.rows,
    "compare": lambda plan: plan == plan,
    "part": lambda plan: plan[1:],
    "samples": lambda plan: plan.samples,
    "edit": lambda plan: plan.samples["strength"].fill(0.25),
    "pickle": pickle.dumps,
}


@pytest.mark.parametrize("use", USES)
def test_plans_stay_on_the_gpu_until_they_are_read(gpu: Face, use, monkeypatch):
    _, masks = batch()
    plan, expected = (face.SAS(p=1.0).plan(masks, seed=1) for face in (gpu, sasaug))
    assert isinstance(plan.stored, DeviceSamples)
    with copies(gpu, monkeypatch) as copied:
        USES[use](plan), USES[use](plan)
    assert len(copied) == 1 and isinstance(plan.stored, np.ndarray)
    USES[use](expected)
    assert plan == expected and plan.samples.tobytes() == expected.samples.tobytes()


def test_plans_leave_the_gpu_by_pickle(gpu: Face):
    _, masks = batch()
    plan = gpu.SAS(p=1.0).plan(masks, seed=1)
    again = pickle.loads(pickle.dumps(plan))
    assert isinstance(again.stored, np.ndarray) and again == plan


def test_plans_drawn_on_the_gpu_are_edited(gpu: Face):
    images, masks = batch()
    plans = [face.SAS(p=1.0).plan(masks, seed=1) for face in (gpu, sasaug)]
    for plan in plans:
        plan.samples["strength"][2] = 0.0
        plan.samples["thumbnail"][3] = (1, 2, 30, 20)
        plan.seed = 9
    expected = sasaug.apply(plans[1], images, masks)
    assert same(gpu.apply(plans[0], images, masks), expected)
    assert not same(gpu.apply(gpu.SAS(p=1.0).plan(masks, seed=9), images, masks), expected)


def test_plans_for_other_sizes_are_checked_on_the_host(gpu: Face):
    images, masks = batch()
    big, small = (np.zeros((5, size, size), np.uint8) for size in (50, 30))

    def plan():
        return gpu.SAS(p=1.0, canvas=40).plan(masks, seed=1)

    expected = sasaug.apply(plan(), big, big + 1)
    assert same(gpu.apply(plan(), big, big + 1), expected)
    lists = list(images), list(masks)
    assert same(gpu.apply(plan(), *lists), sasaug.apply(plan(), images, masks))
    with pytest.raises(ValueError, match=r"plan\.samples\['window'\]\[0\] must lie inside"):
        gpu.apply(plan(), small, small)
    with pytest.raises(ValueError, match=r"plan\.samples\['window'\]\[4\] must lie inside"):
        gpu.apply(plan(), [*images[:4], small[0]], [*masks[:4], small[0]])
    with pytest.raises(ValueError, match="plan must have one sample per image: expected 4, got 5"):
        gpu.apply(plan(), images[:4], masks[:4])
    edited, same_edit = plan(), plan()
    edited.canvas = same_edit.canvas = (44, 50)
    assert same(gpu.apply(edited, images, masks), sasaug.apply(same_edit, images, masks))
    edited = gpu.SAS(p=0.0).plan(masks, seed=1)
    edited.canvas = (39, 40)
    with pytest.raises(ValueError, match=r"plan\.samples\['thumbnail'\]\[0\] must lie inside"):
        gpu.apply(edited, images, masks)
    many = gpu.SAS(p=1.0, canvas=40).plan(list(masks), seed=1)
    assert same(gpu.apply(many, images, masks), sasaug.apply(many, images, masks))


def test_plans_for_another_device_are_read(gpu: Face):
    images, masks = batch()
    plan = gpu.SAS(p=1.0).plan(masks, seed=1)
    away = gpu.library.elsewhere
    with gpu.library.running():
        got = sasaug.apply(plan, away(gpu.to(images)), away(gpu.to(masks)))
    assert isinstance(plan.stored, np.ndarray)
    assert same([gpu.back(a) for a in got], sasaug.apply(plan, images, masks))


# ---- ids, windows, sides and strengths on the GPU ----------------------------------------------


@given(case=cases())
def test_values_on_the_gpu_give_the_bytes_of_those_on_the_host(gpu: Face, case: Case):
    expected = sasaug.apply(
        case.plan(), case.images, case.masks, dtype=case.dtype, check_values=False
    )
    aug, windows = gpu.SAS(**case.settings), case.windows
    if windows is not None:
        windows = gpu.to(windows.astype(np.int32))
    for ids in (case.ids, case.ids.view(np.int64)):
        options = {"seed": case.seed, "ids": gpu.to(ids), "windows": windows}
        assert aug.plan(case.masks, **options) == case.plan()
        assert same(aug(case.images, case.masks, dtype=case.dtype, **options), expected)


def test_sides_and_strengths_on_the_gpu(gpu: Face):
    images, masks = batch()
    sides, ids = np.array([1, 40, 7, 30, 2], np.int32), np.arange(7, 12)
    expected = sasaug.thumbnail(images, masks, sides, ids=ids, seed=3, position="random")
    for size in (sides, gpu.to(sides)):
        got = gpu.thumbnail(images, masks, size, ids=gpu.to(ids), seed=3, position="random")
        assert same(got, expected)
    for kind, facts in KINDS.items():
        low, high = facts["usual"]
        strengths = np.array([low, high, facts["identity"], (low + high) / 2, low], np.float32)
        noisy = getattr(sasaug, kind)(images, masks, strengths, seed=3, ids=ids)
        for given_ in (strengths, gpu.to(strengths)):
            assert same_bytes(getattr(gpu, kind)(images, masks, given_, seed=3, ids=ids), noisy)


def test_values_are_read_at_each_call(gpu: Face):
    """As a captured graph does: the same array, with other values in it."""
    images, masks = batch()
    aug, there, memory = gpu.SAS(p=1.0), np.arange(5), {}
    answers = []
    for first in (0, 100, 0):
        there[:] = np.arange(first, first + 5)
        memory.clear()
        answers.append(aug(images, masks, seed=1, ids=gpu.to(there, memory)))
        assert same(answers[-1], sasaug.sas(images, masks, seed=1, ids=there, p=1.0))
    assert same(answers[0], answers[2]) and not same(answers[0], answers[1])


CALLS: dict[str, Any] = {
    "ids": lambda gpu, x, y, v: gpu.sas(x, y, seed=0, ids=v),
    "windows": lambda gpu, x, y, v: gpu.sas(x, y, seed=0, windows=v),
    "size": lambda gpu, x, y, v: gpu.thumbnail(x, y, v),
    "std": lambda gpu, x, y, v: gpu.gaussian(x, y, v, seed=0),
    "peak": lambda gpu, x, y, v: gpu.poisson(x, y, v, seed=0),
}
RULES: dict[str, Any] = {  # type, shape
    "ids": ("int64 or uint64", (5,)), "windows": ("int32", (5, 4)), "size": ("int32", (5,)),
    "std": ("float32", (5,)), "peak": ("float32", (5,)),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_values_on_the_gpu_that_no_kernel_can_read(gpu: Face, name):
    images, masks = batch()
    dtypes, shape = RULES[name]
    good = np.full(shape, 3, dtypes.split()[-1])
    pads = np.full((10, *shape[1:]), 3, good.dtype)
    wrong = {
        "got float64": gpu.to(good.astype(np.float64)),
        "got int8": gpu.to(good.astype(np.int8)),
        f"{good.dtype} (4": gpu.to(good[:4].copy()),
        "(5, 1": gpu.to(good[:, None].copy()),
        f"{good.dtype} () on": gpu.to(good.reshape(-1)[0:1].reshape(())),
        "with strides": gpu.to(pads[::2]),
    }
    if len(shape) == 2:
        wrong["with strides (4, 20)"] = gpu.to(np.asfortranarray(good))
    for got, values in wrong.items():
        with pytest.raises(ValueError) as error:
            CALLS[name](gpu, images, masks, values)
        rule = f"{name} must be, on the GPU, a contiguous {dtypes} array {shape} on cuda:0, got "
        assert rule in str(error.value) and got in str(error.value)
    CALLS[name](gpu, images, masks, gpu.to(good))
    one = gpu.to(np.full((3, *shape[1:]), 3, good.dtype)[::2][:1])
    CALLS[name](gpu, images[:1], masks[:1], one)  # the stride of a single sample is no stride


@pytest.mark.parametrize("name", CALLS)
def test_values_on_another_gpu(gpu: Face, name):
    images, masks = batch()
    values = gpu.library.elsewhere(gpu.to(np.full(RULES[name][1], 3, RULES[name][0].split()[-1])))
    if gpu.library.frontend.device(values) is None:
        assert not isinstance(CALLS[name](gpu, images, masks, values), Exception)
        return
    with pytest.raises(ValueError, match=rf"{name} must be, on the GPU, .* on cuda:0, got .*:1 "):
        CALLS[name](gpu, images, masks, values)


WILD_WINDOWS = {  # for images of 40 x 30: what is asked, and the part of it that lies inside
    (-5, 3, 20, 10): (0, 3, 20, 10),
    (10, -(2**31), 20, 10): (10, 0, 20, 10),
    (30, 25, 20, 10): (30, 25, 10, 5),
    (0, 0, HIGH, HIGH): (0, 0, 40, 30),
    (39, 29, HIGH, HIGH): (39, 29, 1, 1),
    (LOW, LOW, HIGH, HIGH): (0, 0, 40, 30),
    (5, 5, 0, 7): None,
    (5, 5, 7, -1): None,
    (40, 0, 5, 5): None,
    (0, HIGH, 5, HIGH): None,
    (HIGH, HIGH, HIGH, HIGH): None,
    (LOW, LOW, LOW, LOW): None,
}


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("canvas", [(30, 40), (64, 16)])
def test_windows_on_the_gpu_are_cut_to_the_image(gpu: Face, canvas, antialias):
    n = len(WILD_WINDOWS)
    images, masks = (np.full((n, 30, 40), v, np.uint8) for v in (100, 1))
    images += np.arange(40, dtype=np.uint8)
    aug = {"canvas": canvas, "p": 1.0, "antialias": antialias, "position": "random"}
    windows = gpu.to(np.array(list(WILD_WINDOWS), np.int32))
    x, y = gpu.SAS(**aug)(images, masks, seed=1, windows=windows)
    rows = gpu.SAS(**aug).plan(masks, seed=1, windows=windows).rows()
    for s, inside in enumerate(WILD_WINDOWS.values()):
        one = slice(s, s + 1)
        if inside is None:
            assert not x[s].any() and not y[s].any() and 0 in rows[s]["window"][2:]
        else:
            options = {"seed": 1, "ids": [s], "windows": inside}
            expected = sasaug.sas(images[one], masks[one], **options, **aug)
            assert same((x[one], y[one]), expected) and rows[s]["window"] == list(inside)


def test_sides_on_the_gpu_are_cut_to_the_largest(gpu: Face):
    wild = {LOW: 1, -1: 1, 0: 1, 1: 1, 20: 20, 24: 24, 25: 24, HIGH: 24}
    images, masks = (np.full((len(wild), 30, 40), v, np.uint8) for v in (100, 1))
    sides = gpu.to(np.array(list(wild), np.int32))
    got = gpu.thumbnail(images, masks, sides, canvas=(60, 24))
    assert same(got, sasaug.thumbnail(images, masks, list(wild.values()), canvas=(60, 24)))
    windows = np.tile(np.array([[0, 0, 20, 30]], np.int32), (len(wild), 1))
    for given_ in (windows, gpu.to(windows)):  # S is 36 there
        got = gpu.thumbnail(images, masks, sides, canvas=(60, 24), windows=given_)
        cut = [max(1, min(side, 36)) for side in wild]
        expected = sasaug.thumbnail(images, masks, cut, canvas=(60, 24), windows=windows)
        assert same(got, expected)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("kind", sasaug.NOISES)
def test_strengths_on_the_gpu_are_cut_to_the_kinds_range(gpu: Face, kind, dtype):
    facts = KINDS[kind]
    wild = np.array([np.nan, -np.inf, -1, -0.0, 1e-30, 2, 1e9, 3e38, np.inf], np.float32)
    images, masks = batch(len(wild), dtype=dtype)
    if dtype == "float32":
        images = images / np.float32(255)
    low, high = np.float32(facts["lowest"]), np.float32(facts["highest"])
    tame = [
        v if v == facts["identity"] else low if not v >= low else min(v, high) for v in wild
    ]  # fmt: skip
    got = getattr(gpu, kind)(images, masks, gpu.to(wild), seed=3)
    assert same_bytes(got, getattr(sasaug, kind)(images, masks, tame, seed=3))


# ---- batches that one launch cannot describe -----------------------------------------------------

COUNTS = [1, 2, 3, 64, 65, 600]


CLIPS = [np.full((t, 8, 9), 100, np.uint8) for t in (3, 1, 2)]
LAUNCHES: dict[str, Any] = {  # a batch, and how often the kernel `pixels` is launched for it
    "images": (np.stack([CLIPS[1][0]] * 5), 1),
    "clips": (np.stack([CLIPS[0]] * 5), 1),
    "a list": ([CLIPS[0]] * 3, 1),
    "a list of clips of different lengths": (CLIPS, 3),
}


@pytest.mark.parametrize("name", LAUNCHES)
def test_launches_of_a_call(gpu: Face, name):
    """Each is seen by its failure; a further one that should fail is never made."""
    if gpu.library.name != "ptx":
        pytest.skip("test_cuda.py counts them there")
    images, pixels = LAUNCHES[name]

    def call() -> None:
        gpu.sas(images, images, seed=1, frames=name != "images", canvas=16)

    call()
    fail, what = MEMORY.library.ptx_fail_launch, "draws the plan"
    for number in range(1, 2 + pixels):
        fail(number)
        with pytest.raises(RuntimeError) as error:
            call()
        assert str(error.value) == (
            f"launching the kernel that {what}: cudaErrorLaunchOutOfResources, an error of the "
            "played device"
        )
        what = "fills the canvases"
    fail(2 + pixels)
    call()
    fail(0)


@pytest.mark.parametrize("n", COUNTS)
def test_ragged_lists_of_any_length(gpu: Face, n):
    images, masks = ragged(n)
    options = {"seed": 5, "p": 1.0, "apply_to": "all", "canvas": 9, "position": "random"}
    expected = sasaug.sas(images, masks, **options)
    assert same(gpu.sas(images, masks, **options), expected)
    plan = gpu.SAS(**{k: v for k, v in options.items() if k != "seed"}).plan(masks, seed=5)
    assert same(gpu.apply(plan, images, masks), expected)
    assert isinstance(plan.stored, DeviceSamples)
    plan.samples["id"] = plan.samples["id"][::-1].copy()  # on the host from here on
    assert same(gpu.apply(plan, images, masks), sasaug.apply(plan, images, masks))


@pytest.mark.parametrize("n", [*COUNTS, pytest.param(3000, marks=pytest.mark.large)])
@pytest.mark.parametrize("where", ["host", "GPU", "both"])
def test_values_of_any_number_of_samples(gpu: Face, n, where):
    rng = np.random.default_rng(n)
    image = rng.integers(0, 256, (n, 6, 7), np.uint8)
    mask = (image > 50).astype(np.int32)
    ids = rng.integers(0, 2**64, n, dtype=np.uint64)
    corner = rng.integers(0, 3, (n, 2))
    windows = np.concatenate([corner, rng.integers(1, 5, (n, 2))], 1).astype(np.int32)
    sides = rng.integers(1, 7, n).astype(np.int32)
    strengths = rng.random(n).astype(np.float32)
    given_ids = gpu.to(ids) if where != "host" else ids
    given_windows = gpu.to(windows) if where == "GPU" else windows
    options = {"seed": 1, "p": 1.0, "small_fraction": 0.5, "canvas": (8, 6)}
    got = gpu.sas(image, mask, ids=given_ids, windows=given_windows, **options)
    assert same(got, sasaug.sas(image, mask, ids=ids, windows=windows, **options))

    there = gpu.to if where == "GPU" else np.asarray
    place = {"seed": 1, "canvas": (6, 6), "position": "random"}
    got = gpu.thumbnail(image, mask, there(sides), ids=given_ids, windows=given_windows, **place)
    expected = sasaug.thumbnail(
        image, mask, np.minimum(sides, 6), ids=ids, windows=windows, **place
    )
    assert same(got, expected)
    noisy = gpu.salt_pepper(image, mask, there(strengths), seed=1, ids=given_ids)
    assert same_bytes(noisy, sasaug.salt_pepper(image, mask, strengths, seed=1, ids=ids))
