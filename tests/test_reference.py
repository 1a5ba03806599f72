"""The kernels give the reference's bits, and both give the published random words."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

import sasaug
from cases import IMAGE_TYPES, Case, blob_mask, cases, full_scale, image, same_bytes
from libraries import Face
from sasaug import _core, reference
from sasaug.noise import KINDS

KNOWN_ANSWERS = Path(__file__).parent / "data" / "philox4x32.txt"


@pytest.mark.parametrize("philox", [_core.philox4x32, reference.philox4x32])
def test_philox_gives_the_published_answers(philox):
    lines = [line.split() for line in KNOWN_ANSWERS.read_text().splitlines() if line[0] != "#"]
    assert len(lines) == 3
    for name, rounds, *numbers in lines:
        assert (name, rounds) == ("philox4x32", "10")
        words = [int(number, 16) for number in numbers]
        assert philox(words[:4], words[4:6]).tolist() == words[6:]


def test_philox_is_the_same_in_both_for_arrays():
    rng = np.random.default_rng(0)
    counter = rng.integers(0, 2**32, (50, 7, 4), dtype=np.uint32)
    key = rng.integers(0, 2**32, 2, dtype=np.uint32)
    assert same_bytes(_core.philox4x32(counter, key), reference.philox4x32(counter, key))


def test_reference_lists_every_kind():
    assert tuple(reference.NOISES) == sasaug.NOISES


@given(case=cases())
@settings(max_examples=150)
def test_plan_is_the_references(face: Face, case: Case):
    settings = {
        k: v
        for k, v in case.settings.items()
        if k in inspect.signature(reference.plan).parameters and k != "noise"
    }
    expected = reference.plan(
        case.masks,
        seed=case.seed,
        ids=case.ids,
        windows=case.windows,
        noise=sasaug.SAS(**case.settings).noise,
        **settings,
    )
    assert case.plan(face).rows() == expected


def test_the_cases_are_worth_their_time():
    """Many of the random cases have noise in many pixels, or the tests on them say little."""
    noisy = []

    @given(case=cases())
    @settings(max_examples=300)
    def count(case: Case):
        plan = case.plan()
        roi = sasaug.apply(plan, case.images, case.masks, check_values=False)[1] != 0
        noisy.append(int((roi & (plan.samples["noise"] >= 0)[:, None, None]).sum()))

    count()
    assert sum(pixels > 100 for pixels in noisy) > 50


@given(case=cases())
@settings(max_examples=150)
def test_kernels_give_the_references_bits(face: Face, case: Case):
    plan = case.plan(face)
    x, y = face.apply(plan, case.images, case.masks, dtype=case.dtype, check_values=False)
    if not len(plan):
        assert x.shape == (0, *plan.canvas, case.images.shape[-1])
        return
    expected_x, expected_y = reference.apply(plan, case.images, case.masks, dtype=case.dtype)
    assert same_bytes(x, expected_x)
    assert same_bytes(y, expected_y)


@pytest.mark.parametrize("c", [1, 2, 3])
@pytest.mark.parametrize("canvas", [(137, 263), (192, 256)])
def test_canvases_of_many_tiles(face: Face, canvas: tuple[int, int], c: int):
    """Thumbnails, copies and noise cross the edges of the GPU's tiles in both directions."""
    rng = np.random.default_rng(c)
    images = image(rng, (4, *canvas, c), "uint8")
    masks = blob_mask(rng, (4, *canvas), "uint8")
    aug = face.SAS(p=0.5, thumbnail=(0.5, 1.0), position="random", apply_to="all")
    plan = aug.plan(masks, seed=2)
    assert set(plan.samples["transformed"].tolist()) == {0, 1}
    x, y = face.apply(plan, images, masks)
    expected_x, expected_y = reference.apply(plan, images, masks)
    assert same_bytes(x, expected_x) and same_bytes(y, expected_y)


