"""Black and full scale in the images' own unit: what it scales, what it keeps, what it refuses."""

from __future__ import annotations

import json

import ml_dtypes  # noqa: F401  # numpy knows bfloat16 by it
import numpy as np
import pytest

import sasaug
from cases import disc, same_bytes
from libraries import Face

MASK = disc(1, 128)[0]
INSIDE = MASK > 0


def flat(value: float, dtype: str = "float32") -> np.ndarray:
    return np.full(MASK.shape, value, dtype)


@pytest.mark.parametrize(
    ("value", "dtype", "limits", "deviation"),
    [
        (124, "float32", (0, 255), 25.5),
        (0, "float32", (-3, 3), 0.6),
        (-0.5, "float32", (-3, 3), 0.6),
        (2000, "uint16", (0, 4095), 409.5),
        (100, "uint8", (50, 150), 10),
        (40, "float16", (0, 80), 8),
        (1e4, "float32", (-1000, 30_000), 3100),
    ],
)
def test_noise_is_relative_to_the_range(face: Face, value, dtype, limits, deviation):
    """12-bit data got noise four times too strong, floats of 0..255 were clipped to 1."""
    noisy = face.gaussian(flat(value, dtype), MASK, 0.1, seed=1, value_range=limits)
    inside = noisy[INSIDE].astype(np.float64)
    assert inside.mean() == pytest.approx(value, abs=0.1 * deviation)
    assert inside.std() == pytest.approx(deviation, rel=0.05)
    assert (noisy[~INSIDE] == flat(value, dtype)[~INSIDE]).all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
@pytest.mark.parametrize("kind", sasaug.NOISES)
def test_results_are_clipped_to_the_range(face: Face, kind, dtype):
    low, high = 16, 48
    image = (np.arange(MASK.size) % (high - low + 1) + low).reshape(MASK.shape).astype(dtype)
    strength = {"salt_pepper": 0.5, "poisson": 2.0}.get(kind, 3.0)
    noisy = getattr(face, kind)(image, MASK, strength, seed=2, value_range=(low, high))
    assert noisy[INSIDE].min() == low and noisy[INSIDE].max() == high


def test_the_canvas_around_a_thumbnail_is_black(face: Face):
    for dtype, limits in (("float32", (-3.0, 3.0)), ("uint16", (7, 4095)), ("uint8", (3, 99))):
        x, _ = face.thumbnail(
            flat(50 if dtype != "float32" else 1, dtype), MASK, 32, value_range=limits
        )
        assert x[0, 0] == x[-1, -1] == limits[0]
        assert x[64, 64] == (1 if dtype == "float32" else 50)


def test_the_default_range_said_in_full_changes_no_bit(face: Face):
    rng = np.random.default_rng(3)
    for dtype, limits in (("float32", (0, 1)), ("uint8", (0, 255)), ("uint16", (0, 65535))):
        image = rng.random(MASK.shape) * limits[1]
        for kind, strength in (("gaussian", 0.1), ("speckle", 0.2), ("poisson", 30)):
            noise = getattr(face, kind)
            given = noise(image.astype(dtype), MASK, strength, seed=4, value_range=limits)
            assert same_bytes(given, noise(image.astype(dtype), MASK, strength, seed=4))


@pytest.mark.parametrize("limits", [(-3.0, 3.0), (-1e3, 77.7), (0.1, 0.7)])
def test_pixels_without_noise_keep_their_bits(face: Face, limits):
    """Also those inside the ROI that salt-and-pepper does not hit or strength 0 does not move."""
    low, high = limits
    image = np.random.default_rng(5).uniform(low, high, MASK.shape).astype(np.float32)
    noisy = face.salt_pepper(image, MASK, 0.1, seed=6, value_range=limits)
    moved = noisy != image
    assert 0.05 < moved[INSIDE].mean() < 0.15 and not moved[~INSIDE].any()
    assert set(noisy[moved]) <= set(np.array(limits, np.float32))
    for kind in ("gaussian", "speckle"):
        assert same_bytes(getattr(face, kind)(image, MASK, 0.0, seed=6, value_range=limits), image)


def test_floats_keep_their_unit_and_integers_are_filled(face: Face):
    x, _ = face.thumbnail(flat(127.5), MASK, 128, value_range=(0, 255), dtype="float16")
    assert x[64, 64] == 127.5
    x, _ = face.thumbnail(flat(127.5), MASK, 128, value_range=(0, 255), dtype="uint16")
    assert x[64, 64] == round(0.5 * 65535)
    x, _ = face.thumbnail(flat(4095, "uint16"), MASK, 128, value_range=(0, 4095), dtype="float32")
    assert x[64, 64] == 1.0


# ---- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            124.0,
            r"it is \(0, 1\), got 124 to 124 in the ROI of sample 0; pass .* such as \(0, 255\)",
        ),
        (-0.5, r"got -0.5 to -0.5 in the ROI of sample 0; pass .* such as \(-1, 1\)"),
        (2000.0, r"such as \(0, 4095\), or check_values=False"),
        (np.inf, r"got inf to inf"),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_values_of_another_unit_are_refused(face: Face, value, dtype, message):
    check = {"check_values": True} if face.gpu else {}
    with pytest.raises(ValueError, match=message):
        face.gaussian(flat(value, dtype), MASK, 0.1, seed=1, **check)
    with pytest.raises(ValueError, match=message):
        face.SAS(p=1.0, thumbnail=None, **check)(flat(value, dtype), MASK, seed=1)
    face.gaussian(flat(value, dtype), MASK, 0.1, seed=1, check_values=False)


