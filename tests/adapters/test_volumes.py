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
    "torchvision [t h w]": "torchvision",
    "torchvision [t k h w]": "torchvision",
    "kornia": "kornia",
    "albumentations volume": "albumentations",
    "albumentations images": "albumentations",
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


def torchvision(layout, step, **settings):
    from torchvision import tv_tensors

    from sasaug.adapters.torchvision import SAS, RandomMaskedNoise, RandomThumbnail, SampleId

    kinds = {"sas": SAS, "noise": RandomMaskedNoise, "thumbnail": RandomThumbnail}
    augment = kinds[step](sample_seed=SEED, frames=True, **settings)

    def run(image, planes):
        video, mask = (torch.from_numpy(array).swapaxes(0, 1) for array in (image, planes))
        mask = mask[:, 0] if layout == "[t h w]" else mask
        x, y, _ = augment(tv_tensors.Video(video), tv_tensors.Mask(mask), SampleId(ID))
        assert type(x) is tv_tensors.Video and type(y) is tv_tensors.Mask
        y = y[:, None] if layout == "[t h w]" else y
        return [array.numpy().swapaxes(0, 1) for array in (x, y)]

    return run


def kornia(layout, step, **settings):
    from sasaug.adapters.kornia import RandomMaskedNoise3D, RandomSAS3D, RandomThumbnail3D

    kinds = {"sas": RandomSAS3D, "noise": RandomMaskedNoise3D, "thumbnail": RandomThumbnail3D}
    augment = kinds[step](**settings)
    augment.generate_parameters = lambda shape: {"seed": torch.tensor([SEED])}  # or torch's own

    def run(image, planes):
        volumes, masks = torch.from_numpy(image)[None], torch.from_numpy(planes)[None]
        x, y = augment(volumes, masks)
        return x[0].numpy(), y[0].numpy()

    return run


def albumentations(layout, step, **settings):
    import albumentations as A

    from sasaug.adapters.albumentations import SAS, MaskedNoise, Thumbnail

    kinds = {"sas": SAS, "noise": MaskedNoise, "thumbnail": Thumbnail}
    augment = A.Compose([kinds[step](sample_seed=SEED, frames=True, **settings)])
    keys = {"volume": ("volume", "mask3d"), "images": ("images", "masks")}[layout]

    def run(image, planes):
        there = [np.moveaxis(array, 0, -1) for array in (image, planes)]
        if len(planes) == 1:
            there[1] = there[1][..., 0]
        out = augment(**dict(zip(keys, there, strict=True)), sample_id=ID)
        x, y = (out[key] for key in keys)
        return np.moveaxis(x, -1, 0), y[None] if len(planes) == 1 else np.moveaxis(y, -1, 0)

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


@pytest.fixture
def host_of_planes(host):
    """A host in the layouts in which a mask may have several planes."""
    if host == "torchvision [t h w]":
        pytest.skip("one mask for each frame")
    return host


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


def test_planes_of_structures_follow(host_of_planes):
    image, mask = clip()
    planes = np.stack([mask == 1, mask == 2])
    x, y = pipeline(host_of_planes, **SETTINGS)(image, planes.astype(np.float32))
    x_, y_ = expected(image, mask, SEED, ID, frames=True, **SETTINGS)
    assert np.array_equal(x, x_) and np.array_equal(y, np.stack([y_ == 1, y_ == 2]))


def test_one_hot_masks_stay_one_hot(host_of_planes):
    image, mask = clip()
    planes = np.stack([mask == label for label in range(3)]).astype(np.int16)
    with pytest.raises(ValueError, match="got 3 channels, one of them set at every pixel"):
        pipeline(host_of_planes, **SETTINGS)(image, planes)
    x, y = pipeline(host_of_planes, **SETTINGS, one_hot=True)(image, planes)
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
    if host == "kornia":
        pytest.skip("one range for the whole batch")
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


@pytest.mark.parametrize("dim", [0, 1, 2])
def test_spacing_of_volumes_follows_in_plane(dim):
    """A voxel's place in the world stays where it was, and a slice's thickness what it was."""
    samples.host("monai")
    from monai.data import MetaTensor

    from sasaug.adapters.monai import RandThumbnail

    spacing = [0.3, 0.3]
    spacing.insert(dim, 5.0)
    affine = torch.diag(torch.tensor([*spacing, 1.0], dtype=torch.float64))
    affine[:3, 3] = torch.tensor([5.0, -7.0, 2.0])
    mask = torch.zeros(1, 60, 50, 6)
    mask[0, 20:40, 10:30, 2:5] = 1
    image = MetaTensor(mask.movedim(3, dim + 1), affine=affine)
    how = {"canvas": 150, "thumbnail": (120, 120), "position": "random"}
    augment = RandThumbnail(**how, frames=True, spatial_dim=dim).set_random_state(1)
    x = augment(image)
    shape = [150, 150]
    shape.insert(dim, 6)
    assert x.shape == (1, *shape)

    def centre(volume):
        place = (volume[0] > 0.5).nonzero().double().mean(0)
        return (volume.affine @ torch.cat([place, torch.ones(1, dtype=torch.float64)]))[:3]

    assert torch.allclose(centre(x), centre(image), atol=0.01)
    spacing = [0.15, 0.15]
    spacing.insert(dim, 5.0)
    assert torch.allclose(x.pixdim, torch.tensor(spacing, dtype=torch.float64))
    back = augment.inverse(x)
    assert back.shape == image.shape and torch.allclose(back.affine, affine)
    assert not back.applied_operations
    assert torch.equal(back > 0.5, image > 0.5)


