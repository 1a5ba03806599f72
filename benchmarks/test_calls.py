"""One job: time what a call costs beside its pixels: little work or none, given arrays, threads."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
from agreement import check
from inputs import ellipses, frames
from peers import Job
from peers.opencv import BOX
from peers.ours import copy
from peers.peer import SEED, job

import sasaug

WHOLE = sasaug.SAS(p=1.0, apply_to="all")
NOTHING = sasaug.SAS(p=0.0)
CLIP = sasaug.SAS(p=1.0, apply_to="all", frames=True)


@cache
def work(n: int, size: int, dtype: str = "uint8") -> Job:
    return job(frames(n, dtype, size=size), ellipses(n, size), "grey")


@cache
def given(n: int, size: int, dtype: str) -> tuple[Any, Any]:
    batch = work(n, size, dtype)
    return np.zeros_like(batch.images), np.zeros_like(batch.masks)


def copy_into(batch: Job) -> Any:
    x, y = out = given(*batch.images.shape[:2], str(batch.images.dtype))
    np.copyto(x, batch.images)
    np.copyto(y, batch.masks)
    return out


def ours(batch: Job, settings: sasaug.SAS = WHOLE, threads: int = 1, into: bool = False) -> Any:
    out = given(*batch.images.shape[:2], str(batch.images.dtype)) if into else None
    return settings(batch.images, batch.masks, seed=SEED, num_threads=threads, out=out)


def ours_as_clip(batch: Job) -> Any:
    """The batch as one clip: one draw for all of its images."""
    return CLIP(batch.images, batch.masks, seed=SEED, num_threads=1)


def ours_under_the_draw(batch: Job) -> Any:
    """The batch as images that all get what the clip gets."""
    plan = CLIP.plan(batch.masks, seed=SEED, num_threads=1)
    plan = dataclasses.replace(plan[[0] * len(batch.images)], frames=False)
    return sasaug.apply(plan, batch.images, batch.masks, num_threads=1)


def ours_as_function(batch: Job) -> Any:
    return sasaug.sas(
        batch.images, batch.masks, seed=SEED, num_threads=1, p=1.0, apply_to="all"
    )  # fmt: skip


def ours_by_plan(batch: Job) -> Any:
    return sasaug.apply(batch.plan, batch.images, batch.masks, num_threads=1)


def loop(batch: Job) -> Any:
    return BOX.run(batch)


def loop_in_threads(batch: Job) -> Any:
    """Halves of the batch in two threads: OpenCV and NumPy let go of the interpreter's lock."""
    halves = [
        Job(batch.images[part], batch.masks[part], "grey", batch.settings, batch.plan[part])
        for part in (slice(None, len(batch.plan) // 2), slice(len(batch.plan) // 2, None))
    ]
    with ThreadPoolExecutor(2) as pool:
        (x0, y0), (x1, y1) = pool.map(BOX.run, halves)
    return np.concatenate([x0, x1]), np.concatenate([y0, y1])


COPY = {"copy": (copy, "image and mask into new arrays")}
CALLS = {
    "sasaug": (ours, "settings kept: `sasaug.SAS(...)`, called again and again"),
    "sasaug.sas": (ours_as_function, "settings as keywords, checked in every call"),
    "sasaug.apply": (ours_by_plan, "the plan given"),
    "OpenCV, noise in the mask's box": (loop, "the strongest loop; draws no plan"),
}
CASES: dict[str, tuple[int, int, str, dict[str, Any]]] = {
    "pass-through (p = 0), uint8": (
        64, 256, "uint8",
        {**COPY, "sasaug": (partial(ours, settings=NOTHING), "counts the mask, copies both")},
    ),
    "whole SAS into given arrays (out=), uint8": (
        64, 256, "uint8",
        {"copy": (copy_into, "`np.copyto`"), "sasaug": (partial(ours, into=True), "")},
    ),
    "whole SAS into given arrays (out=), float32": (
        64, 256, "float32",
        {"copy": (copy_into, "`np.copyto`"), "sasaug": (partial(ours, into=True), "")},
    ),
    "one image of 256 x 256, uint8": (1, 256, "uint8", {**COPY, **CALLS}),
    "one image of 16 x 16, uint8": (1, 16, "uint8", {**COPY, **CALLS}),
    "a clip of 64 frames, uint8": (
        64, 256, "uint8",
        {
            **COPY,
            "sasaug, one clip": (ours_as_clip, "`frames=True`"),
            "sasaug, images": (ours_under_the_draw, "the clip's draw for every image"),
        },
    ),
    "threads, whole SAS, uint8": (
        64, 256, "uint8",
        {
            **COPY,
            "sasaug": (ours, ""),
            "sasaug, 2 threads": (partial(ours, threads=2), ""),
            "OpenCV, noise in the mask's box": (loop, ""),
            "OpenCV, noise in the mask's box, 2 threads": (loop_in_threads, "half the batch each"),
        },
    ),
}  # fmt: skip
PAIRS = [(case, name) for case, (*_, contenders) in CASES.items() for name in contenders]


@pytest.mark.parametrize(("case", "contender"), PAIRS)
def test_calls(timed: Any, quick: bool, case: str, turn: int, contender: str) -> None:
    n, size, dtype, contenders = CASES[case]
    batch = work(16 if quick and n > 16 else n, size, dtype)
    call, note = contenders[contender]
    x, y = timed(
        lambda: call(batch), table="what a call costs", case=case, contender=contender,
        note=note, images=len(batch.images), pixels=batch.masks.size, bytes=batch.bytes,
    )  # fmt: skip
    if turn == 0 and len(batch.images) > 1 and contender != "copy":
        see(batch, case, contender, x, y)


def see(batch: Job, case: str, contender: str, x: Any, y: Any) -> None:
    if "pass-through" in case:
        assert np.array_equal(x, batch.images) and np.array_equal(y, batch.masks)
    elif "one clip" in contender:
        expected = CLIP(batch.images, batch.masks, seed=SEED)
        assert np.array_equal(x, expected[0]) and np.array_equal(y, expected[1])
    elif "sasaug, images" in contender:
        clip = ours_as_clip(batch)
        assert np.array_equal(x[0], clip[0][0]) and np.array_equal(y, clip[1])
    elif "sasaug" in contender:
        expected = WHOLE(batch.images, batch.masks, seed=SEED)
        assert np.array_equal(x, expected[0]) and np.array_equal(y, expected[1])
    else:
        check(contender, BOX, batch, x, y)
