"""LiteMedSAM, stated a second time in NumPy and torch: attention, prompts, the decoder."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

pytestmark = pytest.mark.usefixtures("one_thread")


def arrays(module: torch.nn.Module) -> dict[str, np.ndarray]:
    return {k: v.double().numpy() for k, v in module.state_dict().items()}


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
