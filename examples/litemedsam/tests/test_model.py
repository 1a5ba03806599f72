"""LiteMedSAM: the published tensors, shapes, second statements in NumPy, gradients, errors."""

from __future__ import annotations

import copy
import hashlib
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from litemedsam.model import CONFIGS, Config, LiteMedSAM

# sha256 over the sorted lines "key<tab>shape<tab>dtype" of the published state dict
PUBLISHED = "a716b26f52ea31b362e66fef12613bd7c2eb1268b67c925b29783c8264723b3c"


def lines(model: LiteMedSAM) -> list[str]:
    return sorted(f"{k}\t{tuple(v.shape)}\t{v.dtype}" for k, v in model.state_dict().items())


def sized(name: str) -> LiteMedSAM:
    """A model in eval mode in which no weight is at a neutral value, so that each one counts."""
    torch.manual_seed(0)
    model = LiteMedSAM(CONFIGS[name]).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.1 * torch.randn(value.shape))
        for value in (b for k, b in model.named_buffers() if "running" in k):
            value.add_(0.1 * torch.rand(value.shape))
    return model


def arrays(module: torch.nn.Module) -> dict[str, np.ndarray]:
    return {k: v.double().numpy() for k, v in module.state_dict().items()}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """On busy cores, threads that wait for each other take longer than one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def full() -> LiteMedSAM:
    return LiteMedSAM(CONFIGS["full"]).eval()


@pytest.fixture
def tiny() -> LiteMedSAM:
    return sized("tiny")


@pytest.fixture
def clicks() -> tuple[torch.Tensor, torch.Tensor]:
    xy = torch.tensor([[[5.0, 40.0], [63.0, 0.0], [9.0, 9.0]], [[20.0, 3.0], [1.0, 2.0], [0, 0]]])
    return xy, torch.tensor([[1, 0, 1], [0, 1, -1]])


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


# --- second statements


@pytest.mark.parametrize("size", [4, 8, 9])  # windows of 3: padded, padded, whole
def test_attention_block(tiny, size):
    """Pad, cut, and only then norm, project and attend, window by window and head by head."""
    block = tiny.image_encoder.layers[1].blocks[0]
    x = torch.randn(2, 8, size, size)
    w, (heads, n) = block.state_dict(), (block.attn.heads, block.attn.window)
    whole = -(-size // n) * n
    padded = F.pad(x, (0, whole - size, 0, whole - size)).permute(0, 2, 3, 1)
    out = torch.zeros_like(padded)
    for y0 in range(0, whole, n):
        for x0 in range(0, whole, n):
            window = (slice(None), slice(y0, y0 + n), slice(x0, x0 + n))
            tokens = F.layer_norm(
                padded[window].reshape(2, n * n, 8),
                (8,),
                w["attn.norm.weight"],
                w["attn.norm.bias"],
            )
            qkv = tokens @ w["attn.qkv.weight"].T + w["attn.qkv.bias"]
            seen = []
            for head, (q, k, v) in enumerate(
                part.split(8 // heads, dim=2) for part in qkv.chunk(heads, dim=2)
            ):
                scores = torch.einsum("bic,bjc->bij", q, k) / math.sqrt(8 / heads)
                for i in range(n * n):
                    for j in range(n * n):
                        far = abs(i // n - j // n) * n + abs(i % n - j % n)
                        scores[:, i, j] += w["attn.attention_biases"][head, far]
                seen.append(scores.softmax(-1) @ v)
            y = torch.cat(seen, -1) @ w["attn.proj.weight"].T + w["attn.proj.bias"]
            out[window] = y.reshape(2, n, n, 8)
    y = x + out[:, :size, :size].permute(0, 3, 1, 2)
    y = F.conv2d(y, w["local_conv.c.weight"], padding=1, groups=8)
    y = F.batch_norm(
        y, w["local_conv.bn.running_mean"], w["local_conv.bn.running_var"],
        w["local_conv.bn.weight"], w["local_conv.bn.bias"],
    ).permute(0, 2, 3, 1)  # fmt: skip
    z = F.layer_norm(y, (8,), w["mlp.norm.weight"], w["mlp.norm.bias"])
    z = F.gelu(z @ w["mlp.fc1.weight"].T + w["mlp.fc1.bias"])
    y = y + z @ w["mlp.fc2.weight"].T + w["mlp.fc2.bias"]
    with torch.no_grad():
        torch.testing.assert_close(block(x), y.permute(0, 3, 1, 2), rtol=1e-4, atol=1e-5)


def tokens_in_numpy(w: dict[str, np.ndarray], size: int, xy, labels) -> np.ndarray:
    """SAM's click tokens, one at a time: Fourier features of the pixel centre, plus the label's."""
    kind = {0: "point_embeddings.0.weight", 1: "point_embeddings.1.weight"}
    tokens = []
    for (x, y), label in zip(xy, labels, strict=True):
        if label == -1:
            tokens.append(w["not_a_point_embed.weight"][0])
            continue
        fx, fy = w["pe_layer.positional_encoding_gaussian_matrix"]
        turns = (2 * (x + 0.5) / size - 1) * fx + (2 * (y + 0.5) / size - 1) * fy
        place = np.concatenate([np.sin(2 * np.pi * turns), np.cos(2 * np.pi * turns)])
        tokens.append(place + w[kind[label]][0])
    return np.array(tokens)


def test_click_tokens(tiny, clicks):
    encoder, w = tiny.prompt_encoder, arrays(tiny.prompt_encoder)
    sparse, dense = encoder(2, clicks, None, None)
    assert sparse.shape == (2, 4, 32)  # three clicks and the padding
    for got, xy, labels in zip(sparse, *(c.tolist() for c in clicks), strict=True):
        expected = tokens_in_numpy(w, 64, [*xy, (0, 0)], [*labels, -1])
        np.testing.assert_allclose(got.detach().numpy(), expected, atol=2e-5)
    np.testing.assert_array_equal(
        dense.detach().expand(1, 32, 4, 4)[0, :, 2, 3],
        tiny.prompt_encoder.no_mask_embed.weight[0].detach(),
    )


def test_box_tokens_come_after_the_clicks_and_replace_the_padding(tiny, clicks):
    encoder, w = tiny.prompt_encoder, arrays(tiny.prompt_encoder)
    boxes = torch.tensor([[3, 5, 30, 40], [0, 1, 63, 62]])
    sparse, _ = encoder(2, clicks, boxes, None)
    assert sparse.shape == (2, 5, 32)
    for got, box in zip(sparse[:, 3:], boxes.tolist(), strict=True):
        corners = (
            tokens_in_numpy(w, 64, [box[:2], box[2:]], [0, 0]) - w["point_embeddings.0.weight"]
        )
        corners += np.concatenate([w["point_embeddings.2.weight"], w["point_embeddings.3.weight"]])
        np.testing.assert_allclose(got.detach().numpy(), corners, atol=2e-5)


def test_a_cell_of_the_image_has_the_place_of_its_centre(tiny):
    encoder, w = tiny.prompt_encoder, arrays(tiny.prompt_encoder)
    grid = encoder.pe_layer.grid(4)
    for row, column in ((0, 0), (1, 3), (3, 2)):
        centre = [(16 * column + 7.5, 16 * row + 7.5)]
        expected = tokens_in_numpy(w, 64, centre, [1])[0] - w["point_embeddings.1.weight"][0]
        np.testing.assert_allclose(grid[0, :, row, column], expected, atol=2e-5)


def norm(x: np.ndarray, w: dict[str, np.ndarray], name: str, eps: float = 1e-5) -> np.ndarray:
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)
    return x * w[f"{name}.weight"] + w[f"{name}.bias"]


def linear(x: np.ndarray, w: dict[str, np.ndarray], name: str) -> np.ndarray:
    return np.einsum("...i,oi->...o", x, w[f"{name}.weight"]) + w[f"{name}.bias"]


def gelu(x: np.ndarray) -> np.ndarray:
    return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2


def attend(q, k, v, w: dict[str, np.ndarray], name: str, heads: int) -> np.ndarray:
    q, k, v = (
        linear(x, w, f"{name}.{p}_proj").reshape(len(x), heads, -1)
        for x, p in ((q, "q"), (k, "k"), (v, "v"))
    )
    scores = np.exp(np.einsum("ihc,jhc->hij", q, k) / math.sqrt(q.shape[2]))
    out = np.einsum("hij,jhc->ihc", scores / scores.sum(-1, keepdims=True), v)
    return linear(out.reshape(len(out), -1), w, f"{name}.out_proj")


def mlp(x: np.ndarray, w: dict[str, np.ndarray], name: str) -> np.ndarray:
    for i in (0, 1):
        x = np.maximum(linear(x, w, f"{name}.layers.{i}"), 0)
    return linear(x, w, f"{name}.layers.2")


def doubled(x: np.ndarray, w: dict[str, np.ndarray], name: str) -> np.ndarray:
    """A transposed convolution, 2 x 2 of stride 2: each cell becomes a block of 2 x 2."""
    blocks = np.einsum("yxc,cojk->yjxko", x, w[f"{name}.weight"])
    return blocks.reshape(2 * len(x), 2 * len(x), -1) + w[f"{name}.bias"]


def mask_in_numpy(image: np.ndarray, token: np.ndarray, w: dict[str, np.ndarray]) -> np.ndarray:
    """Cells [E, E, dim] and the mask's token [dim] to logits [4E, 4E]."""
    up = gelu(norm(doubled(image, w, "output_upscaling.0"), w, "output_upscaling.1", eps=1e-6))
    up = gelu(doubled(up, w, "output_upscaling.3"))
    return np.einsum("yxc,c->yx", up, mlp(token, w, "output_hypernetworks_mlps.0"))