def test_before_anything_is_written(face: Face):
    images, masks = np.stack([flat(0.5), flat(9)]), np.stack([MASK, MASK])
    out = np.full_like(images, 7), np.full_like(masks, 7)
    check = {"check_values": True} if face.gpu else {}
    with pytest.raises(ValueError, match="got 9 to 9 in the ROI of sample 1"):
        face.sas(images, masks, seed=1, p=1.0, out=out, **check)
    assert (out[0] == 7).all() and (out[1] == 7).all()
    face.sas(images[:1], masks[:1], seed=1, p=1.0, out=(out[0][:1], out[1][:1]), **check)
    assert not (out[0][0] == 7).any()


def test_only_where_noise_is_added(face: Face):
    """Outside the ROI, without noise, and in samples that pass through, any value may stand."""
    check = {"check_values": True} if face.gpu else {}
    image = np.where(INSIDE, np.float32(0.5), np.float32(200))
    face.gaussian(image, MASK, 0.1, seed=1, **check)
    face.thumbnail(flat(200), MASK, 32)
    face.SAS(p=0.0, **check)(flat(200), MASK, seed=1)
    face.SAS(p=1.0, noise=None, **check)(flat(200), MASK, seed=1)
    almost = np.where(INSIDE, np.float32(1.25), np.float32(0))
    face.gaussian(almost, MASK, 0.1, seed=1, **check)
    with pytest.raises(ValueError, match=r"got 1\.26 to 1\.26"):
        face.gaussian(almost + np.float32(0.01), MASK, 0.1, seed=1, **check)
    holes = np.where(INSIDE, np.float32(np.nan), np.float32(0))
    assert (face.gaussian(holes, MASK, 0.1, seed=1, **check)[INSIDE] == 0).all()


def test_one_odd_pixel_is_found_wherever_it_is(face: Face):
    """In any lane of any row, channel and sample, by any split among threads."""
    rng = np.random.default_rng(7)
    options = {"check_values": True} if face.gpu else {}
    masks = np.repeat(MASK[None], 3, 0)
    for _ in range(12):
        images = rng.random((3, *MASK.shape, 2)).astype(np.float32)
        s, y, x, c = rng.integers(3), rng.integers(50, 78), rng.integers(50, 78), rng.integers(2)
        images[s, y, x, c] = 5
        for threads in (1, 2):
            with pytest.raises(ValueError, match=f"to 5 in the ROI of sample {s};"):
                face.speckle(images, masks, 0.1, seed=1, num_threads=threads, **options)


def test_floats_that_integers_would_clip_are_refused(face: Face):
    check = {"check_values": True} if face.gpu else {}
    with pytest.raises(ValueError, match=r"got 124 to 124 in images; pass value_range="):
        face.SAS(p=0.0, **check)(flat(124), MASK, seed=1, dtype="uint8")


def test_scalar_loops_find_the_same(face: Face):
    if face.gpu:
        pytest.skip("the CPU's instruction sets")
    used = sasaug._core.instruction_set()
    images = np.stack([flat(0.5), flat(9)])
    try:
        for name in sasaug._core.instruction_sets():
            sasaug._core.use_instruction_set(name)
            with pytest.raises(ValueError, match="got 9 to 9 in the ROI of sample 1"):
                face.gaussian(images, np.stack([MASK, MASK]), 0.1, seed=1)
    finally:
        sasaug._core.use_instruction_set(used)


@pytest.mark.parametrize(
    ("limits", "dtype", "message"),
    [
        ((1, 0), "float32", r"value_range must be None or \(low, high\), two finite numbers with"),
        ((0, 0), "float32", "that float32 can tell apart, got \\(0, 0\\)"),
        ((1, 1 + 1e-12), "float32", "that float32 can tell apart"),
        ((0, float("inf")), "float32", "that float32 can tell apart"),
        ((float("nan"), 1), "float32", "that float32 can tell apart"),
        ((-1, 255), "uint8", r"value_range must lie in \[0, 255\] for uint8 images, got \(-1"),
        ((0, 256), "uint8", r"must lie in \[0, 255\] for uint8 images"),
        ((0, 0.5), "uint16", "value_range must be whole numbers for uint16 images, got"),
        ((0, 1e5), "float16", r"must lie in \[-65504, 65504\] for float16 images"),
    ],
)
def test_ranges_that_make_no_sense(face: Face, limits, dtype, message):
    with pytest.raises(ValueError, match=message):
        face.gaussian(flat(0, dtype), MASK, 0.1, seed=1, value_range=limits)


@pytest.mark.parametrize("limits", ["0 1", 3, (1,), (0, 1, 2), ("0", 1), (None, 1), (True, 2)])
def test_ranges_that_are_no_pair_of_numbers(limits):
    with pytest.raises(TypeError, match=r"value_range must be None or \(low, high\)"):
        sasaug.SAS(value_range=limits)


def test_the_range_is_part_of_settings_plan_and_json():
    aug = sasaug.SAS(value_range=(-3, 3), p=1.0)
    assert sasaug.SAS.from_json(aug.to_json()) == aug
    plan = aug.plan(MASK, seed=1)
    again = sasaug.Plan.from_json(plan.to_json())
    assert again.value_range == plan.value_range == (-3.0, 3.0) and again == plan
    image = np.random.default_rng(0).normal(size=MASK.shape).astype(np.float32)
    x, _ = sasaug.apply(again, image, MASK)
    assert same_bytes(x, aug(image, MASK, seed=1)[0])
    assert "value_range" not in json.loads(sasaug.SAS(p=1.0).plan(MASK, seed=1).to_json())
    plan.value_range = (3, -3)
    with pytest.raises(ValueError, match=r"plan\.value_range must be None or"):
        sasaug.apply(plan, image, MASK)
