"""sasaug.adapters.monai: from Compose to a training step's input, and back by the inverse."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import samples
import sasaug
from samples import SETTINGS, SIZE, expected, loaded, picture

torch = pytest.importorskip("torch")
samples.host("monai")
from monai.data import DataLoader, Dataset, MetaTensor, decollate_batch, set_track_meta  # noqa: E402
from monai.transforms import (  # noqa: E402
    Compose,
    EnsureTyped,
    Invertd,
    RandFlipd,
    ScaleIntensityRanged,
    SpatialPadd,
)

import sasaug.adapters.monai as adapter  # noqa: E402
from sasaug.adapters.monai import (  # noqa: E402
    RandMaskedNoise,
    RandMaskedNoised,
    RandSAS,
    RandSASd,
    RandThumbnail,
    RandThumbnaild,
)

MONAI = {key: value for key, value in SETTINGS.items() if key != "p"} | {"prob": 1.0}


def sample(number: int = 0, channels: int = 1):
    image, mask = picture(number, channels)
    return {"image": image, "label": mask[None], "sample_id": number}


def seed_of(seed: int) -> int:
    """What ``set_random_state(seed)`` lets the transform draw first."""
    return int.from_bytes(np.random.RandomState(seed).bytes(8), "little")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("keep", [np.asarray, torch.as_tensor, MetaTensor])
def test_output_is_that_of_sasaug(channels, keep):
    data = sample(channels=channels)
    x_, y_ = expected(data["image"], data["label"][0], seed_of(3), **SETTINGS)
    data = {key: keep(value) for key, value in data.items() if key != "sample_id"}
    out = RandSASd("image", "label", **MONAI).set_random_state(3)(data)
    x, y = RandSAS(**MONAI).set_random_state(3)(data["image"], data["label"])
    for image, mask in ((out["image"], out["label"]), (x, y)):
        assert type(image) is type(mask) is MetaTensor
        assert image.dtype == mask.dtype == torch.uint8
        assert np.array_equal(image.numpy(), x_) and np.array_equal(mask[0].numpy(), y_)


def test_seeds_are_those_of_the_state():
    data = sample()
    augment = RandSASd("image", "label", **MONAI).set_random_state(5)
    first, second = augment(data)["image"], augment(data)["image"]
    assert not torch.equal(first, second)
    pipeline = Compose([RandSASd("image", "label", **MONAI)]).set_random_state(seed=5)
    again = pipeline(data)["image"]
    assert torch.equal(pipeline.set_random_state(seed=5)(data)["image"], again)
    state = np.random.get_state()[1].copy()
    augment(data)
    assert (np.random.get_state()[1] == state).all()
    array = RandSAS(**MONAI).set_random_state(5)
    once = array(data["image"], data["label"])[0]
    assert torch.equal(array(data["image"], data["label"], randomize=False)[0], once)


def test_a_mask_among_the_keys_is_a_mask():
    """MONAI's own idiom, ``keys=["image", "label"]``."""
    data = sample()
    once = RandSASd("image", mask_key="label", **MONAI).set_random_state(3)(data)
    both = RandSASd(["image", "label"], mask_key="label", **MONAI)
    out = both.set_random_state(3)(data)
    assert torch.equal(out["image"], once["image"]) and torch.equal(out["label"], once["label"])
    back = both.inverse(out)
    assert back["label"].shape == data["label"].shape and not back["label"].applied_operations
    twice = RandSASd(["image", "image"], mask_key=["label", "label"], **MONAI)
    out = twice.set_random_state(3)(data)
    assert torch.equal(out["image"], once["image"]) and torch.equal(out["label"], once["label"])
    noise = RandMaskedNoised(["image", "label"], mask_key="label").set_random_state(3)
    assert noise(data)["label"] is data["label"]


def test_keys_that_may_be_masks_are_asked_for():
    with pytest.raises(
        ValueError, match=r"keys must name an image besides .* got keys \['label'\]"
    ):
        RandSASd("label", mask_key="label")
    with pytest.raises(ValueError, match=r"mask_key='label', or mask_key=\(\) if all are images"):
        RandThumbnaild(["image", "label"])
    assert RandThumbnaild(["left", "right"], mask_key=()).keys == ("left", "right")
    with pytest.warns(UserWarning, match="keys name 'label', which becomes an image with noise"):
        RandSASd(["image", "label"], mask_key="roi")


