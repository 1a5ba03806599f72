"""The plan: what is drawn has the stated distribution; it prints, replays and refuses nonsense."""

from __future__ import annotations

import json
import math
import os
import pickle
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from scipy import stats

import sasaug
from cases import Case, cases, disc, same_bytes
from libraries import Face
from sasaug import Plan, reference
from sasaug.noise import KINDS

LOWEST_P = 1e-4


def drawn(face: Face, n: int = 100_000, size: int = 16, canvas: int = 256, **settings):
    masks = np.broadcast_to(np.uint8(1), (n, size, size))
    return face.SAS(canvas=canvas, **settings).plan(masks, seed=77).samples


@pytest.mark.large
def test_the_papers_distribution(face: Face):
    """p = 0.5; s uniform on 64..256; four kinds equally often; strength uniform in its range."""
    s = drawn(face)
    n = len(s)
    assert stats.binomtest(int(s["transformed"].sum()), n, 0.5).pvalue > LOWEST_P
    t = s[s["transformed"]]
    side = t["thumbnail"][:, 2]
    assert (side == t["thumbnail"][:, 3]).all()
    assert side.min() == 64 and side.max() == 256
    assert stats.chisquare(np.bincount(side - 64, minlength=193)).pvalue > LOWEST_P
    assert stats.chisquare(np.bincount(t["noise"], minlength=4)).pvalue > LOWEST_P
    for kind, name in enumerate(sasaug.PRESETS["default"]):
        low, high = KINDS[name]["usual"]
        strength = t["strength"][t["noise"] == kind]
        assert stats.kstest((strength - low) / (high - low), "uniform").pvalue > LOWEST_P
    # and nothing tells anything of another
    for a, b in (("thumbnail", "noise"), ("thumbnail", "strength"), ("id", "noise")):
        x, y = (t[f][:, 2] if f == "thumbnail" else t[f] for f in (a, b))
        keep = t["noise"] == 0 if b == "strength" else slice(None)
        assert abs(np.corrcoef(x[keep].astype(float), y[keep].astype(float))[0, 1]) < 0.02
    assert (s["noise"][~s["transformed"]] == -1).all()
    assert (s["thumbnail"][~s["transformed"]] == (0, 0, 256, 256)).all()


@pytest.mark.large
@pytest.mark.parametrize("p", [0.0, 0.1, 1.0])
def test_probability(face: Face, p):
    transformed = int(drawn(face, p=p)["transformed"].sum())
    assert transformed == p * 100_000 if p in (0, 1) else 9500 < transformed < 10_500


@pytest.mark.large
def test_random_positions_are_uniform(face: Face):
    s = drawn(face, thumbnail=(250, 250), position="random", p=1.0)
    for axis in (0, 1):
        assert stats.chisquare(np.bincount(s["thumbnail"][:, axis], minlength=7)).pvalue > LOWEST_P
    assert s["thumbnail"][:, :2].max() == 6


def test_strength_of_a_single_number_is_that_number(face: Face):
    s = drawn(face, 1000, noise={"speckle": (0.1, 0.1)}, p=1.0)
    assert (s["strength"] == np.float32(0.1)).all() and (s["noise"] == 1).all()


@pytest.mark.parametrize(
    ("pixels", "large"), [(0, False), (1, False), (300, False), (301, True), (10_000, True)]
)
def test_small_is_at_most_three_percent(face: Face, pixels, large):
    mask = np.zeros(10_000, np.uint8)
    mask[:pixels] = 1
    sample = face.SAS(p=1.0).plan(mask.reshape(100, 100), seed=0).samples[0]
    assert sample["transformed"] == large
    everyone = face.SAS(p=1.0, apply_to="all").plan(mask.reshape(100, 100), seed=0).samples[0]
    assert everyone["transformed"]


def test_area_counts_the_labels_asked_for(face: Face):
    mask = np.zeros((100, 100), np.int16)
    mask[:50], mask[50:52] = -3, 7
    for labels, large in ((None, True), ((-3,), True), ((7,), False), ((8,), False)):
        sample = face.SAS(p=1.0, labels=labels).plan(mask, seed=0).samples[0]
        assert sample["transformed"] == large, labels


