"""Volumes and clips (``frames=True``) in every host: one draw for all slices or frames."""

from __future__ import annotations

import numpy as np
import pytest

import samples
from samples import SETTINGS, SIZE, clip, expected, loaded

torch = pytest.importorskip("torch")

SALT = {"salt_pepper": (1.0, 1.0)}
SEED, ID = 9, 0
#: For each host: the module of its library.
HOSTS = {
    "monai [c h w d]": "monai",
    "monai [c h d w]": "monai",
    "monai [c d h w]": "monai",
    "batchgenerators": "batchgeneratorsv2",
}


def monai(layout, step, p=None, **settings):
    from sasaug.adapters.monai import RandMaskedNoise, RandSAS, RandThumbnail

    dim = layout.strip("[]").split().index("d") - 1
    kinds = {"sas": RandSAS, "noise": RandMaskedNoise, "thumbnail": RandThumbnail}
    settings |= {"sample_seed": SEED, "frames": True, "spatial_dim": dim}
    augment = kinds[step](p, **settings)

    def run(image, planes):
        there = [torch.from_numpy(a).movedim(1, dim + 1).contiguous() for a in (image, planes)]
        out = augment(*there, ID)
        x, y = out if step != "noise" else (out, there[1])
        return [a.movedim(dim + 1, 1).numpy() for a in (x, y)]

    return run


def batchgenerators(layout, step, **settings):
    from sasaug.adapters.batchgenerators import (
        MaskedNoiseTransform,
        SASTransform,
        ThumbnailTransform,
    )

    kinds = {"sas": SASTransform, "noise": MaskedNoiseTransform, "thumbnail": ThumbnailTransform}
    augment = kinds[step](sample_seed=SEED, frames=True, **settings)

    def run(image, planes):
        image, planes = torch.from_numpy(image), torch.from_numpy(planes)
        out = augment(image=image, segmentation=planes, sample_id=ID)
        return out["image"].numpy(), out["segmentation"].numpy()

    return run


def pipeline(host, step="sas", **settings):
    """A class of an adapter, called with a clip [c t h w] and its planes [k t h w], of numpy."""
    samples.host(HOSTS[host])
    name, _, layout = host.partition(" ")
    return globals()[name](layout, step, **settings)


@pytest.fixture(params=HOSTS)
def host(request):
    samples.host(HOSTS[request.param])
    return request.param


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
def test_output_is_that_of_sasaug(host, channels, dtype):
    image, mask = clip(channels=channels)
    x, y = pipeline(host, **SETTINGS)(image, mask[None].astype(dtype))
    x_, y_ = expected(image, mask, SEED, ID, frames=True, **SETTINGS)
    assert x.shape == (channels, 5, *SETTINGS["canvas"]) and x.dtype == np.uint8
    assert np.array_equal(x, x_)
    assert y.dtype == dtype and np.array_equal(y[0], y_)


def test_all_frames_share_a_thumbnail_but_not_the_noise(host):
    """A still: every frame has its thumbnail at the same place, and noise of its own."""
    image, mask = (np.repeat(array[..., :1, :, :], 4, -3) for array in clip())
    x, y = pipeline(host, **SETTINGS, position="random", noise=SALT)(image, mask[None])
    outside = y[0, 0] == 0
    for frame in range(1, 4):
        assert np.array_equal(y[0, frame], y[0, 0])
        assert np.array_equal(x[0, frame][outside], x[0, 0][outside])
        assert (x[0, frame] != x[0, 0]).any()


def test_a_mask_lies_where_its_object_does(host):
    _, mask = clip()
    x, y = pipeline(host, **SETTINGS, position="random", noise=None)(
        (mask[None] > 0).astype(np.uint8) * 200, mask[None]
    )
    assert ((x > 100) == (y > 0)).mean() > 0.98 and (y > 0).mean() > 0.02


def test_small_is_judged_by_the_whole_clip(host):
    image, mask = clip(frames=40)
    mask[:] = 0
    mask[7] = 1  # 2.5 %
    x, y = pipeline(host, p=1.0)(image, mask[None])
    assert np.array_equal(x, image) and np.array_equal(y[0], mask)
    mask[8] = 1
    assert not np.array_equal(pipeline(host, p=1.0)(image, mask[None])[0], image)


def test_planes_of_structures_follow(host):
    image, mask = clip()
    planes = np.stack([mask == 1, mask == 2])
    x, y = pipeline(host, **SETTINGS)(image, planes.astype(np.float32))
    x_, y_ = expected(image, mask, SEED, ID, frames=True, **SETTINGS)
    assert np.array_equal(x, x_) and np.array_equal(y, np.stack([y_ == 1, y_ == 2]))


