"""SAS inside of the hosts' own compositions: what is transformed, and what keeps its size."""

from __future__ import annotations

import numpy as np
import pytest

import samples
from samples import quietly

torch = pytest.importorskip("torch")

COUNT = 400
IMAGE = np.full((48, 48), 99, np.uint8)
LARGE, SMALL = np.zeros_like(IMAGE), np.zeros_like(IMAGE)
LARGE[8:40, 8:40] = SMALL[8:12, 8:12] = 1
#: Every output tells by its size whether SAS was called, and by its corner whether it shrank.
SETTINGS = {"canvas": 40, "thumbnail": (20, 20), "noise": None}


def albumentations(composition):
    import albumentations as A

    from sasaug.adapters.albumentations import SAS

    step = {
        "OneOf": lambda: A.OneOf([SAS(**SETTINGS, p=0.25), A.NoOp(p=0.75)], p=1.0),
        "SomeOf": lambda: A.SomeOf([SAS(**SETTINGS), A.NoOp()], n=1),
        "RandomOrder": lambda: A.RandomOrder([SAS(**SETTINGS), A.NoOp()], n=1),
        "Sequential": lambda: A.Sequential([SAS(**SETTINGS)], p=0.5),
    }[composition]
    pipeline = A.Compose([step()], seed=1)
    return lambda mask: pipeline(image=IMAGE, mask=mask)["image"]


def torchvision(composition):
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    from sasaug.adapters.torchvision import SAS

    step = {
        "RandomApply": lambda: v2.RandomApply([SAS(**SETTINGS)], p=0.5),
        "RandomChoice": lambda: v2.RandomChoice([SAS(**SETTINGS), v2.Identity()], p=[0.25, 0.75]),
        "RandomOrder": lambda: v2.RandomOrder([SAS(**SETTINGS), v2.Identity()]),
    }[composition]()
    image = tv_tensors.Image(torch.from_numpy(IMAGE)[None])
    return lambda mask: step(image, tv_tensors.Mask(torch.from_numpy(mask)))[0][0]


def monai(composition):
    from monai.transforms import Identityd, OneOf, RandomOrder, SomeOf

    from sasaug.adapters.monai import RandSASd

    sas, other = RandSASd("image", "label", prob=0.5, **SETTINGS), Identityd("image")
    step = {
        "OneOf": lambda: OneOf([sas, other], weights=[0.25, 0.75]),
        "SomeOf": lambda: SomeOf([sas, other], num_transforms=1),
        "RandomOrder": lambda: RandomOrder([sas, other]),
    }[composition]()
    step.set_random_state(1)
    return lambda mask: np.asarray(step({"image": IMAGE[None], "label": mask[None]})["image"])[0]


def batchgeneratorsv2(composition):
    from batchgeneratorsv2.transforms.utils.random import OneOfTransform, RandomTransform

    from sasaug.adapters.batchgenerators import SASTransform

    sas = SASTransform(**SETTINGS)
    step = {
        "RandomTransform": lambda: RandomTransform(sas, 0.5),
        "OneOfTransform": lambda: OneOfTransform([sas, RandomTransform(sas, 0.0)]),
    }[composition]()
    image = torch.from_numpy(IMAGE)[None]
    return lambda mask: step(image=image, segmentation=torch.from_numpy(mask)[None])["image"][0]


def kornia(composition):
    import kornia.augmentation as K

    from sasaug.adapters.kornia import RandomSAS

    others = [K.RandomHorizontalFlip(p=1.0) for _ in range(3)]
    step = K.AugmentationSequential(
        RandomSAS(**SETTINGS), *others, data_keys=["input", "mask"], random_apply=1,
        random_apply_weights=[0.0, 1.0, 1.0, 1.0],
    )  # fmt: skip
    image = torch.from_numpy(IMAGE)[None, None] / 255
    return lambda mask: step(image, torch.from_numpy(mask)[None, None].float())[0][0, 0]


