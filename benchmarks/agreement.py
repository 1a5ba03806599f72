"""One job: see that a contender did the same job: thumbnails by pixels, noise by its deviation."""

from __future__ import annotations

from typing import Any

import numpy as np
from peers.peer import SEED, Job, Peer

import sasaug

MOST_TIES = 0.01  # share of mask pixels: libraries round centres on a pixel's border differently
MOST_GREY_LEVELS = 1.01  # of 255: libraries' weights are of 8 to 24 bits
MOST_DEVIATION = 0.2  # relative: the strengths vary, and the ROI has some thousand pixels per kind


def check_ours(job: Job, x: Any, y: Any) -> None:
    """sasaug drew the plan that the job's was made from, and did what it says."""
    plan = job.settings.plan(job.masks, seed=SEED)
    expected = sasaug.apply(plan, job.images, job.masks, channels=job.settings.channels)
    assert np.array_equal(x, expected[0]) and np.array_equal(y, expected[1])


def check(name: str, peer: Peer, job: Job, x: Any, y: Any) -> None:
    """Raise AssertionError unless `x`, `y` are what the job's plan says, its own numbers aside."""
    assert x.shape == job.images.shape and x.dtype == job.images.dtype, name
    assert y.shape == job.masks.shape and y.dtype == job.masks.dtype, name
    small, label = applied(job, noise=False)
    noisy, _ = applied(job, noise=True)
    assert (y != label).mean() < MOST_TIES, name
    x, both = grey_last(job, x), (label != 0) & (y != 0)
    off = np.abs(x - small)[(label == 0) & (y == 0)].max()
    assert off <= job.full / 255 * MOST_GREY_LEVELS, (name, off)
    for number, kind in enumerate((*sasaug.NOISES, None)):
        place = number if kind else -1
        roi = both & (job.plan.samples["noise"] == place)[:, None, None]
        if not roi.any():
            continue
        theirs, ours = ((image - small)[roi].std() for image in (x, noisy))
        if kind is None:
            assert np.abs(x - small)[roi].mean() <= job.full / 255, (name, "thumbnail")
        elif kind in peer.kinds:
            assert abs(theirs / ours - 1) < MOST_DEVIATION, (name, kind, theirs, ours)
        else:
            assert theirs > 0, (name, kind)


def applied(job: Job, noise: bool) -> tuple[Any, Any]:
    plan = job.plan[:]
    if not noise:
        plan.samples["noise"] = -1
    x, y = sasaug.apply(plan, job.images, job.masks, channels=job.settings.channels)
    return grey_last(job, x), y


def grey_last(job: Job, images: Any) -> Any:
    """float64 [n h w c]."""
    if job.layout == "grey":
        images = images[..., None]
    elif job.layout == "first":
        images = np.moveaxis(images, 1, 3)
    return images.astype(np.float64)
