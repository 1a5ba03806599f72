"""A first call that is wrong is told the call that is right; what is empty passes."""

from __future__ import annotations

import numpy as np
import pytest

import samples
import sasaug
from samples import SETTINGS, picture
from test_adapter_masks import HOSTS, Pipeline

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("host", HOSTS)
def test_channels_on_the_wrong_axis_are_told_a_call_that_the_host_knows(host):
    """No adapter but JAX's takes ``channels``, which sasaug itself advises."""
    image, mask = picture(channels=3)
    pipeline = Pipeline(host)
    wrong = np.ascontiguousarray(np.moveaxis(image, 0, -1)) / np.float32(255)  # [h w c]
    call, axes = "a.movedim(-1, -3)", "c h w"
    if host == "albumentations":
        wrong, axes, call = image[None], "h w c", "np.moveaxis(a, 0, -1)"  # the step takes [0]
    c = wrong.shape[0] if host != "albumentations" else wrong.shape[-1]
    with pytest.raises(ValueError) as error:
        pipeline(wrong, mask[None])
    text = str(error.value)
    assert f"the image must have 1 to 4 channels, got {c} in shape " in text
    assert text.endswith(f"read as [{axes}]; {call} makes them the right axis")
    assert "channels=" not in text
    many = np.zeros((5, *mask.shape), np.float32)
    if host == "albumentations":
        many = np.moveaxis(many, 0, -1)[None]
    with pytest.raises(ValueError, match=rf"got 5 in shape .*, read as \[{axes}\]$"):
        pipeline(many, mask[None])


def test_numpy_arrays_are_told_the_hosts_call():
    image, mask = picture()
    samples.host("torchvision")
    from sasaug.adapters.torchvision import SAS

    with pytest.raises(TypeError, match=r"got a numpy array: put v2\.ToImage\(\) before"):
        SAS()(image, mask)
    samples.host("batchgeneratorsv2")
    from sasaug.adapters.batchgenerators import SASTransform

    with pytest.raises(TypeError, match=r"image must be a tensor, got a numpy .*from_numpy\(a\)"):
        SASTransform()(image=image, segmentation=mask[None])


def test_jax_takes_numpy_arrays():
    samples.host("jax")
    from sasaug.adapters.jax import SAS

    images, masks = (np.stack([array] * 2) for array in (picture()[0][0], picture()[1]))
    x, y = SAS(**SETTINGS)(images, masks, 7)
    x_, y_ = sasaug.sas(images, masks, seed=7, **SETTINGS)
    assert np.array_equal(x, x_) and np.array_equal(y, y_)
    one_hot = np.stack([masks == k for k in range(3)], 1)
    with pytest.raises(ValueError, match=r"; pass the label map of one-hot masks$"):
        SAS()(images, one_hot, 7)


@pytest.mark.parametrize("channels", ["first", "last"])
def test_one_hot_masks_are_told_to_be_label_maps(channels):
    image, labels = picture()
    one_hot = np.stack([labels == k for k in range(3)], 0 if channels == "first" else -1)
    for given in (None, "first", "last"):
        with pytest.raises(ValueError) as error:
            sasaug.sas(image, one_hot[None], channels=given, seed=1)
        text = str(error.value)
        assert text.endswith("; pass the label map of one-hot masks"), text


@pytest.mark.parametrize("key", ["seg", "mask", "labels"])
def test_a_mask_that_monai_takes_for_an_image_is_asked_for(key):
    samples.host("monai")
    from sasaug.adapters.monai import RandMaskedNoised, RandSASd

    for step in (RandSASd, RandMaskedNoised):
        with pytest.warns(UserWarning, match=f"keys name '{key}', which becomes an image with"):
            step(["image", key], mask_key="roi")
        step(["image", key], mask_key=["roi", key])


BOXES = ["XYXY", "XYWH", "CXCYWH"]


@pytest.mark.parametrize("step", ["SAS", "RandomThumbnail", "RandomMaskedNoise"])
def test_torchvision_passes_samples_without_boxes_points_and_masks(step):
    samples.host("torchvision")
    from torchvision import tv_tensors

    from sasaug.adapters import torchvision as adapter

    image, mask = picture()
    size = mask.shape
    sample = {
        "image": tv_tensors.Image(torch.from_numpy(image)),
        "target": {
            "masks": tv_tensors.Mask(torch.zeros(0, *size, dtype=torch.uint8)),
            "boxes": [
                tv_tensors.BoundingBoxes(torch.zeros(0, 4), format=form, canvas_size=size)
                for form in BOXES
            ],
            "points": (tv_tensors.KeyPoints(torch.zeros(0, 2), canvas_size=size),),
            "labels": torch.zeros(0, dtype=torch.int64),
        },
    }
    settings = {} if step == "RandomMaskedNoise" else {"canvas": 48}
    out = getattr(adapter, step)(**settings)(sample)
    canvas = size if step == "RandomMaskedNoise" else (48, 48)
    assert out["image"].shape == (1, *canvas) and out["target"]["masks"].shape == (0, *canvas)
    assert [tuple(boxes.shape) for boxes in out["target"]["boxes"]] == [(0, 4)] * 3
    assert [boxes.format.value for boxes in out["target"]["boxes"]] == BOXES
    assert {boxes.canvas_size for boxes in out["target"]["boxes"]} == {canvas}
    assert out["target"]["points"][0].shape == (0, 2) and len(out["target"]["labels"]) == 0


@pytest.mark.parametrize("keys", [("bbox_xyxy", (3, 0, 4)), ("bbox", (3, 0, 4, 2)),
                                  ("keypoints", (3, 0, 2))])  # fmt: skip
def test_kornia_passes_batches_without_boxes_and_points(keys):
    samples.host("kornia")
    import kornia.augmentation as K

    from sasaug.adapters.kornia import RandomMaskedNoise, RandomSAS

    key, shape = keys
    x, y = torch.rand(3, 1, 60, 50), torch.ones(3, 1, 60, 50)
    for step, size in ((RandomSAS(canvas=48), (48, 48)), (RandomMaskedNoise(), (60, 50))):
        augment = K.AugmentationSequential(step, data_keys=["input", "mask", key])
        out = augment(x, y, torch.zeros(shape))
        assert out[0].shape == (3, 1, *size) and out[2].shape == shape
        out = augment(x[:0], y[:0], torch.zeros(0, *shape[1:]))
        assert out[0].shape == (0, 1, *size) and out[2].shape == (0, *shape[1:])


def test_kornia_takes_images_that_differ_in_their_number_of_boxes():
    samples.host("kornia")
    import kornia.augmentation as K

    from sasaug.adapters.kornia import RandomSAS

    x, y = torch.rand(3, 1, 60, 50), torch.ones(3, 1, 60, 50)
    boxes = [torch.tensor([[5.0, 5, 10, 10]]), torch.zeros(0, 4), torch.tensor([[1.0, 2, 9, 9]])]
    augment = K.AugmentationSequential(RandomSAS(), data_keys=["input", "mask", "bbox_xyxy"])
    assert [tuple(some.shape) for some in augment(x, y, boxes)[2]] == [(1, 4), (0, 4), (1, 4)]
