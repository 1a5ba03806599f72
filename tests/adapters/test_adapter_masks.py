"""Masks that a host passes in ways that could be mistaken: every adapter reads them as meant."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import numpy as np
import pytest

import samples
from cases import disc
from samples import SETTINGS, expected, picture
from sasaug import _watch

torch = pytest.importorskip("torch")

SALT = {"salt_pepper": (1.0, 1.0)}
ALWAYS = {"p": 1.0, "apply_to": "all"}


class Pipeline:
    """A class of an adapter, called with an image [1 h w] of floats and planes [k h w]."""

    def __init__(self, host: str, step: str = "sas", **settings):
        samples.host(host)
        self.host, names = host, {"sas": 0, "noise": 1}
        if host == "albumentations":
            from sasaug.adapters.albumentations import SAS, MaskedNoise

            self.step = (SAS, MaskedNoise)[names[step]](**settings)
        elif host == "monai":
            from sasaug.adapters.monai import RandMaskedNoise, RandSAS

            if "p" in settings:
                settings["prob"] = settings.pop("p")
            self.step = (RandSAS, RandMaskedNoise)[names[step]](**settings)
        elif host == "torchvision":
            from sasaug.adapters.torchvision import SAS, RandomMaskedNoise

            self.step = (SAS, RandomMaskedNoise)[names[step]](**settings)
        elif host == "batchgeneratorsv2":
            from sasaug.adapters.batchgenerators import MaskedNoiseTransform, SASTransform

            self.step = (SASTransform, MaskedNoiseTransform)[names[step]](**settings)
        elif host == "kornia":
            from sasaug.adapters.kornia import RandomMaskedNoise, RandomSAS

            self.step = (RandomSAS, RandomMaskedNoise)[names[step]](**settings)

    def __call__(self, image, planes):
        """The image [h w] and the planes [k h w], of numpy."""
        x, y = torch.from_numpy(image), torch.from_numpy(planes)
        if self.host == "albumentations":
            out = self.step(image=image[0], mask=np.moveaxis(planes, 0, -1))
            return out["image"], np.moveaxis(out["mask"], -1, 0)
        if self.host == "monai":
            out = self.step(x, y)
            out = out if isinstance(out, tuple) else (out, y)
        elif self.host == "torchvision":
            from torchvision import tv_tensors

            out = self.step(tv_tensors.Image(x), tv_tensors.Mask(y))
        elif self.host == "batchgeneratorsv2":
            made = self.step(image=x, segmentation=y)
            out = made["image"], made["segmentation"]
        else:
            out = self.step(x[None], y[None])
            out = out[0][0], out[1][0]
        return np.asarray(out[0])[0], np.asarray(out[1])


HOSTS = ["albumentations", "monai", "torchvision", "batchgeneratorsv2", "kornia"]


def one_hot(dtype="float32", value=1):
    """An image [1 h w] in [0, 1], its label map [h w] and that as planes [3 h w]."""
    image, labels = picture()
    planes = np.stack([labels == label for label in range(3)])
    return image.astype(np.float32) / 255, labels, planes.astype(dtype) * np.array(value, dtype)


@pytest.mark.parametrize("host", HOSTS)
def test_one_hot_masks_with_a_background_are_refused_unless_named(host):
    image, _, planes = one_hot()
    for step in ("sas", "noise"):
        with pytest.raises(ValueError, match="got 3 channels, one of them set at every pixel"):
            Pipeline(host, step)(image, planes)
    # structures without a background are no such masks
    x, y = Pipeline(host, **ALWAYS, noise=None)(image, planes[1:])
    assert y.shape == (2, *x.shape) and not y.all(0).any()
    # and who says that there is none is believed
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = Pipeline(host, **ALWAYS, canvas=80, one_hot=False)(image, planes)[1]
    assert (y.sum(0) == 0).any()


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize(("dtype", "value"), [("float32", 1), ("uint8", 255), ("int64", 1)])
def test_named_one_hot_masks_stay_one_hot(host, dtype, value):
    image, labels, planes = one_hot(dtype, value)
    for _ in range(3):
        x, y = Pipeline(host, **SETTINGS, noise=SALT, one_hot=True)(image, planes)
        assert y.dtype == planes.dtype and y.shape == (3, *x.shape)
        assert (np.sort(y, 0) == np.array([0, 0, value])[:, None, None]).all()
        assert (y[0, 0] == value).all()  # the canvas around the thumbnail
    x, _ = Pipeline(host, "noise", noise=SALT, one_hot=True)(image, planes)
    hit = x != image[0]
    assert not hit[labels == 0].any() and hit[labels > 0].mean() > 0.9
    x, _ = Pipeline(host, "noise", noise=SALT, one_hot=True, labels=(2,))(image, planes)
    hit = x != image[0]
    assert not hit[labels != 2].any() and hit[labels == 2].mean() > 0.9


@pytest.mark.parametrize("host", HOSTS)
def test_small_structures_in_one_hot_masks_are_left_alone(host):
    image, labels, _ = one_hot()
    labels = np.zeros_like(labels)
    labels[20:24, 20:24] = 1
    planes = np.stack([labels == 0, labels == 1]).astype(np.float32)
    x, y = Pipeline(host, p=1.0, one_hot=True)(image, planes)
    assert np.array_equal(x, image[0]) and np.array_equal(y, planes)


@pytest.mark.parametrize("host", HOSTS)
def test_one_hot_is_checked(host):
    image, labels, planes = one_hot()
    with pytest.raises(ValueError, match="got 1 channel: a label map needs no one_hot"):
        Pipeline(host, one_hot=True)(image, labels[None].astype(np.float32))
    with pytest.raises(ValueError, match=r"labels must be channels .*, 1 to 2, got \[3\]"):
        Pipeline(host, one_hot=True, labels=(3,))(image, planes)
    with pytest.raises(TypeError, match="one_hot must be True, False or None, got 'yes'"):
        Pipeline(host, one_hot="yes")


@pytest.mark.parametrize("host", HOSTS)
def test_minus_zero_is_background(host):
    image, labels, _ = one_hot()
    for zero in (0.0, -0.0):
        plane = np.where(labels == 0, np.float32(zero), np.float32(1))[None]
        x, y = Pipeline(host, "noise", noise=SALT)(image, plane)
        assert not (x != image[0])[labels == 0].any()
    x, y = Pipeline(host, **SETTINGS)(image, plane)
    assert np.signbit(y[y == 0]).any()  # pixels are copied


@pytest.mark.parametrize("host", HOSTS)
def test_labels_that_occur_nowhere_are_told_once(host):
    image, labels, _ = one_hot()
    mask = ((labels > 0) * 255).astype(np.uint8)[None]
    pipeline = Pipeline(host, labels=(1,))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for _ in range(7):
            pipeline(image, mask)
        pipeline(image, mask * 0)  # says nothing
    assert not seen
    with pytest.warns(UserWarning) as seen:
        for _ in range(20):
            pipeline(image, mask)
    assert [str(one.message) for one in seen] == [
        "labels [1] are in none of the first 8 masks, which hold 0, 255: their ROI is empty. Name "
        "labels that they hold, or leave labels out: then any value but 0 is the ROI"
    ]


@pytest.mark.parametrize("worker", [0, 1])
def test_the_first_worker_tells_for_all(worker, monkeypatch):
    monkeypatch.setattr(_watch, "torch_worker", lambda: SimpleNamespace(id=worker))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        _watch.warn("once")
    assert len(seen) == (worker == 0)


@pytest.mark.parametrize("host", HOSTS)
def test_labels_that_are_rare_are_no_news(host):
    image, labels, _ = one_hot()
    pipeline = Pipeline(host, labels=(2,))
    pipeline(image, labels[None])
    for _ in range(20):
        pipeline(image, (labels == 1).astype(np.uint8)[None])


@pytest.mark.parametrize("host", HOSTS)
def test_masks_that_cover_every_image_are_told_once(host):
    image, labels, _ = one_hot()
    background = (labels + 1)[None]  # labels 1 to 3
    pipeline = Pipeline(host)
    with pytest.warns(UserWarning, match="the whole image in all of the first 8 samples") as seen:
        for _ in range(20):
            pipeline(image, background)
    assert len(seen) == 1
    pipeline = Pipeline(host)
    pipeline(image, labels[None])
    for _ in range(20):  # a patch inside of an organ, now and then
        pipeline(image, background)


def test_jax_tells_of_masks_too():
    samples.host("jax")
    import jax.numpy as jnp

    from sasaug.adapters.jax import SAS

    images, masks = np.zeros((8, 32, 32), np.uint8), disc(8, 32).astype(np.uint8) * 255
    with pytest.warns(UserWarning, match=r"labels \[1\] are in none of the first 8 masks"):
        SAS(labels=(1,))(jnp.asarray(images), jnp.asarray(masks), 7)
    with pytest.warns(UserWarning, match="the whole image in all of the first 8 samples"):
        SAS()(jnp.asarray(images), jnp.ones((8, 32, 32), jnp.uint8), 7)


@pytest.mark.parametrize("host", ["torchvision", "albumentations"])
def test_samples_without_any_instance_are_small(host):
    image, labels, _ = one_hot()
    x_, _ = expected(image, np.zeros_like(labels), 0, canvas=48)
    x, y = Pipeline(host, canvas=48, p=1.0)(image, np.zeros((0, *labels.shape), np.uint8))
    assert y.shape == (0, 48, 48) and np.array_equal(x, x_[0])
