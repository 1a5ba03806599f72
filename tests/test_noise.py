"""Step 2: what each kind does to pixels, and what the presets take from other libraries."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.util
from scipy import stats

import sasaug
from cases import IMAGE_TYPES, disc, full_scale, same_bytes
from libraries import Face
from sasaug import reference
from sasaug.noise import KINDS

LOWEST_P = 1e-4


def flat(value, dtype="float32", size=1000):
    image = np.full((size, size), value, dtype)
    return image, np.ones(image.shape, bool)


@pytest.mark.large
def test_gaussian_adds_the_stated_deviation(face: Face):
    noisy = face.gaussian(*flat(0.5), std=0.05, seed=1)
    n = (noisy.ravel() - 0.5) / 0.05
    assert stats.kstest(n, "norm").pvalue > LOWEST_P


@pytest.mark.large
def test_speckle_multiplies(face: Face):
    for value in (0.25, 0.5):
        noisy = face.speckle(*flat(value), std=0.1, seed=2)
        assert stats.kstest((noisy.ravel() / value - 1) / 0.1, "norm").pvalue > LOWEST_P


@pytest.mark.large
@pytest.mark.parametrize(("amount", "share"), [(0.05, 0.5), (0.3, 0.2), (1.0, 0.5)])
def test_salt_and_pepper_counts(face: Face, amount, share):
    noisy = face.salt_pepper(*flat(0.5), amount=amount, salt_vs_pepper=share, seed=3).ravel()
    seen = [(noisy == 1).sum(), (noisy == 0).sum(), (noisy == 0.5).sum()]
    expected = np.array([amount * share, amount * (1 - share), 1 - amount]) * noisy.size
    assert sum(seen) == noisy.size
    keep = expected > 0
    assert stats.chisquare(np.array(seen)[keep], expected[keep]).pvalue > LOWEST_P
    assert all(count == 0 for count, k in zip(seen, keep, strict=True) if not k)


@pytest.mark.parametrize(("share", "value"), [(0.0, 0), (1.0, 255)])
def test_salt_and_pepper_at_one_hits_every_pixel(face: Face, share, value):
    image, mask = flat(100, "uint8", 300)
    noisy = face.salt_pepper(image, mask, 1.0, salt_vs_pepper=share, seed=4)
    assert (noisy == value).all()


@pytest.mark.parametrize("dtype", IMAGE_TYPES)
@pytest.mark.parametrize("kind", sasaug.NOISES)
def test_identity_strength_changes_nothing(face: Face, kind, dtype):
    rng = np.random.default_rng(0)
    image = (rng.random((3, 50, 70)) * full_scale(dtype)).astype(dtype)
    identity = KINDS[kind]["identity"]
    noisy = getattr(face, kind)(image, np.ones(image.shape, bool), identity, seed=5)
    assert same_bytes(noisy, image)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "bfloat16"])
@pytest.mark.parametrize("kind", sasaug.NOISES)
def test_types_agree_with_float32_to_their_rounding(face: Face, kind, dtype):
    """No type is blacked out, truncated or wrapped: each is the float32 result, rounded."""
    full = np.float32(full_scale(dtype))
    image = (np.linspace(0, 1, 64 * 64).reshape(64, 64) * full).astype(dtype)
    mask = np.ones(image.shape, bool)
    strength = KINDS[kind]["usual"][1]
    noisy = getattr(face, kind)(image, mask, strength, seed=6).astype(np.float64) / full
    unit = (image.astype(np.float32) / full).astype(np.float32)
    exact = getattr(face, kind)(unit, mask, strength, seed=6)
    step = {"uint8": 1 / 255, "uint16": 1 / 65535, "float16": 2**-11, "bfloat16": 2**-8}[dtype]
    differ = np.abs(noisy - exact) > 0.51 * step
    if kind == "poisson":  # a rate's last bit may move a count by one photon
        assert differ.mean() < 1e-3 and np.abs(noisy - exact).max() < 1.01 / strength
    else:
        assert np.abs(noisy - exact).max() < 0.51 * step + 1e-6


def test_integers_round_half_to_even(face: Face):
    halves = (np.arange(1, 12, 2, dtype=np.float32) / 2 / 255)[None]  # 0.5, 1.5, ... grey levels
    exact = (halves * np.float32(255) * 2 % 2 == 1).all()
    x, _ = face.sas(halves, np.zeros(halves.shape, bool), seed=0, dtype="uint8")
    assert exact and x.tolist() == [[0, 2, 2, 4, 4, 6]]


def test_poisson_counts_past_a_word_that_equals_the_sum(face: Face, instruction_set):
    """Of this seed the word at (11, 49) is the sum of the first three probabilities."""
    noisy = face.poisson(*flat(20, "uint8", size=96), peak=100, seed=4626)
    assert noisy[11, 49] == round(3 * 255 / 100)


@pytest.mark.large
def test_poisson_variance_follows_the_signal(face: Face):
    for value in (0.0, 0.1, 0.5):
        noisy = face.poisson(*flat(value), peak=40, seed=8).astype(float)
        assert abs(noisy.mean() - value) < 1e-3
        if value == 0.1:  # far from the clip at full scale
            assert abs(noisy.var() / (value / 40) - 1) < 0.02


def test_per_channel_draws_differ_and_shared_ones_do_not(face: Face):
    image = np.full((40, 40, 3), 128, np.uint8)[None]
    mask = np.ones((1, 40, 40), bool)
    for kind in sasaug.NOISES:
        strength = KINDS[kind]["usual"][1]
        shared = getattr(face, kind)(image, mask, strength, seed=1)
        apart = getattr(face, kind)(image, mask, strength, seed=1, per_channel=True)
        assert (shared[..., 0] == shared[..., 1]).all() and (shared[..., 0] == shared[..., 2]).all()
        assert (apart[..., 0] == shared[..., 0]).all()
        assert (apart[..., 0] != apart[..., 1]).any() and (apart[..., 1] != apart[..., 2]).any()


def test_labels_choose_the_roi(face: Face):
    image = np.full((1, 20, 20), 128, np.uint8)
    mask = np.zeros((1, 20, 20), np.int16)
    mask[:, :5], mask[:, 5:10], mask[:, 10:15] = 1, -2, 300
    for labels in ((1,), (-2, 300), (7,), None):
        noisy = face.gaussian(image, mask, 0.2, seed=3, labels=labels)
        roi = mask != 0 if labels is None else np.isin(mask, labels)
        assert (noisy[~roi] == 128).all()
        assert (noisy[roi] != 128).mean() > 0.9 if roi.any() else True


def test_labels_are_compared_whole(face: Face):
    mask = np.zeros((40, 40), np.int64)
    mask[:10], mask[10:20], mask[20:30], mask[30:] = 300, 300 - 256, 300 + 2**32, 300 + 2**16
    image = np.full((40, 40), 128, np.uint8)
    noisy = face.gaussian(image, mask, 0.2, seed=3, labels=[300])
    assert (noisy[10:] == 128).all() and (noisy[:10] != 128).mean() > 0.9
    for fraction, large in ((0.25, False), (0.24, True)):
        aug = face.SAS(p=1.0, small_fraction=fraction, labels=[300])
        assert aug.plan(mask, seed=0).samples["transformed"][0] == large


def test_sixteen_labels(face: Face):
    mask = np.arange(18 * 40).reshape(18, 40) // 40
    image = np.full(mask.shape, 128, np.uint8)
    noisy = face.salt_pepper(image, mask, 1.0, seed=3, labels=range(1, 17))
    assert (noisy[1:17] != 128).all() and (noisy[[0, 17]] == 128).all()
    assert (
        face.SAS(p=1.0, small_fraction=0.88, labels=range(1, 17))
        .plan(mask, seed=0)
        .samples["transformed"][0]
    )


def test_draws_are_below_the_probability(face: Face):
    u = reference.uniform(reference.words(1, 5, reference.PLAN, 0, 0)[None])[0, 0]
    for p, transformed in ((u, False), (np.nextafter(u, np.float32(1)), True)):
        assert (
            face.SAS(p=float(p)).plan(disc(), seed=1, ids=[5]).samples["transformed"][0]
            == transformed
        )
    u = reference.uniform(reference.canvas_words(1, 5, reference.UNIFORM, 0, 8, 40))
    image, mask = np.full(u.shape, 0.5, np.float32), np.ones(u.shape, bool)
    for at in ((3, 3), (7, 39)):
        hit = face.salt_pepper(image, mask, u[at], salt_vs_pepper=1, seed=1, ids=5)
        assert hit[at] == 0.5
        salt = face.salt_pepper(image, mask, 1.0, salt_vs_pepper=float(u[at]), seed=1, ids=5)
        assert salt[at] == 0


# ---- presets: moments against the libraries they are named after ---------------------------------


@pytest.mark.large
@pytest.mark.parametrize("kind", ["gaussian", "speckle", "salt_pepper", "poisson"])
def test_scikit_image_preset_has_its_moments(face: Face, kind):
    names = {"salt_pepper": "s&p"}
    ramp = np.tile(np.linspace(0, 255, 256).round().astype(np.uint8), (2048, 1))
    mask = np.ones(ramp.shape, bool)
    low, high = sasaug.PRESETS["scikit-image"][kind]
    assert low == high
    ours = getattr(face, kind)(ramp / np.float32(255), mask, low, seed=1)
    theirs = skimage.util.random_noise(ramp, names.get(kind, kind), rng=np.random.default_rng(2))
    scale = 1 / np.sqrt(len(ramp))
    assert np.abs(ours.mean(0) - theirs.mean(0)).max() < 5 * 0.15 * scale
    assert np.abs(ours.std(0) - theirs.std(0)).max() < 5 * 0.5 * scale
    grey = slice(100, 150)  # far from the clips: all columns together are sharper
    assert abs(ours[:, grey].std() / theirs[:, grey].std() - 1) < 0.02


def test_presets_are_these():
    """What the libraries document; docs/noise.md says what of it is not reproduced."""
    assert sasaug.PRESETS["scikit-image"] == {
        "gaussian": (0.1, 0.1), "speckle": (0.1, 0.1), "salt_pepper": (0.05, 0.05),
        "poisson": (256, 256),
    }  # fmt: skip
    assert sasaug.PRESETS["dali"] == {
        "gaussian": (1 / 255, 1 / 255), "salt_pepper": (0.05, 0.05), "poisson": (12.75, 12.75),
    }  # fmt: skip
    assert set(sasaug.PRESETS["albumentations"]) == set(sasaug.PRESETS["default"])
    assert sasaug.PRESETS["albumentations"]["speckle"] == (0.1 / 3**0.5, 0.1 / 3**0.5)


def test_default_ranges_contain_scikit_images():
    for kind, (low, high) in sasaug.PRESETS["default"].items():
        theirs = sasaug.PRESETS["scikit-image"][kind][0]
        assert low <= theirs <= high


@pytest.mark.large
def test_dali_preset_is_its_formulas(face: Face):
    """Shot noise of factor 20 grey levels is Poisson(x / 20) * 20: 12.75 photons at 255."""
    preset = sasaug.PRESETS["dali"]
    assert preset["poisson"][0] == 12.75 and preset["salt_pepper"] == (0.05, 0.05)
    noisy = face.poisson(*flat(120, "uint8"), peak=preset["poisson"][0], seed=1)
    levels, seen = np.unique(noisy, return_counts=True)
    assert set(levels) <= {*range(0, 255, 20), 255}
    inside = levels < 255
    expected = stats.poisson.pmf(levels[inside] / 20, 6) * noisy.size
    assert stats.chisquare(
        np.append(seen[inside], noisy.size - seen[inside].sum()),
        np.append(expected, noisy.size - expected.sum()),
    ).pvalue > LOWEST_P  # fmt: skip


def test_albumentations_preset_is_its_ranges():
    preset = sasaug.PRESETS["albumentations"]
    assert preset["gaussian"] == (0.2, 0.44) and preset["salt_pepper"] == (0.01, 0.06)
    uniform = np.random.default_rng(0).uniform(0.9, 1.1, 10**6)  # MultiplicativeNoise
    assert abs(uniform.std() - preset["speckle"][0]) < 1e-4
    assert preset["poisson"] == pytest.approx((1 / 0.3, 1 / 0.1))  # scale_range (0.1, 0.3)
