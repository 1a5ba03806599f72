"""One job: time an image and its mask through each adapter, beside a direct call."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from inputs import ellipses, frames
from peers import name_missing_operators
from peers.ours import copy
from peers.peer import SEED, job

import sasaug

SETTINGS: dict[str, Any] = {"canvas": 256, "p": 1.0, "apply_to": "all"}
SOURCE = 400  # pixels a side
DIRECT = sasaug.SAS(**SETTINGS)

Call = Callable[[], Any]


@cache
def sample() -> tuple[Any, Any]:
    """An image and its mask [h w] of numpy, 300 x 400."""
    image, mask = frames(1, "uint8", size=SOURCE)[0], ellipses(1, SOURCE)[0]
    return np.ascontiguousarray(image[50:350]), np.ascontiguousarray(mask[50:350])


def direct() -> Call:
    image, mask = sample()
    return lambda: DIRECT(image, mask, seed=SEED)


def common_part() -> Call:
    from sasaug.adapters._sample import Recipe
    from sasaug.adapters._settings import step_settings

    image, mask = sample()
    recipe = Recipe(step_settings("sas", SETTINGS), None, SEED)

    def call() -> Any:
        made = recipe.draw(image, mask[None], lambda: None, 0)
        return made.image(image), made.masks(mask[None])[0]

    return call


def albumentations() -> Call:
    adapter = imported("albumentations", "albumentations")
    image, mask = sample()
    step = adapter.SAS(**SETTINGS, sample_seed=SEED)

    def call() -> Any:
        made = step(image=image, mask=mask, sample_id=0)
        return made["image"], made["mask"]

    return call


def torchvision() -> Call:
    name_missing_operators()
    adapter = imported("torchvision", "torchvision")
    from torchvision import tv_tensors

    x, y = tensors()
    image, mask, name = tv_tensors.Image(x), tv_tensors.Mask(y), adapter.SampleId(0)
    step = adapter.SAS(**SETTINGS, sample_seed=SEED)
    return lambda: step(image, mask, name)[:2]


def monai() -> Call:
    adapter = imported("monai", "monai")
    x, y = tensors()
    settings = {**SETTINGS, "prob": SETTINGS["p"]}
    del settings["p"]
    step = adapter.RandSASd("image", mask_key="label", **settings, sample_seed=SEED)

    def call() -> Any:
        made = step({"image": x, "label": y, "sample_id": 0})
        return made["image"], made["label"]

    return call


def batchgenerators() -> Call:
    adapter = imported("batchgenerators", "batchgeneratorsv2")
    x, y = tensors()
    step = adapter.SASTransform(**SETTINGS, sample_seed=SEED)

    def call() -> Any:
        made = step(image=x, segmentation=y, sample_id=0)
        return made["image"], made["segmentation"]

    return call


def kornia() -> Call:
    adapter = imported("kornia", "kornia")
    import torch

    x, y = tensors()
    step = adapter.RandomSAS(**SETTINGS)
    params = {"seed": torch.tensor(SEED)}
    return lambda: step(x[None], y[None], params=params)


def jax() -> Call:
    adapter = imported("jax", "jax")
    import jax.numpy as jnp

    image, mask = (jnp.asarray(array) for array in sample())
    augment = adapter.SAS(**SETTINGS)
    return lambda: augment(image, mask, SEED)


ADAPTERS = {
    "sasaug": (direct, "a direct call of `sasaug.SAS(...)`, settings kept"),
    "sasaug, the adapters' common part": (common_part, "beside the host's own work"),
    "sasaug, albumentations": (albumentations, "the transform alone; writes the plan as JSON"),
    "sasaug, torchvision": (torchvision, ""),
    "sasaug, MONAI": (monai, "writes the plan as JSON and moves the affine"),
    "sasaug, batchgeneratorsv2": (batchgenerators, ""),
    "sasaug, kornia": (kornia, "a batch of one"),
    "sasaug, JAX": (jax, "outside of jit"),
}


def imported(adapter: str, host: str) -> Any:
    try:
        importlib.import_module(host)
    except (ImportError, RuntimeError) as error:  # a torchvision for another torch
        pytest.skip(f"{host} cannot be imported: {error}")
    return importlib.import_module(f"sasaug.adapters.{adapter}")


def tensors() -> tuple[Any, Any]:
    torch = pytest.importorskip("torch")
    image, mask = sample()
    return torch.from_numpy(image)[None], torch.from_numpy(mask)[None]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    sasaug.set_num_threads(1)
    yield
    sasaug.set_num_threads(None)


@pytest.mark.parametrize("contender", ["copy", *ADAPTERS])
def test_adapters(timed: Any, turn: int, contender: str) -> None:
    image, mask = sample()
    x_, y_ = DIRECT(image, mask, seed=SEED)
    row = {
        "table": "adapters", "case": "one image of 300 x 400 to 256 x 256, uint8", "images": 1,
        "contender": contender, "pixels": y_.size,
        "bytes": image.nbytes + mask.nbytes + x_.nbytes + y_.nbytes,
    }  # fmt: skip
    if contender == "copy":
        batch = job(x_[None], y_[None], "grey")
        timed(lambda: copy(batch), note="image and mask of the canvas into new arrays", **row)
        return
    make, note = ADAPTERS[contender]
    x, y = timed(make(), note=note, **row)
    assert np.array_equal(np.asarray(x).squeeze(), x_)
    assert np.array_equal(np.asarray(y).squeeze(), y_)
