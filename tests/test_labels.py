"""Claims about ``labels`` that no mask holds: a settings object says so once."""

from __future__ import annotations

import pickle
import warnings
from contextlib import contextmanager

import numpy as np
import pytest

import sasaug
from cases import disc
from libraries import Face

X, Y = np.full((4, 32, 32), 99, np.uint8), disc(4, 32).astype(np.uint8) * 255
SAID = (
    "labels [1, 2] are in none of the first 8 masks, which hold 0, 255: their ROI is empty. Name "
    "labels that they hold, or leave labels out: then any value but 0 is the ROI"
)


@contextmanager
def heard():
    """The warnings of sasaug."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        yield texts
    texts += [str(one.message) for one in seen]


def test_labels_in_none_of_the_masks_are_told_once(face: Face):
    augment = face.SAS(labels=(1, 2), canvas=32)
    with heard() as texts:
        augment(X, Y, seed=1)
        augment(X, Y * 0, seed=1)  # an empty mask says nothing
    assert texts == []
    with heard() as texts:
        for seed in range(20):
            augment(X, Y, seed=seed)
    on_gpu = face.library.name in ("torch-cuda", "cupy", "ptx")
    assert texts == ([] if on_gpu else [SAID])


def test_of_a_list_every_mask_counts():
    augment = sasaug.SAS(labels=(1, 2), canvas=32)
    with heard() as texts:
        for seed in range(4):
            augment(list(X), [Y[0], Y[1], Y[2] * 0, Y[3]], seed=seed)
    assert texts == [SAID]
    clips = sasaug.SAS(labels=(1, 2), canvas=32, frames=True)
    with heard() as texts:
        for seed in range(8):
            clips(X, Y, seed=seed)
        assert not clips._watch.open
    assert texts == [SAID]


def test_labels_that_are_rare_are_no_news():
    augment = sasaug.SAS(labels=(1, 2), canvas=32)
    rare = Y.copy()
    rare[3, 16, 16] = 2
    with heard() as texts:
        augment(X, Y, seed=1)
        augment(X, rare, seed=1)
        for seed in range(20):
            augment(X, Y, seed=seed)
        for empty in (Y * 0, Y[:0]):
            for _ in range(10):
                sasaug.SAS(labels=(1,), canvas=32)(X[: len(empty)], empty, seed=1)
    assert texts == []


def test_other_calls_say_nothing():
    """Without labels, and where a plan is drawn: the folder command has a note of its own."""
    with heard() as texts:
        sasaug.SAS()(X.repeat(4, 0), Y.repeat(4, 0), seed=1)
        sasaug.SAS(labels=(1,)).plan(Y.repeat(4, 0), seed=1)
    assert texts == []


def test_modules_and_copies_tell_too():
    copy = pickle.loads(pickle.dumps(sasaug.SAS(labels=(1, 2))))
    with heard() as texts:
        copy(X.repeat(2, 0), Y.repeat(2, 0), seed=1)
    assert texts == [SAID]
    torch = pytest.importorskip("torch")
    from sasaug.torch import SAS

    module = SAS(labels=(1, 2), p=0.25)  # settings that no other test has
    with heard() as texts:
        for _ in range(3):
            module(torch.from_numpy(X)[:, None], torch.from_numpy(Y))
    assert texts == [SAID]
