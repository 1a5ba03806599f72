"""sasaug.adapters.kornia: from AugmentationSequential to a training step's input."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import samples
import sasaug
from cases import disc
from samples import SETTINGS

torch = pytest.importorskip("torch")
samples.host("kornia")
import kornia.augmentation as K  # noqa: E402

from sasaug.adapters.kornia import (  # noqa: E402
    RandomMaskedNoise,
    RandomSAS,
    RandomSAS3D,
    RandomThumbnail,
    RandomThumbnail3D,
)


def batch(n: int = 3, channels: int = 1):
    """Images [n c 60 50] in [0, 1], and masks [n 60 50] with labels 0, 1, 2."""
    masks = disc(n, 60)[:, :, 5:55].astype(np.int64)
    masks[:, 30:] *= 2
    images = np.random.default_rng(0).random((n, channels, 60, 50)).astype(np.float32)
    return torch.from_numpy(images), torch.from_numpy(masks)


def volumes():
    """Volumes [3 1 4 60 50] in [0, 1], and masks [3 4 60 50] with labels 0, 1, 2."""
    images, masks = batch(n=12)
    return images.reshape(3, 4, 1, 60, 50).swapaxes(1, 2), masks.reshape(3, 4, 60, 50)


def sequential(*augmentations, keys=("input", "mask")):
    return K.AugmentationSequential(*augmentations, data_keys=list(keys))


def seed_of(augmentation) -> int:
    """The seed that it drew last."""
    return int(augmentation._params["seed"])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.int64, torch.float32, torch.uint8])
def test_output_is_that_of_sasaug(channels, dtype):
    images, masks = batch(channels=channels)
    augment = RandomSAS(**SETTINGS)
    x, y = sequential(augment)(images, masks[:, None].to(dtype))
    x_, y_ = sasaug.sas(images, masks, seed=seed_of(augment), **SETTINGS)
    assert torch.equal(x, x_) and y.dtype == dtype and torch.equal(y[:, 0], y_.to(dtype))
    x, y = augment(images, masks.to(dtype))
    x_, y_ = sasaug.sas(images, masks, seed=seed_of(augment), **SETTINGS)
    assert torch.equal(x, x_) and torch.equal(y, y_.to(dtype))


def test_seeds_are_torchs_and_parameters_replay():
    images, masks = batch()
    augment = sequential(RandomSAS(**SETTINGS), K.RandomHorizontalFlip())
    torch.manual_seed(3)
    x, y = augment(images, masks[:, None])
    params = augment._params
    sizes = [value.numel() for item in params for value in item.data.values()]
    assert max(sizes) <= 4  # no image, mask or noise is kept
    again = augment(images, masks[:, None])
    assert not torch.equal(again[0], x)
    other = augment(images, masks[:, None], params=params)
    assert torch.equal(other[0], x) and torch.equal(other[1], y)
    torch.manual_seed(3)
    assert torch.equal(augment(images, masks[:, None])[0], x)


def test_it_sees_the_mask_as_the_augmentations_before_left_it():
    images, masks = batch()
    augment = RandomMaskedNoise(noise={"salt_pepper": (1.0, 1.0)}, labels=(2,))
    x, y = sequential(K.RandomVerticalFlip(p=1.0), augment)(images, masks[:, None])
    hit = (x != images.flip(2))[:, 0]
    assert torch.equal(y[:, 0], masks.flip(1))
    assert not hit[y[:, 0] != 2].any() and hit[y[:, 0] == 2].float().mean() > 0.9


def test_boxes_and_points_follow():
    images, masks = batch()
    rows, columns = (masks[0] > 0).nonzero().T
    box = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()
    centres = torch.stack([box[:2], box[2:] - 1])  # of the first pixel and the last
    augment = sequential(
        RandomSAS(**SETTINGS, position="random"),
        keys=("input", "mask", "bbox_xyxy", "keypoints"),
    )
    out = augment(images, masks[:, None], box.expand(3, 1, 4), centres.expand(3, 2, 2))
    assert out[3].shape == (3, 2, 2)
    for y, moved, points in zip(out[1][:, 0], out[2], out[3], strict=True):
        rows, columns = (y > 0).nonzero().T
        seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert (moved[0] - torch.stack(seen)).abs().max() <= 1.01  # kornia's boxes are of centres
        ends = torch.stack([*seen[:2], seen[2] - 1, seen[3] - 1])
        assert (points.ravel() - ends).abs().max() <= 0.76
    noise = sequential(RandomMaskedNoise(), keys=("input", "mask", "bbox_xyxy", "keypoints"))
    out = noise(images, masks[:, None], box.expand(3, 1, 4), centres.expand(3, 2, 2))
    assert torch.equal(out[2], box.expand(3, 1, 4)) and torch.equal(out[3][0], centres)


def test_volumes_and_videos_in_containers():
    images, masks = volumes()
    augment = RandomSAS3D(**SETTINGS)
    x, y = sequential(augment)(images, masks)
    x_, y_ = sasaug.sas(images, masks, seed=seed_of(augment), frames=True, **SETTINGS)
    assert torch.equal(x, x_) and torch.equal(y, y_)
    flip = K.VideoSequential(K.RandomHorizontalFlip(p=1.0), data_format="BCTHW")
    pipeline = sequential(augment, flip)
    x, y = pipeline(images, masks[:, None])
    x_, y_ = sasaug.sas(images, masks, seed=seed_of(augment), frames=True, **SETTINGS)
    assert torch.equal(x, x_.flip(-1)) and torch.equal(y[:, 0], y_.flip(-1))
    again, _ = pipeline(images, masks[:, None], params=pipeline._params)
    assert torch.equal(again, x)
    inside = sequential(K.VideoSequential(RandomThumbnail(), data_format="BCTHW"))
    with pytest.raises(ValueError, match="RandomThumbnail must not be in a VideoSequential, which"):
        inside(images, masks[:, None])
    points = sequential(RandomThumbnail3D(), flip, keys=("input", "keypoints"))
    with pytest.raises(ValueError, match="must be input and mask, got keypoints"):
        points(images, torch.ones(3, 4, 2, 2))


def test_one_hot_masks():
    images, masks = batch()
    augment = RandomSAS(**SETTINGS)
    one_hot = torch.stack([masks == 1, masks == 2], 1)
    x, y = sequential(augment)(images, one_hot.float())
    x_, y_ = sasaug.sas(images, masks, seed=seed_of(augment), **SETTINGS)
    assert torch.equal(x, x_)
    assert torch.equal(y, torch.stack([y_ == 1, y_ == 2], 1).float())


def test_same_on_batch():
    images, masks = batch()
    images, masks = images[:1].expand(3, -1, -1, -1), masks[:1, None].expand(3, -1, -1, -1)
    x, _ = sequential(RandomSAS(**SETTINGS))(images, masks)
    assert not torch.equal(x[0], x[1])
    for augment in (
        sequential(RandomSAS(**SETTINGS, same_on_batch=True)),
        K.AugmentationSequential(
            RandomSAS(**SETTINGS), data_keys=["input", "mask"], same_on_batch=True
        ),
    ):
        x, _ = augment(images, masks)
        assert torch.equal(x[0], x[1]) and torch.equal(x[0], x[2])


def test_single_steps_and_probability():
    images, masks = batch()
    x = RandomThumbnail(canvas=40, thumbnail=(0.3, 0.6), data_keys=["input"])(images)
    assert x.shape == (3, 1, 40, 40) and 0 < (x > 0).float().mean() < 0.4
    x, y = sequential(RandomSAS(p=0.0, canvas=32))(images, masks[:, None])
    x_, y_ = sasaug.sas(images, masks, seed=0, canvas=32, p=0.0)
    assert torch.equal(x, x_) and torch.equal(y[:, 0], y_)


def test_value_ranges():
    images, masks = batch()
    with pytest.raises(ValueError, match=r"pass value_range=\(black, full scale\)"):
        RandomSAS(**SETTINGS)(images * 255, masks)
    augment = RandomSAS(**SETTINGS, value_range=(0, 255))
    x, _ = augment(images * 255, masks)
    x_, _ = sasaug.sas(images, masks, seed=seed_of(augment), **SETTINGS)
    assert torch.allclose(x, x_ * 255, atol=1e-3)
    with pytest.raises(ValueError, match=r"value_range must be \(low, high\), one for the whole"):
        RandomSAS(value_range="sample")


@pytest.mark.filterwarnings("default", "error:::sasaug", "error:Dynamo detected")
def test_compiled_steps_break_the_graph_here():
    images, masks = batch(8)
    augment = RandomSAS(**SETTINGS)
    pipeline = sequential(augment, keys=("input", "mask"))

    def step(images, masks):
        x, y = pipeline(images + 0, masks)
        return x * 2, y

    compiled = torch.compile(step, backend="eager")
    seeds = set()
    for _ in range(3):
        x, y = compiled(images, masks[:, None])
        x_, y_ = sasaug.sas(images, masks, seed=seed_of(augment), **SETTINGS)
        assert torch.equal(x, x_ * 2) and torch.equal(y[:, 0], y_)
        seeds.add(seed_of(augment))
    assert len(seeds) == 3
    direct = torch.compile(lambda images, masks: augment(images, masks)[0] * 2, backend="eager")
    assert direct(images, masks).shape == x.shape
    several = torch.stack([masks == 1, masks == 2], 1).float()
    x, y = torch.compile(lambda *pair: augment(*pair), backend="eager")(images, several)
    y_ = sasaug.sas(images, masks, seed=seed_of(augment), **SETTINGS)[1]
    assert torch.equal(y[:, 0] + 2 * y[:, 1], y_.float())


def test_ranks_of_masks():
    images, masks = batch()
    for keepdim in (False, True):
        augment = sequential(RandomSAS(**SETTINGS, keepdim=keepdim))
        shape = augment(images, masks)[1].shape
        assert shape == ((3, 48, 40) if keepdim else (3, 1, 48, 40))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x, y: RandomSAS(p=2), ValueError, r"p must be in \[0, 1\], got 2"),
        (lambda x, y: RandomSAS(scale=2), TypeError, "settings must be of .*, got 'scale'"),
        (lambda x, y: RandomSAS(p=1.0)(x * 255, y), ValueError, "must hold the values of float"),
        (lambda x, y: RandomSAS()(x), ValueError, "inputs must be as many as data_keys, 2, got 1"),
        (lambda x, y: RandomSAS(data_keys=["input"])(x), ValueError, "must hold a mask, the ROI"),
        (lambda x, y: sequential(RandomSAS(), keys=["input"])(x), ValueError, "must hold a mask"),
        (lambda x, y: RandomSAS()(x[0], y[0]), ValueError, r"input must be \[n c h w\], got shape"),
        (lambda x, y: RandomSAS3D()(x, y), ValueError, r"input must be \[n c d h w\], got shape"),
        (
            lambda x, y: RandomSAS3D()(x[:, :, None], y),
            ValueError,
            r"mask must be \[n c d h w\] or \[n d h w\], got shape \(3, 60, 50\)$",
        ),
        (
            lambda x, y: RandomThumbnail(frames=True),
            TypeError,
            "frames must be left to the class, RandomThumbnail3D for volumes and videos, "
            "RandomThumbnail for images; got frames=True",
        ),
        (
            lambda x, y: RandomSAS(data_keys=["input", "mask", "bbox"])(x, y, y),
            ValueError,
            "data_keys of a direct call must be input and mask, got bbox",
        ),
    ],
)
def test_misuse_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(*batch())


def test_it_tells_and_keeps_its_settings():
    for augment in (RandomSAS(canvas=9, p=0.2), RandomThumbnail3D(), RandomMaskedNoise()):
        copy = pickle.loads(pickle.dumps(augment))
        assert copy.settings == augment.settings and repr(copy) == repr(augment)
    for kind in (RandomSAS, RandomSAS3D):
        assert repr(kind(canvas=9, p=0.2)) == f"{kind.__name__}(canvas=(9, 9), p=0.2)"
    augment = RandomThumbnail(data_keys=["input"], keepdim=True, same_on_batch=True)
    shown = "RandomThumbnail(same_on_batch=True, keepdim=True, data_keys=['input'])"
    assert repr(augment) == shown
    shown = "RandomSAS(value_range=(0, 255), one_hot=True)"
    assert repr(RandomSAS(value_range=(0, 255), one_hot=True)) == shown
    assert RandomSAS().settings.p == 0.5 and RandomThumbnail().settings.p == 1.0


@pytest.mark.parametrize("deep", [False, True])
def test_a_training_step_takes_the_batches_of_a_loader(deep):
    images, masks = batch(8)
    augment = sequential(RandomSAS(**SETTINGS), K.RandomHorizontalFlip())
    if deep:  # volumes of four slices
        images, masks = (array[:, None].expand(8, 4, *array.shape[1:]) for array in (images, masks))
        images = images.swapaxes(1, 2)
        flip = K.VideoSequential(K.RandomHorizontalFlip(), data_format="BCTHW")
        augment = sequential(RandomSAS3D(**SETTINGS), flip)

    def collate(rows):
        return augment(*(torch.stack(column) for column in zip(*rows, strict=True)))

    pairs = torch.utils.data.TensorDataset(images, masks[:, None])

    def draws(workers):
        torch.manual_seed(1)
        options = {"batch_size": 4, "num_workers": workers, "collate_fn": collate}
        return list(torch.utils.data.DataLoader(pairs, **options))

    (x, y), other = draws(2)
    assert torch.equal(draws(2)[0][0], x) and not torch.equal(other[0], x)
    logits = (torch.nn.Conv3d if deep else torch.nn.Conv2d)(1, 3, 3, padding=1)(x)
    torch.nn.functional.cross_entropy(logits, y[:, 0]).backward()
    assert x.shape == ((4, 1, 4, 48, 40) if deep else (4, 1, 48, 40))
