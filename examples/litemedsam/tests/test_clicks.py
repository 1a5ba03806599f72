"""Clicks lie where their label says, and where the rule allows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from litemedsam import clicks
from litemedsam.clicks import RULES, boundary_distance, bounding_box, next_click


def regions(seed: int, n: int = 4, size: int = 24) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    masks = np.zeros((n, size, size), bool)
    for mask in masks:
        for _ in range(rng.integers(0, 4)):
            y, x, h, w = rng.integers(0, size, 4)
            mask[y : y + h, x : x + w] ^= True
    return torch.from_numpy(masks)


@given(seed=st.integers(0, 2**32), rule=st.sampled_from(RULES), border=st.booleans())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_clicks_lie_where_their_label_says(seed, rule, border):
    mask, prediction = regions(seed), regions(seed + 1)
    draw = torch.Generator().manual_seed(seed)
    options = {"rule": rule, "generator": draw, "border_is_boundary": border}
    for predicted in (prediction, mask, None):
        xy, labels = next_click(mask, predicted, **options)
        empty = torch.zeros_like(mask)
        wrong = mask ^ (empty if predicted is None else predicted)
        for k, ((x, y), label) in enumerate(zip(xy.long().tolist(), labels.tolist(), strict=True)):
            if label == -1:
                assert not wrong[k].any() and (x, y) == (0, 0)
            else:
                assert wrong[k, y, x] and mask[k, y, x] == label


@given(seed=st.integers(0, 2**32), border=st.booleans())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_distances_agree_between_devices_and_with_the_definition(seed, border):
    region = regions(seed, size=12)
    distance = boundary_distance(region, border)
    padded = torch.nn.functional.pad(region, (1, 1, 1, 1)) if border else region
    on_gpu = clicks._on_gpu(padded)
    torch.testing.assert_close(on_gpu[:, 1:-1, 1:-1] if border else on_gpu, distance)
    outside = [(~frame).nonzero().float() for frame in padded]
    for k, frame in enumerate(region):
        for y, x in frame.nonzero().tolist():
            if len(outside[k]):
                here = torch.tensor([y, x]) + int(border)
                expected = (outside[k] - here).square().sum(1).min().sqrt()
                assert distance[k, y, x] == pytest.approx(float(expected))
    assert (distance[~region] == 0).all() and (distance[region] > 0).all()


def square(size: int = 21, low: int = 3, high: int = 18) -> torch.Tensor:
    mask = torch.zeros(1, size, size, dtype=torch.bool)
    mask[:, low:high, low:high] = True
    return mask


def clicked(rule: str, **options) -> set[tuple[int, int]]:
    draw = torch.Generator().manual_seed(0)
    mask = square().expand(600, -1, -1)
    xy, labels = next_click(mask, rule=rule, generator=draw, **options)
    assert (labels == 1).all()
    return {(int(x), int(y)) for x, y in xy}


def test_rules_of_the_first_click():
    """On a square of 15 x 15 the distance is that to the nearest side: rings 1 to 8."""
    assert clicked("deepest") == {(10, 10)}
    within = clicked("within-30-percent-of-largest")  # d >= 5.6: rings 6, 7 and 8
    assert within == {(x, y) for x in range(8, 13) for y in range(8, 13)}
    top = clicked("top-30-percent")  # 67 of 225 pixels; ring 4, the one that is cut, is in it
    assert top == {(x, y) for x in range(6, 15) for y in range(6, 15)}


def test_structures_cut_by_the_border():
    mask = torch.zeros(1, 20, 20, dtype=torch.bool)
    mask[:, 5:15, :6] = True
    inner, _ = next_click(mask, rule="deepest")
    edge, _ = next_click(mask, rule="deepest", border_is_boundary=False)
    assert inner[0, 0] in (2, 3) and edge[0, 0] == 0
    whole = torch.ones(1, 9, 9, dtype=torch.bool)
    assert next_click(whole, rule="deepest")[0].tolist() == [[4, 4]]
    _, labels = next_click(whole, rule="top-30-percent", border_is_boundary=False)
    assert labels.tolist() == [1]


def test_the_deepest_error_wins():
    mask = square()
    missed_more = mask & (torch.arange(21) < 9)  # misses a strip 9 wide
    xy, labels = next_click(mask, missed_more, rule="deepest")
    assert labels.tolist() == [1] and 9 <= xy[0, 0] < 18
    extra = mask.clone()
    extra[:, :, 18:] = True  # 3 wide, beside a part 1 wide that is missed
    extra[:, 3:18, 3] = False
    xy, labels = next_click(mask, extra, rule="deepest")
    assert labels.tolist() == [0] and xy[0, 0] == 19
    tie = torch.zeros_like(mask)
    tie[:, 0, 0] = True
    point = torch.zeros_like(mask)
    point[:, 20, 20] = True
    assert next_click(point, tie, rule="deepest")[1].tolist() == [1]


def test_one_seed_one_answer():
    mask = regions(3, n=16)
    draws = [
        next_click(mask, generator=torch.Generator().manual_seed(seed))[0] for seed in (1, 1, 2)
    ]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


def test_every_candidate_is_drawn_alike():
    mask = torch.zeros(1, 5, 5, dtype=torch.bool)
    mask[:, 2, 1:4] = True  # three pixels, all at distance 1
    draw = torch.Generator().manual_seed(0)
    xy, _ = next_click(mask.expand(6000, -1, -1), generator=draw)
    counts = torch.bincount(xy[:, 0].long(), minlength=5)[1:4]
    assert (counts - 2000).abs().max() < 5 * (6000 * 2 / 9) ** 0.5


def test_boxes():
    mask = torch.zeros(3, 10, 12, dtype=torch.bool)
    mask[0, 2:5, 3:9] = True
    mask[1, 9, 11] = True
    assert bounding_box(mask).tolist() == [[3, 2, 8, 4], [11, 9, 11, 9], [0, 0, 11, 9]]


def test_unknown_rule():
    with pytest.raises(ValueError, match="rule must be one of"):
        next_click(square(), rule="largest")


def test_distances_are_exact_to_the_last_bit():
    """Or ties are broken by chance, and a resumed training clicks elsewhere."""
    rng = np.random.default_rng(0)
    for share in (0.3, 0.7, 0.95, 0.99):
        region = rng.random((4, 66, 66)) < share
        exact = np.stack([distance_transform_edt(frame) for frame in region]).astype(np.float32)
        found = boundary_distance(torch.from_numpy(region), border_is_boundary=False)
        assert (found.numpy() == exact).all()