@pytest.mark.parametrize("side", [140, 25])  # enlarged, so that nothing is lost; and shrunk
def test_inverse_takes_predictions_of_volumes_back(side):
    samples.host("monai")
    from monai.data import DataLoader, Dataset, decollate_batch
    from monai.transforms import Compose, Invertd

    from sasaug.adapters.monai import RandSASd

    image, mask = (np.moveaxis(array, -3, -1) for array in clip())
    data = {"image": image, "label": mask[None]}
    how = {"canvas": 160, "thumbnail": (side, side + 9), "frames": True, "spatial_dim": 2}
    pipeline = Compose([RandSASd("image", "label", prob=1.0, **how)]).set_random_state(seed=2)
    batch = next(iter(DataLoader(Dataset([data], pipeline), batch_size=1)))
    batch["pred"] = (batch["label"] == 1).float()
    post = Invertd("pred", pipeline, orig_keys="label", nearest_interp=True)
    pred = post(decollate_batch(batch)[0])["pred"].as_tensor()
    assert pred.unique().tolist() == [0, 1]  # by the nearest-exact rule
    differs = (pred > 0) != torch.as_tensor(data["label"] == 1)
    assert differs.float().mean() <= (0 if side > 100 else 0.05)


class Clips(torch.utils.data.Dataset):
    """Indexed by sample ids, epoch * SIZE + index; of one size, as a network takes them."""

    def __init__(self, host):
        samples.host(HOSTS[host])
        self.transform = globals()[f"in_{host.partition(' ')[0]}"]

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
        RandSASd(
            keys,
            mask_key="label",
            frames=True,
            spatial_dim=2,
            sample_seed=SEED,
            canvas=48,
            prob=1.0,
        ),
        RandFlipd(keys, prob=0.5, spatial_axis=1),
    ]
    there = {"image": np.moveaxis(image, 1, 3), "label": np.moveaxis(planes, 1, 3), "sample_id": id}
    out = Compose(steps).set_random_state(seed=id)(there)
    return tuple(out[key].as_tensor().movedim(3, 1) for key in keys)


def in_batchgenerators(image, planes, id):
    from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
    from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms

    from sasaug.adapters.batchgenerators import SASTransform

    how = {"frames": True, "sample_seed": SEED, "value_range": "sample", "canvas": 48, "p": 1.0}
    steps = ComposeTransforms([SASTransform(**how), MirrorTransform((0, 1, 2))])
    image = (torch.from_numpy(image).float() - 127) / 74
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(id)
        out = steps(image=image, segmentation=torch.from_numpy(planes), sample_id=id)
    return out["image"], out["segmentation"]


def in_torchvision(image, planes, id):
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    from sasaug.adapters.torchvision import SAS, SampleId

    video, masks = (torch.from_numpy(array).swapaxes(0, 1) for array in (image, planes))
    to_float = v2.ToDtype({tv_tensors.Video: torch.float32, "others": None}, scale=True)
    steps = [
        SAS(frames=True, sample_seed=SEED, canvas=48, p=1.0), v2.RandomHorizontalFlip(), to_float,
    ]  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(id)
        x, y, _ = v2.Compose(steps)(
            tv_tensors.Video(video), tv_tensors.Mask(masks[:, 0]), SampleId(id)
        )
    return torch.as_tensor(x).swapaxes(0, 1), torch.as_tensor(y)[None]


def in_albumentations(image, planes, id):
    import albumentations as A

    from sasaug.adapters.albumentations import SAS

    steps = [SAS(frames=True, sample_seed=SEED, canvas=48, p=1.0), A.HorizontalFlip(p=0.5)]
    compose = A.Compose(steps)
    compose.set_random_seed(id)
    out = compose(volume=image[0], mask3d=planes[0], sample_id=id)
    return torch.from_numpy(out["volume"])[None].float(), torch.from_numpy(out["mask3d"])[None]


IN_LOADERS = [
    "monai [c h w d]", "batchgenerators", "torchvision [t h w]", "albumentations volume",
]  # fmt: skip


@pytest.mark.parametrize("host", IN_LOADERS)
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
