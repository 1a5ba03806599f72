"""What counts as the same job: each fault that a contender could have is seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from agreement import check, check_ours
from inputs import ellipses, frames
from peers import load
from peers.peer import Job, job

PEER = load("OpenCV + NumPy, gathered")


@pytest.fixture(scope="module")
def work() -> Job:
    return job(frames(16), ellipses(16), "grey")


def stronger(work: Job) -> Any:
    plan = work.plan[:]
    plan.samples["strength"] *= np.where(plan.samples["noise"] == 3, 0.4, 1.6)  # photons: fewer
    return PEER.run(replace(work, plan=plan))


def smaller(work: Job) -> Any:
    plan = work.plan[:]
    plan.samples["thumbnail"][:, 2:] -= 2
    return PEER.run(replace(work, plan=plan))


def shifted(work: Job) -> Any:
    x, y = PEER.run(work)
    return np.roll(x, 1, 2), y


def outside(work: Job) -> Any:
    x, y = PEER.run(work)
    return np.where(y == 0, x ^ 2, x), y


def mask_shifted(work: Job) -> Any:
    x, y = PEER.run(work)
    return x, np.roll(y, 2, 2)


def without_noise(work: Job) -> Any:
    plan = work.plan[:]
    plan.samples["noise"] = -1
    return PEER.run(replace(work, plan=plan))


def of_another_type(work: Job) -> Any:
    x, y = PEER.run(work)
    return x.astype(np.float32), y


FAULTS = [stronger, smaller, shifted, outside, mask_shifted, without_noise, of_another_type]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_seen(work: Job, fault: Callable[[Job], Any]) -> None:
    check("as it is", PEER, work, *PEER.run(work))
    with pytest.raises(AssertionError):
        check(fault.__name__, PEER, work, *fault(work))


def test_a_blurred_thumbnail_without_noise_is_seen() -> None:
    work = job(frames(4), ellipses(4), "grey", noise=None)
    x, y = PEER.run(work)
    check("as it is", PEER, work, x, y)
    with pytest.raises(AssertionError):
        check("blurred", PEER, work, (x // 2 + np.roll(x, 1, 1) // 2), y)


def test_another_seed_is_seen(work: Job) -> None:
    check_ours(work, *work.settings(work.images, work.masks, seed=1))
    with pytest.raises(AssertionError):
        check_ours(work, *work.settings(work.images, work.masks, seed=2))
