"""Z-scored floats through ``value_range``: the images of a pipeline that scales there and back."""

from __future__ import annotations

import numpy as np
import pytest

import samples

torch = pytest.importorskip("torch")

LOW, HIGH = -4.0, 4.0
KINDS = {
    "gaussian": (0.1, 0.1),
    "speckle": (0.3, 0.3),
    "salt_pepper": (0.2, 0.2),
    "poisson": (30.0, 30.0),
}


def scan(seed=0):
    """A CT-like image [1 128 160] in an arbitrary unit, and its mask."""
    rng = np.random.default_rng(seed)
    image = rng.normal(40.0, 12.0, (1, 128, 160)).astype(np.float32)
    mask = np.zeros((1, 128, 160), np.int16)
    mask[:, 30:100, 40:130] = 1
    image[mask > 0] += 30
    return torch.from_numpy(image), torch.from_numpy(mask)


def to_unit(x):
    return (x - LOW) / (HIGH - LOW)


def from_unit(x):
    return x * (HIGH - LOW) + LOW


def monai(settings, through):
    """MONAI: normalise, augment; or normalise, scale to [0, 1], augment, scale back."""
    samples.host("monai")
    from monai.transforms import Compose, Lambdad, NormalizeIntensityd

    from sasaug.adapters.monai import RandSASd

    settings = {**settings, "prob": settings["p"]}
    del settings["p"]
    steps = [NormalizeIntensityd("image"), Lambdad("image", lambda x: x.clamp(LOW, HIGH))]
    if through:
        steps += [RandSASd("image", mask_key="label", value_range=(LOW, HIGH), **settings)]
    else:
        augment = RandSASd("image", mask_key="label", **settings)
        steps += [Lambdad("image", to_unit), augment, Lambdad("image", from_unit)]
    pipeline = Compose(steps).set_random_state(5)

    def run(image, mask):
        out = pipeline({"image": image.clone(), "label": mask.clone()})
        return np.asarray(out["image"]), np.asarray(out["label"])

    return run


def nnunet(settings, through):
    """nnU-Net: z-scores as its preprocessing leaves them, then its own Compose."""
    samples.host("batchgeneratorsv2")
    from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
    from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms

    from sasaug.adapters.batchgenerators import SASTransform

    class Scaled(BasicTransform):
        def __init__(self, scale):
            super().__init__()
            self.scale = scale

        def _apply_to_image(self, image, **_):
            return self.scale(image)

        def _apply_to_segmentation(self, segmentation, **_):
            return segmentation

    if through:
        steps = [SASTransform(**settings, value_range=(LOW, HIGH))]
    else:
        steps = [Scaled(to_unit), SASTransform(**settings), Scaled(from_unit)]
    pipeline = ComposeTransforms(steps)
    np.random.seed(5)

    def run(image, mask):
        scores = ((image - image.mean()) / image.std()).clamp(LOW, HIGH)
        out = pipeline(image=scores, segmentation=mask.clone())
        return out["image"].numpy(), out["segmentation"].numpy()

    return run


@pytest.mark.parametrize("pipeline", [monai, nnunet])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("thumbnail", [(0.3, 0.9), None])
def test_the_images_are_those_of_scaling_there_and_back(pipeline, kind, thumbnail):
    settings = {"p": 1.0, "apply_to": "all", "thumbnail": thumbnail, "noise": {kind: KINDS[kind]}}
    runs = [pipeline(settings, through) for through in (False, True)]
    state = np.random.get_state()
    made = []
    for run in runs:
        np.random.set_state(state)
        made.append([run(*scan(k)) for k in range(6)])
    for (before, mask_before), (x, mask) in zip(*made, strict=True):
        assert np.array_equal(mask, mask_before) and x.dtype == np.float32
        # each of the scalings rounds once or twice: some 2^-23 of the range for a value; a Poisson
        # count turns over where its rate was rounded, as do few values of all
        error = np.abs(x - before) / (HIGH - LOW)
        same = error < 4 * 2**-23
        assert same.all() if kind != "poisson" else same.mean() > 0.999
        assert (x == LOW).mean() > 0.05 if thumbnail else True
    assert len({x.tobytes() for x, _ in made[0]}) == 6


@pytest.mark.parametrize("pipeline", [monai, nnunet])
def test_a_sample_that_passes_through_is_bit_equal_only_through_value_range(pipeline):
    settings = {"p": 0.0}
    image, mask = scan()
    scores, _ = pipeline({**settings, "noise": None}, True)(image, mask)
    through, _ = pipeline(settings, True)(image, mask)
    scaled, _ = pipeline(settings, False)(image, mask)
    assert through.tobytes() == scores.tobytes()
    assert 0 < np.abs(scaled - scores).max() < 4e-6
