"""sasaug.adapters.batchgenerators: from ComposeTransforms to a training step's input."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import samples
from samples import SETTINGS, SIZE, expected, loaded, picture

torch = pytest.importorskip("torch")
samples.host("batchgeneratorsv2")
from batchgenerators.dataloading.data_loader import DataLoader  # noqa: E402
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import (  # noqa: E402
    NonDetMultiThreadedAugmenter,
)
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform  # noqa: E402
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms  # noqa: E402
from batchgeneratorsv2.transforms.utils.remove_label import RemoveLabelTansform  # noqa: E402

from sasaug.adapters.batchgenerators import (  # noqa: E402
    MaskedNoiseTransform,
    SASTransform,
    ThumbnailTransform,
)


def sample(number: int = 0, channels: int = 1):
    """As nnU-Net's data loader passes it."""
    image, mask = picture(number, channels)
    image = torch.from_numpy(image).float() / 255
    return {"image": image, "segmentation": torch.from_numpy(mask.astype(np.int16))[None]}


def seed_of(seed: int) -> int:
    """What the shared generator with this seed gives first."""
    return int.from_bytes(np.random.RandomState(seed).bytes(8), "little")


@pytest.fixture(autouse=True)
def shared_generator():
    state = np.random.get_state()
    yield
    np.random.set_state(state)


@pytest.mark.parametrize("channels", [1, 3])
def test_output_is_that_of_sasaug(channels):
    data = sample(channels=channels)
    image, mask = data["image"].numpy(), data["segmentation"][0].numpy()
    x, y = expected(image, mask, seed_of(3), **SETTINGS)
    np.random.seed(3)
    out = ComposeTransforms([SASTransform(**SETTINGS)])(**data, keys="kept")
    assert np.array_equal(out["image"], x) and np.array_equal(out["segmentation"][0], y)
    assert out["segmentation"].dtype == torch.int16 and out["keys"] == "kept"
    assert not np.array_equal(SASTransform(**SETTINGS)(**data)["image"], x)


def test_what_is_outside_of_the_image_is_no_roi():
    data = sample()
    data["segmentation"][data["segmentation"] == 0] = -1
    np.random.seed(3)
    out = SASTransform(**SETTINGS)(**data)
    np.random.seed(3)
    clean = SASTransform(**SETTINGS)(**sample())
    assert torch.equal(out["image"], clean["image"])
    assert set(out["segmentation"].unique().tolist()) == {-1, 0, 1, 2}  # 0: around the thumbnail
    out = RemoveLabelTansform(-1, 0)(**out)
    assert torch.equal(out["segmentation"], clean["segmentation"])


def test_further_channels_and_targets_follow():
    data = sample()
    labels = data["segmentation"][0]
    data["segmentation"] = torch.stack([labels, (labels == 2).short()])
    data["regression_target"] = data["image"] * 3 - 1
    np.random.seed(3)
    out = SASTransform(**SETTINGS, noise={"gaussian": (0.1, 0.1)})(**data)
    x, y = expected(data["image"].numpy(), labels.numpy(), seed_of(3), noise=None, **SETTINGS)
    assert np.array_equal(out["segmentation"], np.stack([y, y == 2]))
    inside = samples.plan(labels.numpy(), seed_of(3), noise=None, **SETTINGS).samples["thumbnail"]
    left, top, width, height = inside[0]
    part = (0, slice(top, top + height), slice(left, left + width))
    assert np.allclose(out["regression_target"][part], x[part] * 3 - 1, atol=1e-5)
    assert out["regression_target"].sum() != 0 and (out["image"].numpy() != x).any()


def test_targets_of_volumes_follow():
    image, mask = (torch.from_numpy(array) for array in samples.clip())
    image, segmentation = image.float() / 255, mask[None].short()
    how = {**SETTINGS, "noise": {"gaussian": (0.1, 0.1)}, "frames": True}
    np.random.seed(3)
    out = SASTransform(**how)(
        image=image, segmentation=segmentation, regression_target=image * 3 - 1
    )
    x, y = expected(image.numpy(), mask.numpy(), seed_of(3), **{**how, "noise": None})
    assert np.array_equal(out["segmentation"][0], y)
    plan = samples.plan(mask.numpy(), seed_of(3), **how)
    left, top, width, height = plan.samples["thumbnail"][0]
    part = (..., slice(top, top + height), slice(left, left + width))
    assert np.allclose(out["regression_target"][part], x[part] * 3 - 1, atol=1e-5)
    assert (out["image"].numpy() != x).any()


def test_single_steps():
    data = sample()
    noisy = MaskedNoiseTransform(noise={"salt_pepper": (1.0, 1.0)}, labels=(2,))
    out = noisy(**data, regression_target=data["image"])
    hit = (out["image"] != data["image"])[0]
    two = data["segmentation"][0] == 2
    assert not hit[~two].any() and hit[two].float().mean() > 0.9
    assert out["segmentation"] is data["segmentation"]
    assert out["regression_target"] is data["image"]
    small = ThumbnailTransform(thumbnail=(0.3, 0.6))(image=data["image"])["image"]
    assert small.shape == data["image"].shape and 0 < (small > 0).float().mean() < 0.4


