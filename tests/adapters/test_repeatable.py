"""The table "What can be repeated" of docs/frameworks.md, without ids; with them: test_resume."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import samples
from samples import SETTINGS, picture
from test_ranks import HOSTS, Scans

torch = pytest.importorskip("torch")

LENGTH = 8
MONAI = {("prob" if name == "p" else name): value for name, value in SETTINGS.items()}


class Longer(Scans):
    def __len__(self):
        return LENGTH


def epochs(
    dataset, workers=0, batch=2, seed=0, loader=None, count=2, **options
) -> list[list[bytes]]:
    """The images of some epochs in the order of the data set, after the seeding of a script."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    loader = loader or torch.utils.data.DataLoader
    if workers:
        options["multiprocessing_context"] = "fork"
    with warnings.catch_warnings():  # torch's own advice about the machine's cores
        warnings.filterwarnings("ignore", message=".*worker processes")
        batches = loader(dataset, batch_size=batch, num_workers=workers, **options)
        return [[np.asarray(x).tobytes() for some in batches for x in some] for _ in range(count)]


@pytest.mark.parametrize("host", [host for host in HOSTS if host != "kornia"])
def test_a_seed_repeats_a_run_of_one_number_of_workers_and_one_batch_size(host):
    Longer(host)[0]  # imports once what every worker would import
    run = epochs(Longer(host), 2)
    assert len({image for epoch in run for image in epoch}) == 2 * LENGTH
    assert epochs(Longer(host), 2) == run
    for changed in ({"workers": 1}, {"batch": 4}, {"seed": 1}):
        assert epochs(Longer(host), **{"workers": 2, **changed}, count=1) != run[:1], changed


@pytest.mark.parametrize("host", ["albumentations", "monai"])
def test_the_main_process_needs_the_pipelines_seed_alone(host):
    run = epochs(Longer(host))
    assert epochs(Longer(host), seed=1) == run
    assert len({image for epoch in run for image in epoch}) == 2 * LENGTH


def pipeline_of_monai(*more):
    samples.host("monai")
    from monai.transforms import Compose

    from sasaug.adapters.monai import RandSASd

    return Compose([RandSASd(["image", "label"], "label", **MONAI), *more])


def of_monai(pipeline):
    from monai.data import Dataset

    image, mask = picture()
    return Dataset([{"image": image, "label": mask[None]}] * LENGTH, pipeline)


@pytest.mark.parametrize("workers", [0, 2])
def test_monais_loader_seeds_its_transforms_anew_from_torch(workers):
    pipeline_of_monai()
    from monai.data import DataLoader, list_data_collate

    def run(state, seed):
        data = of_monai(pipeline_of_monai().set_random_state(state))
        images = {"collate_fn": lambda rows: list_data_collate(rows)["image"]}
        return epochs(data, workers, seed=seed, loader=DataLoader, **images)

    once = run(state=7, seed=0)
    assert len({image for epoch in once for image in epoch}) == 2 * LENGTH
    assert run(state=8, seed=0) == once and run(state=7, seed=1) != once


def test_set_determinism_seeds_what_is_composed_after_it():
    pipeline_of_monai()
    from monai.utils import set_determinism

    def run(seed):
        set_determinism(seed)
        data = of_monai(pipeline_of_monai())
        return [data[k]["image"].numpy().tobytes() for k in range(LENGTH)]

    try:
        assert run(3) == run(3) != run(4)
    finally:
        set_determinism(None)


class OfTheHost(torch.utils.data.Dataset):
    """The same image again and again, under noise of the host's own."""

    def __init__(self, host):
        samples.host(host)
        self.host = host
        if host == "albumentations":
            import albumentations as A

            self.pipeline = A.Compose([A.GaussNoise(p=1.0)], seed=7)
        elif host == "monai":
            from monai.transforms import Compose, RandGaussianNoise

            self.pipeline = Compose([RandGaussianNoise(prob=1.0)]).set_random_state(7)
        else:
            from torchvision.transforms import v2

            self.pipeline = v2.GaussianNoise()

    def __len__(self):
        return LENGTH

    def __getitem__(self, index):
        image = picture()[0].astype(np.float32) / 255
        if self.host == "albumentations":
            return self.pipeline(image=image[0])["image"]
        out = self.pipeline(torch.from_numpy(image))
        return out.as_tensor() if self.host == "monai" else out