@pytest.mark.large
def test_pixels_and_fractions_of_the_side(face: Face):
    masks = np.broadcast_to(np.uint8(1), (20_000, 10, 20))  # aspect 2: S = 100 on 100 x 80
    for thumbnail, low, high in (((0.25, 0.5), 25, 50), ((30, 60), 30, 60), ((90, 400), 90, 100)):
        aug = face.SAS(canvas=(80, 100), thumbnail=thumbnail, p=1.0)
        size = aug.plan(masks, seed=1).samples["thumbnail"]
        assert (size[:, 2].min(), size[:, 2].max()) == (low, high)
        assert (size[:, 3] == (size[:, 2] + 1) // 2).all()


def test_untouched_samples_fit_the_canvas_with_their_aspect(face: Face):
    mask = np.zeros((2, 30, 60), np.uint8)
    image = np.arange(2 * 30 * 60, dtype=np.uint16).reshape(mask.shape)
    for position, x, y in (("center", 0, 10), ("top_left", 0, 0), ("top_center", 0, 0)):
        aug = face.SAS(canvas=(50, 60), position=position)
        plan = aug.plan(mask, seed=0)
        assert plan.samples["thumbnail"].tolist() == [[x, y, 60, 30]] * 2
        out, _ = aug(image, mask, seed=0)
        assert (out[:, y : y + 30] == image).all()


def test_top_center_hangs_from_the_middle_of_the_upper_edge(face: Face):
    masks = np.broadcast_to(np.uint8(1), (200, 40, 61))
    plan = face.SAS(canvas=(50, 64), position="top_center", p=1.0).plan(masks, seed=3)
    x, y, width, _ = plan.samples["thumbnail"].T
    assert (y == 0).all() and (x == (64 - width) // 2).all()
    assert len(set(width.tolist())) > 20


@pytest.mark.large
@pytest.mark.parametrize("apply_to", ["large", "all"])
def test_least_roi_leaves_the_sizes_that_keep_the_roi(face: Face, apply_to):
    """A disc of 500 pixels on 100 x 100 keeps 125 at half the size: from 50 on, all alike."""
    mask = disc(1, 100, 0.126)
    assert mask.sum() in range(490, 510)
    masks = np.broadcast_to(mask, (20_000, 100, 100))
    aug = face.SAS(least_roi=int(mask.sum()) // 4, p=1.0, apply_to=apply_to)
    side = aug.plan(masks, seed=5).samples["thumbnail"][:, 2]
    assert stats.chisquare(np.bincount(side, minlength=101)[50:]).pvalue > LOWEST_P
    kept = [face.thumbnail(mask, mask, size=int(s))[1].sum() for s in (49, 50, 70, 100)]
    assert kept[0] < aug.settings.least_roi <= min(kept[1:]) + 3  # a disc, not a square of pixels


@pytest.mark.parametrize(
    ("roi", "settings"),
    [
        (400, {"least_roi": 401}),  # more than there is
        (0, {"least_roi": 1, "apply_to": "all"}),
        (400, {"least_roi": 380, "thumbnail": (10, 90)}),  # 98 would be needed
    ],
)
def test_a_sample_that_cannot_keep_its_roi_stays_at_full_size(face: Face, roi, settings):
    mask = np.zeros((1, 100, 100), bool)
    mask.reshape(-1)[:roi] = True
    plan = face.SAS(p=1.0, **settings).plan(np.repeat(mask, 50, 0), seed=1)
    assert (plan.samples["thumbnail"] == [0, 0, 100, 100]).all()
    assert plan.samples["transformed"].all() and (plan.samples["noise"] >= 0).all()


@pytest.mark.parametrize(("least_roi", "side"), [(2500, 50), (2501, 100)])
def test_least_roi_may_be_kept_exactly(face: Face, least_roi, side):
    mask = np.ones((1, 100, 100), bool)
    plan = face.SAS(p=1.0, thumbnail=(50, 50), least_roi=least_roi).plan(mask, seed=1)
    assert plan.samples["thumbnail"][0, 2] == side
    window = plan.rows()[0]["window"]
    assert reference.keeps(window, 50, 10_000, least_roi) == (side == 50)


def test_least_roi_is_exact_where_products_pass_64_bits():
    """On a mask of 2^34 pixels, all of whose rows are one."""
    row = np.zeros(2**17, bool)
    row[: 2**16 + 3] = True
    masks = np.broadcast_to(row, (2, 2**17, 2**17))
    least_roi, roi = 2**30 + 7, (2**16 + 3) * 2**17
    side = math.isqrt(-(-least_roi * 2**34 // roi) - 1) + 1  # the least with side^2 that large
    for thumbnail, expected in (((side, side), side), ((side - 1, side - 1), 2**16)):
        aug = sasaug.SAS(canvas=2**16, least_roi=least_roi, p=1.0, thumbnail=thumbnail)
        assert aug.plan(masks[:1], seed=0).samples["thumbnail"][0, 2] == expected


def test_each_step_has_a_switch(face: Face):
    images, masks = np.random.default_rng(0).random((40, 32, 32), np.float32), disc(40, 32)
    x, y = face.sas(images, masks, seed=1, p=1.0, thumbnail=None)
    assert (y == masks).all() and (x != images).any()
    assert (x[masks == 0] == images[masks == 0]).all()
    x, y = face.sas(images, masks, seed=1, p=1.0, noise={})
    assert (y != masks).any()
    for noise in ({}, None):
        x, y = face.sas(images, masks, seed=1, p=1.0, thumbnail=None, noise=noise)
        assert same_bytes(x, images) and same_bytes(y, masks)


# ---- prints, replays ---------------------------------------------------------------------------


def test_plan_prints_as_a_table(face: Face):
    plan = face.SAS(p=1.0).plan(disc(3), seed=9, ids=[7, 8, 2**64 - 1])
    lines = str(plan).splitlines()
    assert lines[0] == "Plan of 3 samples, canvas 64 x 64, seed 9"
    assert lines[1].split() == ["id", "window", "thumbnail", "scale", "noise", "strength"]
    assert len(lines) == 5 and str(2**64 - 1) in lines[4]
    assert len({len(line) for line in lines[1:]}) == 1
    for line, row in zip(lines[2:], plan.rows(), strict=True):
        assert row["noise"] in line
    assert len(str(plan[:0]).splitlines()) == 2


@given(case=cases())
def test_plan_from_json_replays_the_bytes(face: Face, case: Case):
    plan = case.plan(face)
    again = Plan.from_json(plan.to_json())
    assert again == plan
    assert again.samples.tobytes() == plan.samples.tobytes()
    first = face.apply(plan, case.images, case.masks, dtype=case.dtype, check_values=False)
    second = face.apply(again, case.images, case.masks, dtype=case.dtype, check_values=False)
    assert same_bytes(first[0], second[0]) and same_bytes(first[1], second[1])
    json.loads(plan.to_json())


@given(case=cases())
def test_calling_is_planning_and_applying(face: Face, case: Case):
    aug = face.SAS(**case.settings)
    x, y = aug(
        case.images, case.masks, seed=case.seed, ids=case.ids, windows=case.windows,
        dtype=case.dtype,
    )  # fmt: skip
    a, b = face.apply(
        case.plan(face), case.images, case.masks, dtype=case.dtype, check_values=False
    )
    assert same_bytes(x, a) and same_bytes(y, b)


def test_infinite_strength_survives_json(face: Face):
    plan = face.SAS(p=1.0, noise={"poisson": (9.0, 9.0)}).plan(disc(), seed=0)
    plan.samples["strength"] = np.inf
    assert Plan.from_json(plan.to_json()) == plan


def test_plan_may_be_edited(face: Face):
    images, masks = np.full((2, 64, 64), 128, np.uint8), disc(2)
    plan = face.SAS(p=1.0, thumbnail=None, noise={"gaussian": (0.1, 0.1)}).plan(masks, seed=0)
    plan.samples["strength"][1] = 0.0
    x, _ = face.apply(plan, images, masks)
    assert (x[0] != images[0]).any() and (x[1] == images[1]).all()


def test_without_a_seed_one_is_drawn_and_told(face: Face):
    images, masks = np.full((2, 64, 64), 128, np.uint8), disc(2)
    plans = [face.SAS(p=1.0).plan(masks) for _ in range(3)]
    assert len({plan.seed for plan in plans}) == 3
    aug = face.SAS(p=1.0)
    again = aug.plan(masks, seed=plans[0].seed)
    assert again == plans[0]
    assert same_bytes(*(face.apply(p, images, masks)[0] for p in (plans[0], again)))


def test_ids_default_to_places_and_name_the_sample(face: Face):
    masks = disc(5)
    aug = face.SAS()
    assert aug.plan(masks, seed=1).samples["id"].tolist() == [0, 1, 2, 3, 4]
    big = [2**64 - 1, 2**63, 0, 1, 2]
    assert aug.plan(masks, seed=1, ids=big).samples["id"].tolist() == big
    assert aug.plan(masks[0], seed=1, ids=3).rows() == aug.plan(masks, seed=1)[[3]].rows()


def test_settings_are_values():
    aug = sasaug.SAS(canvas=(100, 120), noise={"poisson": (5, 9), "gaussian": (0, 0.1)}, labels=[3])
    assert sasaug.SAS.from_json(aug.to_json()) == aug
    assert pickle.loads(pickle.dumps(aug)) == aug and hash(pickle.loads(pickle.dumps(aug))) == hash(
        aug
    )
    assert list(aug.noise) == ["gaussian", "poisson"]  # the list's order, not the caller's
    assert aug != sasaug.SAS() and sasaug.SAS(canvas=9) == sasaug.SAS(canvas=(9, 9))
    with pytest.raises(AttributeError):
        aug.p = 1.0
    plan = pickle.loads(pickle.dumps(aug.plan(disc() * 3, seed=1)))
    assert plan == aug.plan(disc() * 3, seed=1)


def test_plans_differ_in_each_of_their_numbers(face: Face):
    plan = face.SAS(p=1.0).plan(disc(), seed=1)
    same = replace(plan, samples=plan.samples.copy())
    assert same == plan
    for name, value in {"seed": 2, "canvas": (65, 64), "antialias": True, "labels": (1,)}.items():
        assert replace(plan, **{name: value}) != plan
    same.samples["strength"] += 1
    assert same != plan


def test_a_line_of_the_table(face: Face):
    masks = np.ones((1, 40, 80), np.uint8)
    plan = face.SAS(p=1.0, thumbnail=(30, 30), noise={"speckle": (0.25, 0.25)}, canvas=64).plan(
        masks, seed=0, windows=[1, 2, 60, 30]
    )
    assert re.split(r"\s{2,}", str(plan).splitlines()[2].strip()) == [
        "0", "60 x 30 at 1,2", "30 x 15 at 17,24", "50 %", "speckle", "0.25",
    ]  # fmt: skip


def test_seeds_have_64_bits(face: Face):
    assert max(face.SAS().plan(disc()).seed for _ in range(64)) >= 2**32


def test_settings_are_kept_in_one_form():
    assert sasaug.SAS(labels=[3, 1, 3]).labels == (1, 3)
    assert sasaug.SAS().noise is not sasaug.PRESETS["default"]
    assert sasaug.SAS(p=np.float32(0.5)).p == 0.5
    with pytest.raises(TypeError, match="p must be a number"):
        sasaug.SAS(p=True)


def test_strengths_at_the_ends_of_their_range_are_accepted(face: Face):
    image, mask = np.full((1, 64, 64), 128, np.uint8), disc()
    for kind, strength in (("poisson", 1e-6), ("poisson", 2**30), ("salt_pepper", 1.0)):
        plan = face.SAS(p=1.0, noise={kind: (strength, strength)}).plan(mask, seed=0)
        face.apply(plan, image, mask)
        getattr(face, kind)(image, mask, strength, seed=0)


def test_samples_of_another_type_are_refused(face: Face):
    image, mask = np.full((1, 64, 64), 128, np.uint8), disc()
    plan = face.SAS(p=1.0).plan(mask, seed=0)
    other = [(name, "f8" if name == "strength" else plan.samples.dtype[name]) for name in
             plan.samples.dtype.names]  # fmt: skip
    for samples in (plan.samples.astype(other), plan.samples[None]):
        with pytest.raises(TypeError, match=r"plan\.samples must be a 1-D numpy array of the type"):
            face.apply(replace(plan, samples=samples), image, mask)


def test_single_steps_take_every_argument(face: Face):
    rng = np.random.default_rng(0)
    images, masks = rng.integers(0, 256, (3, 32, 48, 3), np.uint8), disc(3, 64)[:, :32, :48]
    first = images.transpose(0, 3, 1, 2)
    options = {"seed": 3, "ids": [9, 8, 7], "dtype": "float32"}
    aug = face.SAS(noise=None, p=1.0, apply_to="all", thumbnail=(20, 20), position="random")
    expected = aug(images, masks, **options)
    got = face.thumbnail(images, masks, 20, position="random", **options)
    assert same_bytes(got[0], expected[0]) and same_bytes(got[1], expected[1])
    planar = face.thumbnail(first, masks, 20, position="random", channels="first", **options)[0]
    assert same_bytes(np.ascontiguousarray(planar.transpose(0, 2, 3, 1)), expected[0])
    for kind in sasaug.NOISES:
        function, strength = getattr(face, kind), KINDS[kind]["usual"][1]
        noisy = function(images, masks, strength, **options)
        noise = {kind: (strength, strength)}
        whole = face.SAS(noise=noise, p=1.0, apply_to="all", thumbnail=None)
        assert same_bytes(noisy, whole(images, masks, **options)[0])
        planar = function(first, masks, strength, channels="first", **options)
        assert same_bytes(np.ascontiguousarray(planar.transpose(0, 2, 3, 1)), noisy)


def test_number_of_threads_may_be_set():
    try:
        sasaug.set_num_threads(3)
        assert sasaug.get_num_threads() == 3
        for bad in (True, 0, "2", 2.0, float("inf"), float("nan")):
            with pytest.raises(
                (TypeError, ValueError), match="num_threads must be an integer >= 1"
            ):
                sasaug.set_num_threads(bad)
    finally:
        sasaug.set_num_threads(None)
    code = (
        "import os, sasaug; cpu = min(os.sched_getaffinity(0)); os.sched_setaffinity(0, {cpu}); "
        "print(sasaug.get_num_threads())"
    )
    if hasattr(os, "sched_getaffinity"):
        assert sasaug.get_num_threads() == len(os.sched_getaffinity(0))
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert run.stdout.strip() == "1", run.stderr