def test_z_scores():
    data = sample()
    unit = {**data, "image": data["image"].clone()}
    data["image"] = (data["image"] - 0.5) / 0.25
    with pytest.raises(ValueError, match=r"must hold the values .*it is \(0, 1\), got -"):
        SASTransform(**SETTINGS)(**data)
    how = {**SETTINGS, "noise": {"gaussian": (0.1, 0.1)}}
    np.random.seed(3)
    x = SASTransform(**how, value_range="sample")(**data)["image"]
    np.random.seed(3)
    assert torch.allclose(x, SASTransform(**how)(**unit)["image"] * 4 - 2, atol=1e-4)
    assert x.min() == -2  # around the thumbnail it is as black as the image can be


@pytest.mark.parametrize(
    ("options", "data", "error", "message"),
    [
        ({"p": 2}, {}, ValueError, r"p must be in \[0, 1\], got 2"),
        ({"size": 2}, {}, TypeError, "settings must be of .*, got 'size'"),
        ({}, {"segmentation": None}, ValueError, "must hold image and segmentation, got"),
        (
            {},
            {"image": torch.zeros(1, 2, 9, 9)},
            ValueError,
            r"must be 2-D, \[c h w\], got shape \(1, 2, 9, 9\); 3-D patches need frames=True$",
        ),
        (
            {"frames": True},
            {},
            ValueError,
            r"image must be 3-D with frames=True, \[c d h w\], got shape \(1, \d+, \d+\)$",
        ),
        ({}, {"bbox": [1]}, ValueError, "the sample must hold no bbox"),
        ({"sample_seed": 1}, {}, ValueError, "sample_id must be given where sample_seed is"),
    ],
)
def test_misuse_is_refused(options, data, error, message):
    with pytest.raises(error, match=message):
        SASTransform(**options)(**{**sample(), **data})


def test_it_tells_and_keeps_its_settings():
    for transform in (SASTransform(canvas=9, p=0.2), ThumbnailTransform(), MaskedNoiseTransform()):
        copy = pickle.loads(pickle.dumps(transform))
        assert copy.settings == transform.settings and repr(copy) == repr(transform)
    assert repr(SASTransform(canvas=9, p=0.2)) == "SASTransform(canvas=(9, 9), p=0.2)"
    assert repr(ThumbnailTransform(one_hot=True)) == "ThumbnailTransform(one_hot=True)"
    shown = "MaskedNoiseTransform(value_range='sample', sample_seed=3)"
    assert repr(MaskedNoiseTransform(value_range="sample", sample_seed=3)) == shown


class Scans(torch.utils.data.Dataset):
    """Indexed by sample ids, epoch * SIZE + index."""

    def __init__(self, transform):
        self.transform = transform

    def __len__(self):
        return SIZE

    def __getitem__(self, id):
        out = self.transform(**sample(id % SIZE), sample_id=id)
        return out["image"], out["segmentation"]


def test_ids_make_the_same_batches_for_any_number_of_workers():
    ids = [int(i) for i in np.random.default_rng(0).permutation(2 * SIZE)]
    state = np.random.get_state()[1].copy()
    dataset = Scans(SASTransform(sample_seed=9, **SETTINGS))
    alone = loaded(dataset, sampler=ids, batch_size=1)
    assert (np.random.get_state()[1] == state).all()
    assert loaded(dataset, sampler=ids, batch_size=4, num_workers=2) == alone
    assert len({row[0] for row in alone}) == 2 * SIZE
    data = sample(ids[0] % SIZE)
    x, _ = expected(data["image"].numpy(), data["segmentation"][0].numpy(), 9, ids[0], **SETTINGS)
    assert alone[0][0] == x.tobytes()


class Patches(DataLoader):
    """As nnU-Net's own: a batch of one and the same sample, transformed one by one."""

    def __init__(self, transform):
        super().__init__([0], 2, infinite=True)
        self.transform = transform

    def generate_train_batch(self):
        torch.set_num_threads(1)
        made = [self.transform(**sample()) for _ in range(self.batch_size)]
        return {
            "data": torch.stack([one["image"] for one in made]),
            "target": torch.stack([one["segmentation"] for one in made]),
        }


@pytest.mark.filterwarnings("default", "error:::sasaug")
def test_the_hosts_workers_draw_what_none_drew_before():
    pipeline = ComposeTransforms([SASTransform(**SETTINGS), MirrorTransform((0, 1))])
    loader = NonDetMultiThreadedAugmenter(Patches(pipeline), None, 2, 2, seeds=[1, 2])
    try:
        batches = [next(loader) for _ in range(6)]
    finally:
        loader._finish()
    assert len({x.numpy().tobytes() for batch in batches for x in batch["data"]}) == 12
    logits = torch.nn.Conv2d(1, 3, 3, padding=1)(batches[0]["data"])
    loss = torch.nn.functional.cross_entropy(logits, batches[0]["target"][:, 0].long())
    loss.backward()
    assert batches[0]["data"].shape == (2, 1, 48, 40)