def test_float_labels_as_monai_loads_them():
    data = sample()
    augment = RandSASd("image", "label", **MONAI)
    y = augment.set_random_state(3)(data)["label"]
    data["label"] = data["label"].astype(np.float32)
    floats = augment.set_random_state(3)(data)["label"]
    assert floats.dtype == torch.float32 and torch.equal(floats, y.float())


def test_one_hot_masks_and_further_items():
    data = sample()
    labels = data["label"][0]
    data["label"] = np.stack([labels == 1, labels == 2])
    data["again"] = data["image"] // 2
    data["weights"] = labels[None].astype(np.float32) / 3
    augment = RandSASd(["image", "again"], ["label", "weights"], noise=None, **MONAI)
    out = augment.set_random_state(3)(data)
    x, y = expected(data["image"], labels, seed_of(3), noise=None, **SETTINGS)
    assert np.array_equal(out["image"].numpy(), x)
    assert np.array_equal(out["label"].numpy(), np.stack([y == 1, y == 2]))
    assert np.abs(out["again"].numpy() - x / 2.0).max() <= 1
    assert np.array_equal(out["weights"][0].numpy(), y.astype(np.float32) / 3)


def test_metadata_follow():
    """A pixel's place in the world stays where it was, and so does every other meta key."""
    affine = torch.diag(torch.tensor([0.3, 0.2, 1.0, 1.0], dtype=torch.float64))
    affine[:2, 3] = torch.tensor([5.0, -7.0])
    mask = torch.zeros(1, 60, 50)
    mask[0, 20:40, 10:30] = 1
    image = MetaTensor(mask.clone(), affine=affine, meta={"filename_or_obj": "a.png"})
    x = RandThumbnail(canvas=150, thumbnail=(120, 120), position="random").set_random_state(1)(
        image
    )
    assert x.meta["filename_or_obj"] == "a.png" and x.shape == (1, 150, 150)

    def centre(picture):
        rows, columns = (picture[0] > 0.5).nonzero().double().mean(0)
        return (picture.affine @ torch.tensor([rows, columns, 0, 1], dtype=torch.float64))[:2]

    assert torch.allclose(centre(x), centre(image), atol=0.01)
    assert torch.allclose(x.pixdim, torch.tensor([0.3, 0.2], dtype=torch.float64) / 2)


@pytest.mark.parametrize("position", ["center", "random"])
def test_inverse_takes_masks_and_predictions_back(position):
    data = sample()
    how = {"canvas": 160, "thumbnail": (140, 150), "noise": None, "position": position}
    pipeline = Compose(
        [
            EnsureTyped(["image", "label"]),
            RandSASd("image", "label", prob=1.0, **how),
            RandFlipd(["image", "label"], prob=1.0, spatial_axis=1),
        ]
    ).set_random_state(seed=2)
    out = pipeline(data)
    back = pipeline.inverse(out)
    assert back["image"].shape == data["image"].shape
    assert not back["image"].applied_operations and not back["label"].applied_operations
    assert torch.allclose(back["image"].affine, torch.eye(4, dtype=torch.float64))
    assert torch.equal(back["label"].as_tensor(), torch.as_tensor(data["label"]))  # enlarged
    assert np.abs(back["image"].numpy() - data["image"].astype(float)).mean() < 20

    batch = next(iter(DataLoader(Dataset([data], pipeline), batch_size=1)))
    batch["pred"] = (batch["label"] == 1).float()
    post = Invertd("pred", pipeline, orig_keys="label", nearest_interp=True)
    pred = post(decollate_batch(batch)[0])["pred"]
    assert torch.equal(pred.as_tensor() > 0, torch.as_tensor(data["label"] == 1))


def test_inverse_of_images_is_bilinear():
    x = torch.linspace(0, 1, 64).expand(1, 48, 64)
    augment = RandThumbnail(canvas=(48, 64), thumbnail=(32, 32)).set_random_state(0)
    back = augment.inverse(augment(x))
    assert back.shape == x.shape and (back - x).abs().max() < 0.02
    assert len(back.unique()) > 32


def test_inverse_of_masks_makes_no_labels():
    data = sample()
    data["label"] = data["label"] * 100
    augment = RandSASd("image", "label", **MONAI).set_random_state(1)
    back = augment.inverse(augment(data))["label"]
    assert back.shape == data["label"].shape and set(back.unique().tolist()) == {0, 100, 200}