def test_one_hot_masks_stay_one_hot(host):
    image, mask = clip()
    planes = np.stack([mask == label for label in range(3)]).astype(np.int16)
    with pytest.raises(ValueError, match="got 3 channels, one of them set at every pixel"):
        pipeline(host, **SETTINGS)(image, planes)
    x, y = pipeline(host, **SETTINGS, one_hot=True)(image, planes)
    x_, y_ = expected(image, mask, SEED, ID, frames=True, **SETTINGS)
    assert np.array_equal(x, x_)
    assert np.array_equal(y, np.stack([y_ == label for label in range(3)]))


def test_single_steps(host):
    image, mask = clip()
    x, y = pipeline(host, "noise", noise=SALT, labels=(2,))(image, mask[None])
    hit = (x != image)[0]
    assert not hit[mask != 2].any() and hit[mask == 2].mean() > 0.9
    assert np.array_equal(y[0], mask)
    x, y = pipeline(host, "thumbnail", canvas=40, thumbnail=(20, 20))(image, mask[None])
    how = {"canvas": 40, "thumbnail": (20, 20), "noise": None, "p": 1.0, "apply_to": "all"}
    x_, y_ = expected(image, mask, SEED, ID, frames=True, **how)
    assert np.array_equal(x, x_) and np.array_equal(y[0], y_)


def test_a_clip_has_one_value_range(host):
    image, mask = clip()
    scores = image.astype(np.float32) / 50 - 2
    scores[:, 2] -= 3  # one frame is darker: its black is the black of all
    x, _ = pipeline(host, **SETTINGS, value_range="sample")(scores, mask[None])
    value_range = (float(scores.min()), float(scores.max()))
    x_, _ = expected(scores, mask, SEED, ID, frames=True, value_range=value_range, **SETTINGS)
    assert np.array_equal(x, x_) and (x[:, :, 0, 0] == scores.min()).all()


def test_a_clip_is_one_mask_of_those_that_are_looked_at(host):
    image, mask = clip()
    run = pipeline(host, "noise")
    for _ in range(7):
        run(image, mask[None] * 0 + 1)
    with pytest.warns(UserWarning, match="the whole image in all of the first 8 samples"):
        run(image, mask[None] * 0 + 1)


class Clips(torch.utils.data.Dataset):
    """Indexed by sample ids, epoch * SIZE + index; of one size, as a network takes them."""

    def __init__(self, host):
        samples.host(HOSTS[host])
        self.transform = {"monai": in_monai, "batchgenerators": in_batchgenerators}[
            host.partition(" ")[0]
        ]

    def __len__(self):
        return SIZE

    def __getitem__(self, id):
        image, mask = clip(id % SIZE)
        return self.transform(image, mask[None].astype(np.int16), id)


def in_monai(image, planes, id):
    from monai.transforms import Compose, EnsureTyped, RandFlipd, ScaleIntensityRanged

    from sasaug.adapters.monai import RandSASd

    keys = ["image", "label"]
    steps = [
        EnsureTyped(keys, dtype=torch.float32),
        ScaleIntensityRanged("image", 0, 255, 0, 1),
        RandSASd(keys, mask_key="label", frames=True, spatial_dim=2, sample_seed=SEED, canvas=48),
        RandFlipd(keys, prob=0.5, spatial_axis=1),
    ]
    there = {"image": np.moveaxis(image, 1, 3), "label": np.moveaxis(planes, 1, 3), "sample_id": id}
    out = Compose(steps).set_random_state(seed=id)(there)
    return tuple(out[key].as_tensor().movedim(3, 1) for key in keys)


def in_batchgenerators(image, planes, id):
    from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
    from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms

    from sasaug.adapters.batchgenerators import SASTransform

    how = {"frames": True, "sample_seed": SEED, "value_range": "sample", "canvas": 48}
    steps = ComposeTransforms([SASTransform(**how), MirrorTransform((0, 1, 2))])
    image = (torch.from_numpy(image).float() - 127) / 74
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(id)
        out = steps(image=image, segmentation=torch.from_numpy(planes), sample_id=id)
    return out["image"], out["segmentation"]


@pytest.mark.parametrize("host", ["monai [c h w d]", "batchgenerators"])
def test_a_training_step_takes_the_batches_of_two_workers(host):
    ids = [int(i) for i in np.random.default_rng(0).permutation(2 * SIZE)]
    data = Clips(host)
    alone = loaded(data, sampler=ids, batch_size=1)
    assert loaded(data, sampler=ids, batch_size=4, num_workers=2) == alone
    assert len({row[0] for row in alone}) == 2 * SIZE
    loader = torch.utils.data.DataLoader(
        data, batch_size=3, num_workers=2, multiprocessing_context="fork"
    )
    (x, y), _ = loader
    assert x.shape == (3, 1, 5, 48, 48) and y.shape == (3, 1, 5, 48, 48)
    logits = torch.nn.Conv3d(1, 3, 3, padding=1)(x)
    torch.nn.functional.cross_entropy(logits, y[:, 0].long()).backward()