def shares(host, composition, mask, count=COUNT):
    """The shares of the samples that SAS transformed, fitted to the canvas, and did not see."""
    samples.host(host)
    with quietly():
        pipeline = globals()[host](composition)
    torch.manual_seed(1)
    np.random.seed(1)
    outputs = [np.asarray(pipeline(mask)) for _ in range(count)]
    left = np.mean([x.shape == (48, 48) for x in outputs])
    assert left == np.mean([x.shape != (40, 40) for x in outputs])
    shrunk = np.mean([x.shape == (40, 40) and x[0, 0] == 0 for x in outputs])
    return shrunk, 1 - left - shrunk, left


@pytest.mark.parametrize(
    ("host", "composition", "transformed", "fitted"),
    [
        ("albumentations", "OneOf", 0.25, 0.0),  # it forces what it chooses
        ("albumentations", "SomeOf", 0.25, 0.25),
        ("albumentations", "RandomOrder", 0.25, 0.25),
        ("albumentations", "Sequential", 0.25, 0.25),
        ("torchvision", "RandomApply", 0.25, 0.25),
        ("torchvision", "RandomChoice", 0.125, 0.125),
        ("torchvision", "RandomOrder", 0.5, 0.5),
        ("monai", "OneOf", 0.125, 0.125),
        ("monai", "SomeOf", 0.25, 0.25),
        ("monai", "RandomOrder", 0.5, 0.5),
        ("batchgeneratorsv2", "RandomTransform", 0.25, 0.25),
        ("batchgeneratorsv2", "OneOfTransform", 0.25, 0.25),
        ("kornia", "random_apply", 0.25, 0.25),  # half of the batches, though its weight is 0
    ],
)
def test_a_composition_is_as_its_page_says(host, composition, transformed, fitted):
    found = shares(host, composition, LARGE)
    assert found == pytest.approx((transformed, fitted, 1 - transformed - fitted), abs=0.06)
    assert shares(host, composition, SMALL, 50)[0] == 0  # small samples are never transformed


@pytest.mark.parametrize("composition", ["OneOf", "SomeOf", "RandomOrder"])
def test_monais_compositions_invert(composition):
    samples.host("monai")
    from monai.transforms import Identityd, OneOf, RandomOrder, SomeOf

    from sasaug.adapters.monai import RandSASd

    sas = RandSASd(["image", "label"], "label", prob=1.0, canvas=96, thumbnail=(96, 96), noise=None)
    steps = [sas, Identityd("image")]
    pipeline = {
        "OneOf": lambda: OneOf(steps),
        "SomeOf": lambda: SomeOf(steps, num_transforms=1),
        "RandomOrder": lambda: RandomOrder(steps),
    }[composition]().set_random_state(1)
    sizes = set()
    for _ in range(8):
        out = pipeline({"image": IMAGE[None], "label": LARGE[None]})
        sizes.add(tuple(out["label"].shape[1:]))
        back = pipeline.inverse(out)
        assert np.array_equal(np.asarray(back["label"])[0], LARGE)
    assert sizes == {(96, 96)} | ({(48, 48)} if composition != "RandomOrder" else set())


def test_monais_lazy_operations_are_applied_before():
    samples.host("monai")
    from monai.transforms import Compose, EnsureTyped, Flipd, Zoomd

    from sasaug.adapters.monai import RandSASd

    keys, sample = ["image", "label"], {"image": IMAGE[None] / 255, "label": LARGE[None]}
    steps = [EnsureTyped(keys, dtype=torch.float32), Zoomd(keys, 1.25), Flipd(keys, 0)]
    sas = RandSASd(keys, "label", prob=1.0, **SETTINGS)
    whole = Compose([*steps, sas], lazy=True).set_random_state(1)(sample)
    parts = Compose([sas]).set_random_state(1)(Compose(steps, lazy=True)(sample))
    for key in keys:
        assert not whole[key].pending_operations and whole[key].shape == (1, 40, 40)
        assert torch.equal(whole[key].as_tensor(), parts[key].as_tensor())