def test_single_steps():
    data = sample()
    noisy = RandMaskedNoised("image", "label", labels=(2,), noise={"salt_pepper": (1.0, 1.0)})
    out = noisy.set_random_state(1)(data)
    hit = (out["image"].numpy() != data["image"])[0]
    two = data["label"][0] == 2
    assert not hit[~two].any() and hit[two].mean() > 0.9
    assert out["label"] is data["label"] and noisy.inverse(out)["image"] is out["image"]
    assert not out["image"].applied_operations
    alone = RandMaskedNoise(noise={"salt_pepper": (1.0, 1.0)}, labels=(2,)).set_random_state(1)
    assert torch.equal(alone(data["image"], data["label"]), out["image"])
    small = RandThumbnaild("image", canvas=40, thumbnail=(0.3, 0.6)).set_random_state(1)(data)
    assert 0 < (small["image"] > 0).sum() < 0.4 * 40 * 40
    assert small["label"] is data["label"]


def test_samples_that_are_not_drawn_are_fitted_to_the_canvas():
    data = sample()
    out = RandSASd("image", "label", canvas=32, prob=0.0)(data)
    x, y = expected(data["image"], data["label"][0], 0, canvas=32, p=0.0)
    assert np.array_equal(out["image"].numpy(), x) and np.array_equal(out["label"][0].numpy(), y)


def test_without_metadata():
    data = sample()
    set_track_meta(False)
    try:
        out = RandSASd("image", "label", **MONAI).set_random_state(3)(data)
    finally:
        set_track_meta(True)
    x, _ = expected(data["image"], data["label"][0], seed_of(3), **SETTINGS)
    assert type(out["image"]) is torch.Tensor and np.array_equal(out["image"].numpy(), x)


def test_value_ranges():
    data = sample()
    with pytest.raises(ValueError, match=r"must hold the values .*it is \(0, 1\), got \d"):
        RandSAS(**MONAI)(data["image"].astype(np.float32), data["label"])
    x = RandSAS(**MONAI, value_range=(0, 255)).set_random_state(3)
    x = x(data["image"].astype(np.float32), data["label"])[0]
    expected_ = RandSAS(**MONAI).set_random_state(3)(data["image"], data["label"])[0]
    assert (x - expected_.float()).abs().max() <= 1


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: RandSAS(p=1.0), TypeError, r"called prob in MONAI, got p=1\.0"),
        (lambda: RandSAS(prob=2), ValueError, r"p must be in \[0, 1\], got 2"),
        (lambda: RandSASd("image"), ValueError, "mask_key must name the mask .* got None"),
        (lambda: RandThumbnail(labels=(1,)), TypeError, "must be of .* 'prob', .* got 'labels'"),
        (lambda: RandSAS()(np.zeros((1, 9, 9))), ValueError, "mask must be given"),
        (
            lambda: RandSAS()(np.zeros((9, 9)), np.zeros((1, 9, 9))),
            ValueError,
            r"img must be one image \[c h w\], got shape \(9, 9\)$",
        ),
        (
            lambda: RandSAS()(np.zeros((1, 9, 9, 9)), np.zeros((1, 9, 9, 9))),
            ValueError,
            r"mask must be one image \[c h w\], got shape \(1, 9, 9, 9\); volumes and clips need "
            r"frames=True and spatial_dim: 2 for \[c h w d\], as LoadImaged gives NIfTI volumes, "
            r"or 0 for \[c d h w\]$",
        ),
        (
            lambda: RandSAS(frames=True),
            ValueError,
            r"spatial_dim must be given with frames=True: 2 for \[c h w d\], .*; got None$",
        ),
        (lambda: RandSAS(spatial_dim=2), ValueError, "must be None without frames=True, got 2$"),
        (
            lambda: RandSAS(frames=True, spatial_dim=-1),
            ValueError,
            r"spatial_dim must be 0, 1 or 2: 2 for \[c h w d\], .*; got -1$",
        ),
        (
            lambda: RandSAS(frames=True, spatial_dim=2)(np.zeros((1, 9, 9)), np.zeros((1, 9, 9))),
            ValueError,
            r"mask must be one volume or clip \[c h w d\] with frames=True and spatial_dim=2, got "
            r"shape \(1, 9, 9\)$",
        ),
        (
            lambda: RandSASd("image", "seg")(sample()),
            KeyError,
            "mask_key must be in the sample, got 'seg'",
        ),
        (lambda: RandSASd("x", "label")(sample()), KeyError, "Key `x` of transform `RandSASd`"),
        (
            lambda: RandSASd("image", "label", sample_seed=1, id_key="id")(sample()),
            ValueError,
            "sample_id must be given where sample_seed is",
        ),
    ],
)
def test_misuse_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_missing_images_may_be_allowed():
    augment = RandSASd(["image", "other"], "label", allow_missing_keys=True, **MONAI)
    out = augment.set_random_state(3)(sample())
    assert np.array_equal(
        out["image"], RandSASd("image", "label", **MONAI).set_random_state(3)(sample())["image"]
    )


