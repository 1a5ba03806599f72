"""What an adapter costs beside the kernels: one call of them per sample, nothing checked twice."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import sasaug
from samples import SETTINGS, picture
from test_adapter_masks import HOSTS, Pipeline

PACKAGE = str(Path(sasaug.__file__).parent)
KERNELS = {"run", "run_cuda"}


def counted(call) -> Counter:
    """How often the call enters the kernels, and the functions of the package by name."""
    seen: Counter = Counter()

    def see(frame, event, arg):
        if event == "c_call" and arg.__name__ in KERNELS and "_core" in str(arg.__module__):
            seen["kernels"] += 1
        elif event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            seen["functions"] += 1
            seen[frame.f_code.co_name] += 1

    sys.setprofile(see)
    try:
        call()
    finally:
        sys.setprofile(None)
    return seen


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
def test_one_call_of_the_kernels_per_sample(host, dtype):
    image, mask = picture()
    planes = mask[None].astype(dtype)
    image = image.astype(np.float32) / 255
    for step in ("sas", "noise"):
        settings = SETTINGS if step == "sas" else {"p": 1.0}
        if dtype != "float32":
            settings = {**settings, "labels": (1, 2)}
        pipeline = Pipeline(host, step, **settings)
        pipeline(image, planes)  # the masks are looked at
        seen = counted(lambda pipeline=pipeline: pipeline(image, planes))
        assert seen["kernels"] == 1
        assert not seen["__post_init__"] and not seen["from_json"]


def test_what_the_common_part_adds_is_little():
    from sasaug.adapters._sample import Recipe
    from sasaug.adapters._settings import step_settings

    image, mask = picture()
    image = image[0]
    recipe = Recipe(step_settings("sas", SETTINGS), None, 7)
    direct = sasaug.SAS(**SETTINGS)
    direct(image, mask, seed=7, ids=[0])
    ours = lambda: recipe.draw(image, mask[None], lambda: None, 0)  # noqa: E731
    ours()
    few = counted(lambda: direct(image, mask, seed=7, ids=[0]))
    more = counted(ours)
    assert few["kernels"] == more["kernels"] == 1
    print(few["functions"], more["functions"])
    assert more["functions"] <= 1.4 * few["functions"]