def every_kind(face, kind: str, dtype: str) -> None:
    """Every grey level, at strengths over the kind's whole range, on wide and ragged rows."""
    low, high = KINDS[kind]["usual"]
    strengths = [low, high, *{"poisson": (0.5, 40, 3e3, 1e6, 2**30, np.inf)}.get(kind, (0, 1))]
    n = len(strengths)
    ramp = np.linspace(0, 1, 37 * 151).reshape(37, 151)
    images = np.repeat((ramp * full_scale(dtype)).astype(dtype)[None], n, 0)
    masks = np.random.default_rng(0).random(images.shape) < 0.6
    samples = np.zeros(n, sasaug.plan.SAMPLE)
    samples["id"] = 10**18 + np.arange(n)
    samples["window"] = samples["thumbnail"] = (0, 0, 151, 37)
    samples["noise"] = sasaug.NOISES.index(kind)
    samples["strength"] = strengths
    plan = sasaug.Plan(samples, seed=2**63 + 5, canvas=(37, 151))
    expected, _ = reference.apply(plan, images, masks)
    assert same_bytes(face.apply(plan, images, masks)[0], expected)
    direct = getattr(face, kind)(images, masks, strengths, seed=plan.seed, ids=samples["id"].copy())
    assert same_bytes(direct, expected)


@pytest.mark.parametrize("dtype", IMAGE_TYPES)
@pytest.mark.parametrize("kind", sasaug.NOISES)
def test_every_kind_gives_the_references_bits(face: Face, kind, dtype):
    every_kind(face, kind, dtype)


@pytest.mark.parametrize("dtype", IMAGE_TYPES)
@pytest.mark.parametrize("kind", sasaug.NOISES)
def test_every_kind_on_every_instruction_set(instruction_set, kind, dtype):
    every_kind(sasaug, kind, dtype)


@pytest.mark.parametrize("c", [1, 2, 3, 4])
@pytest.mark.parametrize("width", [3, 17, 40, 47, 60, 101, 150, 199, 201, 350])
def test_bytes_are_resized_alike_on_every_instruction_set(instruction_set, width, c):
    """Thumbnails much smaller than the window, half of it and larger, and rows of a few bytes."""
    images = image(np.random.default_rng(width), (2, 30, 200, c), "uint8")
    samples = np.zeros(2, sasaug.plan.SAMPLE)
    samples["window"], samples["noise"] = [(0, 0, 200, 30), (180, 3, 20, 26)], -1
    samples["thumbnail"] = [(1, 2, width, 41), (0, 0, width, 19)]
    plan = sasaug.Plan(samples, seed=0, canvas=(45, 352))
    masks = np.ones(images.shape[:3], np.uint8)
    expected = reference.apply(plan, images, masks)[0]
    assert same_bytes(sasaug.apply(plan, images, masks)[0], expected)
    first = sasaug.apply(plan, images.transpose(0, 3, 1, 2), masks, channels="first")[0]
    assert same_bytes(first.transpose(0, 2, 3, 1), expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_floats_are_stored_alike(face: Face, dtype):
    """Ties, subnormal numbers, what overflows, and NaN of either sign and any message."""
    bits = np.array(
        [0x7FC00123, 0xFFC00000, 0x7F800001, 0xFF800000, 0x7F7FFFFF, 0xFF7FFFFF, 0x3F808000,
         0x3F818000, 0x3F807FFF, 0x3F808001, 0x3F801000, 0x3F803000, 0x00000001, 0x80000001,
         0x00008000, 0x00018000, 0x33000000, 0x33800000, 0x477FF000, 0x477FEFFF, 0x80000000],
        np.uint32,
    )  # fmt: skip
    images = bits.view(np.float32)[None, None]
    masks = np.zeros(images.shape, bool)
    plan = sasaug.SAS().plan(masks, seed=0)
    plan.samples["window"] = plan.samples["thumbnail"]
    expected = reference.apply(plan, images, masks, dtype=dtype)[0]
    assert same_bytes(face.apply(plan, images, masks, dtype=dtype)[0], expected)
    if dtype != "float32":
        nan = {"float16": 0x7E00, "bfloat16": 0x7FC0}[dtype]
        assert expected.view(np.uint16)[0, 0, :3].tolist() == [nan] * 3