def test_upscaling_and_hypernetwork(tiny):
    image, token = torch.randn(2, 32, 4, 4), torch.randn(2, 32)
    with torch.no_grad():
        got = tiny.mask_decoder.mask(image, token)
    w = arrays(tiny.mask_decoder)
    for i in range(2):
        cells = image[i].permute(1, 2, 0).double().numpy()
        expected = mask_in_numpy(cells, token[i].double().numpy(), w)
        np.testing.assert_allclose(got[i, 0], expected, rtol=1e-4, atol=1e-5)


def test_decode(tiny, clicks):
    """The whole way from an embedding and clicks to logits and IoU, one prompt at a time."""
    heads, e = tiny.config.decoder_heads, 4
    embedding = torch.randn(2, 32, e, e)
    with torch.no_grad():
        logits, iou = tiny.decode(embedding, clicks)
        pe = tiny.prompt_encoder.pe_layer.grid(e)[0].flatten(1).T.double().numpy()
    p, w = arrays(tiny.prompt_encoder), arrays(tiny.mask_decoder)
    # bilinear, pixel centres: rows of weights from 16 to 64 pixels
    at = np.clip((np.arange(64) + 0.5) / 4 - 0.5, 0, 15)
    up = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(16)))
    for n in range(2):
        xy, labels = clicks[0][n].tolist(), clicks[1][n].tolist()
        sparse = tokens_in_numpy(p, 64, [*xy, (0, 0)], [*labels, -1])
        t0 = np.concatenate([w["iou_token.weight"], w["mask_tokens.weight"], sparse])
        t, image = t0, embedding[n].flatten(1).T.double().numpy() + p["no_mask_embed.weight"]
        for i in (0, 1):
            at_i = f"transformer.layers.{i}"
            if i == 0:
                t = attend(t, t, t, w, f"{at_i}.self_attn", heads)
            else:
                t = t + attend(t + t0, t + t0, t, w, f"{at_i}.self_attn", heads)
            t = norm(t, w, f"{at_i}.norm1")
            cross = f"{at_i}.cross_attn_token_to_image"
            t = norm(t + attend(t + t0, image + pe, image, w, cross, heads), w, f"{at_i}.norm2")
            hidden = np.maximum(linear(t, w, f"{at_i}.mlp.lin1"), 0)
            t = norm(t + linear(hidden, w, f"{at_i}.mlp.lin2"), w, f"{at_i}.norm3")
            cross = f"{at_i}.cross_attn_image_to_token"
            image = norm(image + attend(image + pe, t + t0, t, w, cross, heads), w, f"{at_i}.norm4")
        last = "transformer.final_attn_token_to_image"
        t = t + attend(t + t0, image + pe, image, w, last, heads)
        t = norm(t, w, "transformer.norm_final_attn")
        mask = mask_in_numpy(image.reshape(e, e, 32), t[1], w)
        np.testing.assert_allclose(logits[n, 0], up @ mask @ up.T, rtol=1e-3, atol=1e-4)
        expected = mlp(t[0], w, "iou_prediction_head")[:1]
        np.testing.assert_allclose(iou[n], expected, rtol=1e-3, atol=1e-4)


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
