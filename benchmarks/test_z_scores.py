"""One job: time z-scored floats through ``value_range`` beside scaling them there and back."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from inputs import SIZE, ellipses, frames
from peers.peer import SEED
from test_adapters import Call, imported, one_thread

import sasaug

__all__ = ["one_thread"]  # a fixture that all of these use

LOW, HIGH = -4.0, 4.0
SETTINGS: dict[str, Any] = {"p": 1.0, "apply_to": "all"}


@cache
def scores() -> tuple[Any, Any]:
    """An image [1 h w] of z-scores within LOW and HIGH, and its mask [1 h w], tensors."""
    torch = pytest.importorskip("torch")
    image = frames(1, "float32")
    image = np.clip((image - image.mean()) / image.std(), LOW, HIGH)
    return torch.from_numpy(image), torch.from_numpy(ellipses(1))


def monai(value_range: tuple[float, float] | None) -> Call:
    adapter = imported("monai", "monai")
    from monai.transforms import Compose, Lambdad

    settings = {**SETTINGS, "prob": SETTINGS["p"], "value_range": value_range}
    del settings["p"]
    step = adapter.RandSASd("image", mask_key="label", **settings, sample_seed=SEED)
    if value_range is None:
        steps = [Lambdad("image", to_unit), step, Lambdad("image", from_unit)]
    else:
        steps = [step]
    pipeline, (x, y) = Compose(steps), scores()

    def call() -> Any:
        made = pipeline({"image": x, "label": y, "sample_id": 0})
        return made["image"], made["label"]

    return call


def nnunet(value_range: tuple[float, float] | None) -> Call:
    adapter = imported("batchgenerators", "batchgeneratorsv2")
    from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms

    step = adapter.SASTransform(**SETTINGS, value_range=value_range, sample_seed=SEED)
    pipeline, (x, y) = ComposeTransforms([step]), scores()

    def call() -> Any:
        image = x if value_range else to_unit(x)
        made = pipeline(image=image, segmentation=y, sample_id=0)
        image = made["image"]
        return image if value_range else from_unit(image), made["segmentation"]

    return call


def direct(value_range: tuple[float, float] | None) -> Call:
    augment = sasaug.SAS(**SETTINGS, value_range=value_range)
    image, mask = (array.numpy() for array in scores())

    def call() -> Any:
        x, y = augment(image if value_range else to_unit(image), mask, seed=SEED)
        return x if value_range else from_unit(x), y

    return call


def to_unit(values: Any) -> Any:
    return (values - LOW) / (HIGH - LOW)


def from_unit(values: Any) -> Any:
    return values * (HIGH - LOW) + LOW


HOSTS = {"sasaug": direct, "MONAI": monai, "batchgeneratorsv2": nnunet}


@pytest.mark.parametrize("way", ["value_range", "scaled there and back"])
@pytest.mark.parametrize("case", HOSTS)
def test_value_range(timed: Any, turn: int, case: str, way: str) -> None:
    make = HOSTS[case]
    x, y = timed(
        make((LOW, HIGH) if way == "value_range" else None), images=1, pixels=SIZE**2,
        table="z-scored floats", case=f"{case}, one image of {SIZE} x {SIZE}, float32",
        contender="sasaug" if way == "value_range" else way, bytes=5 * SIZE**2,
        note="with `value_range`" if way == "value_range" else "to [0, 1] before, and back after",
    )  # fmt: skip
    x_, y_ = make((LOW, HIGH))()
    assert np.array_equal(np.asarray(y), np.asarray(y_))
    assert np.abs(np.asarray(x) - np.asarray(x_)).max() < 1e-5 * (HIGH - LOW)
