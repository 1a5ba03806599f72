"""Values in a unit of their own: pixels without noise keep their exact bits."""

from __future__ import annotations

import numpy as np
import pytest

import sasaug
from samples import SETTINGS, picture
from test_adapter_masks import HOSTS, Pipeline

SAMPLE = [host for host in HOSTS if host != "kornia"]  # whose batches have one range


def scores(low=-3.1, high=2.9):
    """An image [1 h w] of z-scores, and its mask [1 h w]."""
    image, mask = picture()
    image = (image / np.float32(255) * (high - low) + low).astype(np.float32)
    return image, mask[None]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("value_range", [(-4.0, 4.0), "sample"])
def test_a_sample_that_is_not_drawn_keeps_its_bits(host, value_range):
    if value_range == "sample" and host not in SAMPLE:
        pytest.skip("one range for the whole batch")
    image, mask = scores()
    x, y = Pipeline(host, p=0.0, value_range=value_range)(image, mask)
    assert x.tobytes() == image[0].tobytes() and np.array_equal(y, mask)


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("value_range", [(-4.0, 4.0), "sample"])
def test_pixels_outside_of_the_roi_keep_their_bits(host, value_range):
    if value_range == "sample" and host not in SAMPLE:
        pytest.skip("one range for the whole batch")
    image, mask = scores()
    x, _ = Pipeline(host, "noise", noise={"gaussian": (0.2, 0.2)}, value_range=value_range)(
        image, mask
    )
    outside = mask[0] == 0
    assert x[outside].tobytes() == image[0][outside].tobytes()
    assert (x[~outside] != image[0][~outside]).mean() > 0.9
    low, high = (image.min(), image.max()) if value_range == "sample" else value_range
    assert low <= x.min() and x.max() <= high


@pytest.mark.parametrize("host", HOSTS)
def test_the_canvas_is_black_and_thumbnails_are_those_of_sasaug(host):
    image, mask = scores()
    how = {**SETTINGS, "noise": None, "thumbnail": (20, 20), "value_range": (-4.0, 4.0)}
    x, _ = Pipeline(host, **how)(image, mask)
    x_, _ = sasaug.sas(image[None], mask[None], seed=0, channels="first", **how)
    assert x.tobytes() == x_[0, 0].tobytes() and x[0, 0] == -4.0


@pytest.mark.parametrize("host", HOSTS)
def test_values_of_another_unit_are_refused(host):
    image, mask = scores()
    with pytest.raises(ValueError, match=r"value_range must hold the values .* it is \(0, 1\)"):
        Pipeline(host, p=1.0)(image, mask)
    Pipeline(host, p=1.0, check_values=False)(image, mask)


@pytest.mark.parametrize("host", HOSTS)
def test_unknown_ranges_are_refused(host):
    with pytest.raises(ValueError, match=r"value_range must be .*, got 'image'"):
        Pipeline(host, value_range="image")
