"""Transforms of hosts inside of ``torch.compile``: they break the graph; the rest is traced."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from samples import SETTINGS, picture
from test_adapter_masks import Pipeline

torch = pytest.importorskip("torch")

HOSTS = ["batchgeneratorsv2", "kornia", "monai", "torchvision"]


@pytest.mark.filterwarnings("default", "error:::sasaug", "error:Dynamo detected.*sasaug")
@pytest.mark.parametrize("host", HOSTS)
def test_a_compiled_step_is_that_of_the_plain_one(host):
    pipeline = Pipeline(host, **SETTINGS)
    image, mask = picture()
    x, y = torch.from_numpy(image).float() / 255, torch.from_numpy(mask)[None]

    def step(x, y):
        x = x * 1.0
        if host == "monai":
            x, y = pipeline.step(x, y)
        elif host == "torchvision":
            from torchvision import tv_tensors

            x, y = pipeline.step(tv_tensors.Image(x), tv_tensors.Mask(y))
        elif host == "batchgeneratorsv2":
            out = pipeline.step(image=x, segmentation=y)
            x, y = out["image"], out["segmentation"]
        else:
            x, y = pipeline.step(x[None], y[None])
        return x * 2, y

    def seeded(call):
        torch.manual_seed(3)
        np.random.seed(3)
        if host == "monai":
            pipeline.step.set_random_state(3)
        made = call(x, y)
        return [part.numpy() for part in made]

    torch._dynamo.reset()
    compiled = torch.compile(step, backend="eager")
    with warnings.catch_warnings():  # of the host's own code, which is traced too
        warnings.filterwarnings("ignore", message="Dynamo detected.*meta_tensor")
        for given, expected in zip(seeded(compiled), seeded(step), strict=True):
            assert given.tobytes() == expected.tobytes()
