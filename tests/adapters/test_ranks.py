"""Ranks that are seeded alike, as training scripts seed them, draw images of their own."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import numpy as np
import pytest

import samples
import sasaug
from samples import SETTINGS, picture

torch = pytest.importorskip("torch")

import sasaug.torch  # noqa: E402

HOSTS = {
    "sasaug": "torch",
    "sasaug.torch": "torch",
    "albumentations": "albumentations",
    "batchgenerators": "batchgeneratorsv2",
    "kornia": "kornia",
    "monai": "monai",
    "torchvision": "torchvision",
}


class Scans(torch.utils.data.Dataset):
    """The same image again and again, augmented by a pipeline of a host that ids may seed."""

    def __init__(self, host, with_ids=False):
        samples.host(HOSTS[host])
        self.with_ids = with_ids
        self.draw = globals()[host.replace(".", "_") + "_pipeline"](
            {"sample_seed": 5} if with_ids else {}
        )

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.as_tensor(np.asarray(self.draw(index if self.with_ids else None)))


def sasaug_pipeline(seeded):
    image, mask = (torch.from_numpy(array)[None] for array in picture())
    how = sasaug.SAS(**SETTINGS)
    return lambda id: how(image, mask, **({"seed": 5, "ids": [id]} if seeded else {}))[0]


def sasaug_torch_pipeline(seeded):
    image, mask = (torch.from_numpy(array)[None] for array in picture())
    module = sasaug.torch.SAS(**SETTINGS)
    return lambda id: module(image, mask, **({"seed": 5, "ids": [id]} if seeded else {}))[0]


def albumentations_pipeline(seeded):
    import albumentations as A

    from sasaug.adapters.albumentations import SAS

    (image,), mask = picture()
    pipeline = A.Compose([SAS(**SETTINGS, **seeded)], seed=7)
    return lambda id: pipeline(image=image, mask=mask, sample_id=id)["image"]


def batchgenerators_pipeline(seeded):
    from sasaug.adapters.batchgenerators import SASTransform

    image, mask = picture()
    image, mask = torch.from_numpy(image).float() / 255, torch.from_numpy(mask)[None]
    step = SASTransform(**SETTINGS, **seeded)
    return lambda id: step(image=image, segmentation=mask, sample_id=id)["image"]


def kornia_pipeline(seeded):
    import kornia.augmentation as K

    from sasaug.adapters.kornia import RandomSAS

    image, mask = (torch.from_numpy(array).float()[None] for array in picture())
    step = K.AugmentationSequential(RandomSAS(**SETTINGS), data_keys=["input", "mask"])
    return lambda id: step(image / 255, mask[None])[0]


def monai_pipeline(seeded):
    from monai.transforms import Compose

    from sasaug.adapters.monai import RandSASd

    image, mask = picture()
    how = {("prob" if name == "p" else name): value for name, value in SETTINGS.items()}
    step = Compose([RandSASd("image", "label", **how, **seeded)]).set_random_state(7)
    return lambda id: step({"image": image, "label": mask[None], "sample_id": id})["image"]


def torchvision_pipeline(seeded):
    from torchvision import tv_tensors

    from sasaug.adapters.torchvision import SAS, SampleId

    image, mask = picture()
    image, mask = tv_tensors.Image(torch.from_numpy(image)), tv_tensors.Mask(torch.from_numpy(mask))
    step = SAS(**SETTINGS, **seeded)
    return lambda id: step(image, mask, *([SampleId(id)] if seeded else []))[0]


def images(host, workers=0, with_ids=False) -> list[bytes]:
    """The images of two epochs, after the seeding of a training script."""
    torch.manual_seed(0)
    np.random.seed(0)
    options = {"multiprocessing_context": "fork"} if workers else {}
    with warnings.catch_warnings():  # torch's own advice about the machine's cores
        warnings.filterwarnings("ignore", message=".*worker processes")
        loader = torch.utils.data.DataLoader(
            Scans(host, with_ids), batch_size=None, num_workers=workers, **options
        )
        return [x.numpy().tobytes() for _ in range(2) for x in loader]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("host", HOSTS)
def test_ranks_of_a_launcher_draw_apart(host, workers, monkeypatch):
    alone = images(host, workers)
    monkeypatch.setenv("RANK", "1")
    first = images(host, workers)
    assert images(host, workers) == first
    monkeypatch.setenv("RANK", "2")
    made = alone + first + images(host, workers)
    assert len(set(made)) == len(made) == 24


def test_launchers_name_ranks_differently(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    first = images("sasaug.torch")
    monkeypatch.setenv("RANK", "0")  # of all machines: it counts where both are there
    alone = images("sasaug.torch")
    monkeypatch.setenv("RANK", "1")
    assert images("sasaug.torch") == first != alone
    monkeypatch.delenv("RANK")
    monkeypatch.delenv("LOCAL_RANK")
    assert images("sasaug.torch") == alone


@pytest.mark.parametrize("host", HOSTS)
def test_ids_are_the_same_on_every_rank(host, monkeypatch):
    if host == "kornia":
        pytest.skip("kornia passes no ids")
    alone = images(host, 0, with_ids=True)
    monkeypatch.setenv("RANK", "1")
    assert images(host, 0, with_ids=True) == alone and len(set(alone)) == 4


def test_seeds_that_are_given_are_taken_as_they_are(monkeypatch):
    image, mask = (torch.from_numpy(array)[None] for array in picture())

    def draws():
        return [
            augment(image, mask, seed=seed())[0].numpy().tobytes()
            for augment in (sasaug.SAS(**SETTINGS), sasaug.torch.SAS(**SETTINGS))
            for seed in (lambda: 3, lambda: torch.Generator().manual_seed(3))
        ]

    alone = draws()
    monkeypatch.setenv("RANK", "1")
    assert draws() == alone


@pytest.mark.parametrize("value", ["", "-1", "first", "1.5"])
def test_what_is_no_rank_is_none(value, monkeypatch):
    alone = images("sasaug.torch")
    monkeypatch.setenv("RANK", value)
    assert images("sasaug.torch") == alone


def in_a_rank(rank, folder):
    """A training script without a launcher, its loader's workers forked."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
    )
    made = [hashlib.md5(x).hexdigest() for x in images("sasaug.torch") + images("sasaug.torch", 2)]
    (Path(folder) / f"{rank}.txt").write_text("\n".join(made))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


@pytest.mark.no_host
@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without torch.distributed")
def test_ranks_of_a_process_group_draw_apart(tmp_path):
    torch.multiprocessing.spawn(in_a_rank, (str(tmp_path),), nprocs=2)
    made = [(tmp_path / f"{rank}.txt").read_text().split() for rank in range(2)]
    assert len(made[0]) == 16 and len(set(made[0] + made[1])) == 32
