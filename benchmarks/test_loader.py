"""One job: time a torch DataLoader that augments, in images per second, by number of workers."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from inputs import SIZE
from loading import BATCH, NAMES, Loading, batches, epoch, loading

WORKERS = (0, 2, 4)
SECONDS = 0.6  # about this long for an epoch
CASES = {f"{workers} workers": workers for workers in WORKERS}

_lengths: dict[tuple[str, int], int] = {}


def run(loader: Any, how: Loading) -> int:
    """One epoch; how many images came."""
    return sum(len(images) for images, _ in epoch(loader, how))


def length_for(name: str, how: Loading, workers: int) -> int:
    """As many images as take SECONDS, in whole batches: the peers' paces differ a hundredfold."""
    if (name, workers) not in _lengths:
        loader = batches(how, 4 * BATCH, workers)
        run(loader, how)
        start = time.perf_counter()
        pace = run(loader, how) / (time.perf_counter() - start)
        _lengths[name, workers] = BATCH * max(4, round(pace * SECONDS / BATCH))
    return _lengths[name, workers]


@pytest.mark.parametrize("contender", NAMES)
@pytest.mark.parametrize("case", CASES)
def test_loader(
    benchmark: Any, timed: Any, quick: bool, case: str, turn: int, contender: str
) -> None:
    workers, how = CASES[case], loading(contender)
    if quick and workers == 4:
        pytest.skip("two workers are enough to see that it runs")
    length = 2 * BATCH if quick else length_for(contender, how, workers)
    loader = batches(how, length, workers)
    if turn == 0:
        see(how, loader)
    benchmark.extra_info.update(
        table="DataLoader, whole SAS, uint8", case=case, contender=contender, note=how.note,
        images=length, pixels=length * SIZE**2, bytes=2 * length * SIZE**2,
    )  # fmt: skip
    assert benchmark.pedantic(lambda: run(loader, how), warmup_rounds=not quick, rounds=1) == length


def see(how: Loading, loader: Any) -> None:
    """Batches of the right shape; augmented where something augments."""
    x, y = next(epoch(loader, how))
    data = loader.dataset
    assert x.shape == (BATCH, 1, SIZE, SIZE) and y.shape == (BATCH, SIZE, SIZE)
    smaller = np.asarray(y).sum() < 0.8 * data.masks[:BATCH].sum()
    plain = "no augmentation" in how.note
    assert smaller != plain
    assert np.array_equal(np.asarray(x)[:, 0], data.images[:BATCH]) == plain
