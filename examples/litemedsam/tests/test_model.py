"""LiteMedSAM: the published tensors, shapes, gradients, errors."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import replace

import pytest
import torch

from litemedsam.model import CONFIGS, Config, LiteMedSAM

pytestmark = pytest.mark.usefixtures("one_thread")

# sha256 over the sorted lines "key<tab>shape<tab>dtype" of the published state dict
PUBLISHED = "a716b26f52ea31b362e66fef12613bd7c2eb1268b67c925b29783c8264723b3c"


def lines(model: LiteMedSAM) -> list[str]:
    return sorted(f"{k}\t{tuple(v.shape)}\t{v.dtype}" for k, v in model.state_dict().items())


@pytest.fixture(scope="module")
def full() -> LiteMedSAM:
    return LiteMedSAM(CONFIGS["full"]).eval()


# --- tensors


def test_tensors_are_the_published_ones(full):
    parts = (full.image_encoder, full.prompt_encoder, full.mask_decoder)
    counts = [sum(p.numel() for p in part.parameters()) for part in parts]
    assert counts == [5_726_740, 6_220, 4_058_340] and sum(counts) == 9_791_300
    assert all(p.requires_grad for p in full.parameters())
    assert len(lines(full)) == 435
    assert hashlib.sha256("\n".join(lines(full)).encode()).hexdigest() == PUBLISHED


def test_tensors_are_those_of_the_list(full, real_data):
    path = real_data / "litemedsam_state_dict_keys.txt"
    if not path.is_file():
        pytest.skip(f"{path.name} not found")
    assert lines(full) == sorted(path.read_text().splitlines())


def test_strided_differs_in_the_patch_convolutions_only(full):
    strided = LiteMedSAM(CONFIGS["strided"])
    assert sorted(set(lines(strided)) - set(lines(full))) == [
        "image_encoder.patch_embed.seq.0.c.weight\t(32, 3, 3, 3)\ttorch.float32",
        "image_encoder.patch_embed.seq.2.c.weight\t(64, 32, 3, 3)\ttorch.float32",
    ]


# --- shapes


@pytest.mark.parametrize(
    ("name", "e", "c"), [("full", 64, 256), ("strided", 16, 256), ("tiny", 4, 32)]
)
def test_shapes(name, e, c, full):
    model = full if name == "full" else LiteMedSAM(CONFIGS[name]).eval()
    size = model.config.image_size
    with torch.inference_mode():
        embedding = model.encode(torch.rand(1, 3, size, size))
        assert embedding.shape == (1, c, e, e) and model.config.embedding_size == e
        points = (torch.rand(1, 2, 2) * size, torch.tensor([[1, 0]]))
        logits, iou = model.decode(embedding, points)
        assert logits.shape == (1, 1, size, size) and iou.shape == (1, 1)
        again, _ = model.decode(embedding, points, torch.tensor([[0, 0, size, size]]), logits)
        assert again.shape == logits.shape and logits.isfinite().all() and again.isfinite().all()


def test_other_image_sizes():
    model = LiteMedSAM(replace(CONFIGS["tiny"], image_size=128)).eval()
    embedding = model.encode(torch.rand(2, 3, 128, 128))
    assert embedding.shape == (2, 32, 8, 8)
    assert model.decode(embedding)[0].shape == (2, 1, 128, 128)  # no prompt at all, as SAM allows


# --- behaviour


def test_biases_are_right_after_loading_in_any_mode(tiny):
    images = torch.rand(1, 3, 64, 64)
    state = {k: v.clone() for k, v in tiny.state_dict().items()}
    for key in state:
        if key.endswith("attention_biases"):
            state[key] += 3 * torch.randn(state[key].shape)
    fresh = LiteMedSAM(tiny.config)
    fresh.load_state_dict(state)
    with torch.no_grad():
        before = tiny.encode(images)  # in eval mode: a cache would be filled now
        twin = copy.deepcopy(tiny)
        expected = fresh.eval().encode(images)
        assert (expected - before).abs().max() > 1e-3
        for model in (tiny, twin):
            model.load_state_dict(state)
            torch.testing.assert_close(model.encode(images), expected, rtol=0, atol=0)
            torch.testing.assert_close(
                model.train().eval().encode(images), expected, rtol=0, atol=0
            )


def test_gradient_reaches_every_parameter_of_the_mask_that_is_read(tiny, clicks):
    tiny.train()
    embedding = tiny.encode(torch.rand(2, 3, 64, 64))
    first, iou = tiny.decode(embedding, clicks)
    boxes = torch.tensor([[3.0, 5, 30, 40], [0, 1, 63, 62]])
    second, again = tiny.decode(embedding, None, boxes, first.detach())
    (first.square().mean() + second.square().mean() + iou.sum() + again.sum()).backward()
    without = {k for k, p in tiny.named_parameters() if p.grad is None or not p.grad.any()}
    other = {
        k for k, _ in tiny.named_parameters() if "hypernetworks_mlps" in k and "mlps.0" not in k
    }
    # A bias on all keys moves no softmax: its gradient is zero but for rounding.
    assert {k for k in without if not k.endswith("k_proj.bias")} == other


def test_a_batch_is_its_prompts_one_by_one(tiny, clicks):
    xy, labels = clicks
    embedding, masks = torch.randn(2, 32, 4, 4), torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        logits, iou = tiny.decode(embedding, clicks, None, masks)
        shared, _ = tiny.decode(embedding[:1], clicks, None, masks)
        for i in range(2):
            part = slice(i, i + 1)
            one = tiny.decode(embedding[part], (xy[part], labels[part]), None, masks[part])
            torch.testing.assert_close((logits[part], iou[part]), one, rtol=1e-4, atol=1e-5)
            one, _ = tiny.decode(embedding[:1], (xy[part], labels[part]), None, masks[part])
            torch.testing.assert_close(shared[part], one, rtol=1e-4, atol=1e-5)
    assert (shared[1] - logits[1]).abs().max() > 1e-3


def test_the_place_of_padding_is_not_read(tiny):
    embedding = torch.randn(1, 32, 4, 4)
    labels = torch.tensor([[1, -1]])
    here, there, click = (
        tiny.decode(embedding, (torch.tensor([[[5, 6], last]]), kind))[0].detach()
        for last, kind in (([0, 0], labels), ([60, 9], labels), ([60, 9], labels.abs()))
    )
    assert torch.equal(here, there) and not torch.allclose(here, click, atol=1e-3)


def test_clicks_keep_their_places_under_autocast(tiny, clicks):
    expected, _ = tiny.prompt_encoder(2, clicks, None, None)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        tokens, _ = tiny.prompt_encoder(2, clicks, None, None)
        assert tiny.decode(tiny.encode(torch.rand(2, 3, 64, 64)), clicks)[0].isfinite().all()
    torch.testing.assert_close(tokens, expected.detach(), rtol=0, atol=1e-5)


# --- errors

IMAGES, EMBEDDING, XY = torch.zeros(2, 3, 64, 64), torch.zeros(2, 32, 4, 4), torch.zeros(2, 1, 2)
ONE = torch.ones(2, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.encode(IMAGES[:, :1]), "images: must be [B, 3, 64, 64]; got [2, 1, 64, 64]"),
        (
            lambda m: m.encode(IMAGES.byte()),
            "images: must be floating point in [0, 1]; got torch.uint8",
        ),
        (lambda m: m.decode(IMAGES), "embedding: must be [B, 32, 4, 4]; got [2, 3, 64, 64]"),
        (
            lambda m: m.decode(EMBEDDING, (XY[:, 0], ONE)),
            "points: must be xy [B, K, 2] and labels [B, K]; got [2, 2] and [2, 1]",
        ),
        (
            lambda m: m.decode(EMBEDDING, (XY, ONE * 2)),
            "points: labels must be 1, 0 or -1; got [2.0]",
        ),
        (lambda m: m.decode(EMBEDDING, None, XY), "boxes: must be [B, 4]; got [2, 1, 2]"),
        (
            lambda m: m.decode(EMBEDDING, None, None, IMAGES),
            "masks: must be [B, 1, S, S]; got [2, 3, 64, 64]",
        ),
        (
            lambda m: m.decode(EMBEDDING, (XY[:1], ONE[:1])),
            "prompts: must be as many as each other; got {'embedding': 2, 'points': 1}",
        ),
        (
            lambda m: Config(image_size=250, patch_stride=2),
            "image_size: must be a multiple of 16, the pixels per cell of the embedding; got 250",
        ),
        (lambda m: Config(patch_stride=3), "patch_stride: must be 1 or 2; got 3"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError) as error:
        call(LiteMedSAM(CONFIGS["tiny"]))
    assert str(error.value) == message