def test_it_tells_its_settings():
    assert repr(RandSAS(canvas=9, prob=0.2)) == "RandSAS(canvas=(9, 9), prob=0.2)"
    assert repr(RandThumbnail(prob=0.5)) == "RandThumbnail(prob=0.5)"
    augment = RandSASd(["image", "label"], "label", one_hot=True, value_range=(0, 9), id_key="id")
    assert repr(augment) == (
        "RandSASd(keys=('image',), mask_key=('label',), value_range=(0, 9), one_hot=True, "
        "id_key='id')"
    )


def test_names_and_pickles():
    for name in ("RandSAS", "RandThumbnail", "RandMaskedNoise"):
        made = getattr(adapter, f"{name}d")
        assert getattr(adapter, f"{name}D") is getattr(adapter, f"{name}Dict") is made
        augment = made("image", "label", prob=0.25)
        copy = pickle.loads(pickle.dumps(augment))
        assert copy.settings == augment.settings and copy.settings.p == copy.prob == 0.25
    assert RandSASd("image", "label").prob == RandSAS().settings.p == sasaug.SAS().p
    assert RandThumbnaild("image").prob == RandMaskedNoise().prob == 1.0


class Scans(torch.utils.data.Dataset):
    """Indexed by sample ids, epoch * SIZE + index; only what torch's own collate takes."""

    def __init__(self, transform):
        self.transform = transform

    def __len__(self):
        return SIZE

    def __getitem__(self, id):
        out = self.transform({**sample(id % SIZE), "sample_id": id})
        return out["image"].as_tensor(), out["label"].as_tensor()


def test_ids_make_the_same_batches_for_any_number_of_workers():
    ids = [int(i) for i in np.random.default_rng(0).permutation(2 * SIZE)]
    dataset = Scans(RandSASd("image", "label", sample_seed=9, **MONAI))
    alone = loaded(dataset, sampler=ids, batch_size=1)
    assert loaded(dataset, sampler=ids, batch_size=4, num_workers=2) == alone
    assert len({row[0] for row in alone}) == 2 * SIZE
    for id, (x, y) in zip(ids, alone, strict=True):
        image, mask = picture(id % SIZE)
        x_, y_ = expected(image, mask, 9, id, **SETTINGS)
        assert x == x_.tobytes() and y == y_.tobytes()


def test_workers_without_ids_differ_and_repeat():
    """monai's DataLoader gives every worker's transforms a state of their own."""
    data = [sample() for _ in range(8)]

    def draws():
        dataset = Dataset(data, Compose([RandSASd("image", "label", **MONAI)]))
        torch.manual_seed(2)
        loader = DataLoader(dataset, batch_size=1, num_workers=2)
        return [batch["image"].numpy().tobytes() for batch in loader]

    once = draws()
    assert len(set(once)) == 8
    assert draws() == once


def test_a_training_step_takes_the_batches():
    pipeline = Compose(
        [
            EnsureTyped(["image", "label"], dtype=torch.float32),
            ScaleIntensityRanged("image", 0, 255, 0, 1, clip=True),
            RandSASd("image", "label", **MONAI),
            SpatialPadd(["image", "label"], (48, 48)),
        ]
    )
    batch = next(iter(DataLoader(Dataset([sample(k) for k in range(3)], pipeline), batch_size=3)))
    logits = torch.nn.Conv2d(1, 3, 3, padding=1)(batch["image"].as_tensor())
    loss = torch.nn.functional.cross_entropy(logits, batch["label"][:, 0].as_tensor().long())
    loss.backward()
    assert batch["image"].shape == (3, 1, 48, 48) and batch["image"].max() <= 1