@pytest.mark.parametrize("host", ["albumentations", "monai"])
def test_the_hosts_own_transforms_repeat_themselves_in_torchs_loader(host):
    first, second = epochs(OfTheHost(host), 2)
    assert first == second and len(set(first)) == LENGTH // 2


def test_monais_own_transforms_differ_in_its_loader():
    samples.host("monai")
    from monai.data import DataLoader

    run = epochs(OfTheHost("monai"), 2, loader=DataLoader)
    assert len({image for epoch in run for image in epoch}) == 2 * LENGTH


@pytest.mark.parametrize("host", ["albumentations", "monai", "torchvision"])
def test_the_hosts_own_transforms_repeat_themselves_on_every_rank(host, monkeypatch):
    alone = epochs(OfTheHost(host))
    monkeypatch.setenv("RANK", "1")
    assert epochs(OfTheHost(host)) == alone


def test_kornia_repeats_a_run_of_one_batch_size_for_any_workers():
    samples.host("kornia")
    import kornia.augmentation as K

    from sasaug.adapters.kornia import RandomSAS

    image, mask = (torch.from_numpy(array).float() for array in picture())
    data = torch.utils.data.TensorDataset(
        torch.stack([image / 255] * LENGTH), torch.stack([mask[None]] * LENGTH)
    )

    def run(workers, batch=2, seed=0):
        torch.manual_seed(seed)
        step = K.AugmentationSequential(RandomSAS(**SETTINGS), data_keys=["input", "mask"])
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*worker processes")
            loader = torch.utils.data.DataLoader(data, batch_size=batch, num_workers=workers)
            pairs = (step(*pair) for _ in range(2) for pair in loader)
            return [x.numpy().tobytes() for images, _ in pairs for x in images]

    once = run(0)
    assert len(set(once)) == 2 * LENGTH
    assert run(0) == run(2) == once
    assert run(0, batch=4) != once and run(0, seed=1) != once


@pytest.mark.filterwarnings("default", "error:::sasaug")
def test_nnunets_loader_is_seeded_by_the_system():
    samples.host("batchgeneratorsv2")
    from batchgenerators.dataloading.nondet_multi_threaded_augmenter import (
        NonDetMultiThreadedAugmenter,
    )

    from test_batchgenerators import ComposeTransforms, Patches, SASTransform

    def run():
        np.random.seed(3)
        torch.manual_seed(3)
        pipeline = ComposeTransforms([SASTransform(**SETTINGS)])
        loader = NonDetMultiThreadedAugmenter(Patches(pipeline), None, 2, 2, seeds=None)
        try:
            batches = [next(loader) for _ in range(4)]
        finally:
            loader._finish()
        return {x.numpy().tobytes() for batch in batches for x in batch["data"]}

    first, second = run(), run()
    assert len(first) == len(second) == 8 and not first & second


@pytest.mark.filterwarnings("default", "error:::sasaug")
@pytest.mark.parametrize("workers", [0, 2])
def test_lightnings_seed_repeats_a_run_without_ids(workers, tmp_path):
    lightning = samples.host("lightning")
    import sasaug.torch

    image, mask = picture()
    data = torch.utils.data.TensorDataset(
        torch.from_numpy(np.stack([image] * LENGTH)), torch.from_numpy(np.stack([mask] * LENGTH))
    )

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.augment = sasaug.torch.SAS(**SETTINGS)
            self.head = torch.nn.Conv2d(1, 3, 1)
            self.seen = []

        def on_after_batch_transfer(self, batch, dataloader_idx):
            return self.augment(*batch)

        def training_step(self, batch):
            self.seen += [x.numpy().tobytes() for x in batch[0]]
            logits = self.head(batch[0].float())
            return torch.nn.functional.cross_entropy(logits, batch[1].long())

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.01)

    def run(seed):
        lightning.seed_everything(seed, workers=True, verbose=False)
        module = Module()
        trainer = lightning.Trainer(
            max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
        )  # fmt: skip
        trainer.fit(module, torch.utils.data.DataLoader(data, batch_size=2, num_workers=workers))
        return module.seen

    once = run(3)
    assert len(set(once)) == 2 * LENGTH
    assert run(3) == once != run(4)
