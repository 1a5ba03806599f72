"""One job: the image encoder, TinyViT with SAM's neck.

Module names are those of the published checkpoints. Maps are [B, C, H, W] in channels-last
memory, so that the tokens [B, H, W, C] of the attention are a view of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of [B, C, H, W]."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNorm(nn.Sequential):
    """A convolution without bias and its batch norm; padded so that stride 1 keeps the size."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.c = nn.Conv2d(
            inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False
        )
        self.bn = nn.BatchNorm2d(outputs)


class PatchEmbed(nn.Module):
    """Pixels to the first stage: 3 x 3 with stride 2 twice (MobileSAM), or 1 x 1 (LiteMedSAM)."""

    def __init__(self, dim: int, stride: int) -> None:
        super().__init__()
        kernel = 3 if stride == 2 else 1
        self.seq = nn.Sequential(
            ConvNorm(3, dim // 2, kernel, stride),
            nn.GELU(),
            ConvNorm(dim // 2, dim, kernel, stride),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.seq(x)


class MBConv(nn.Module):
    """A residual block that widens four times, filters each channel 3 x 3, and narrows again."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(dim, 4 * dim)
        self.conv2 = ConvNorm(4 * dim, 4 * dim, kernel=3, groups=4 * dim)
        self.conv3 = ConvNorm(4 * dim, dim)
        nn.init.zeros_(self.conv3.bn.weight)  # a new block starts as the identity

    def forward(self, x: Tensor) -> Tensor:
        y = F.gelu(self.conv2(F.gelu(self.conv1(x))))
        return F.gelu(x + self.conv3(y))


class PatchMerging(nn.Module):
    """From one stage to the next: new width, and the size divided by ``stride``."""

    def __init__(self, dim: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(dim, outputs)
        self.conv2 = ConvNorm(outputs, outputs, kernel=3, stride=stride, groups=outputs)
        self.conv3 = ConvNorm(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x)))))


class Attention(nn.Module):
    """Self-attention in windows, with a learned bias per head and distance of two tokens.

    The map is padded with zeros at the bottom and the right to whole windows. As in the published
    code the zeros are tokens like others: they pass the norm and the projection, and they are
    attended to. They are all one vector there, so it is computed once.
    """

    attention_bias_idxs: Tensor

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)  # per head: query, key, value
        self.proj = nn.Linear(dim, dim)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
        dy, dx = ((p.flatten()[:, None] - p.flatten()).abs() for p in (y, x))
        self.register_buffer("attention_bias_idxs", dy * window + dx, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, H, W, C] to [B, H, W, C]."""
        b, h, w, c = x.shape
        n = self.window
        rows, columns = -(-h // n), -(-w // n)
        qkv = self.qkv(self.norm(x))
        if (rows * n, columns * n) != (h, w):
            padding = self.qkv(self.norm.bias)  # the norm of zeros is its bias
            inside, qkv = qkv, padding.expand(b, rows * n, columns * n, 3 * c).clone()
            qkv[:, :h, :w] = inside
        qkv = qkv.view(b, rows, n, columns, n, self.heads, 3, c // self.heads)
        qkv = qkv.permute(6, 0, 1, 3, 5, 2, 4, 7).reshape(3, -1, self.heads, n * n, c // self.heads)
        q, k, v = qkv  # [windows, heads, n * n, C / heads]
        # Gathered in every call: a bias kept from one call to the next outlives load_state_dict.
        bias = self.attention_biases[:, self.attention_bias_idxs]
        # Written out: with a learned bias the fused attention trains a third slower on a CPU.
        weights = ((q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1) + bias).softmax(-1)
        y = weights @ v
        y = y.view(b, rows, columns, self.heads, n, n, -1).permute(0, 1, 4, 2, 5, 3, 6)
        return self.proj(y.reshape(b, rows * n, columns * n, c)[:, :h, :w])


class Mlp(nn.Module):
    """Norm, four times wider, GELU, back."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(self.norm(x))))


class TinyViTBlock(nn.Module):
    """Attention, a 3 x 3 filter of each channel, and an MLP."""

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.attn = Attention(dim, heads, window)
        self.mlp = Mlp(dim)
        self.local_conv = ConvNorm(dim, dim, kernel=3, groups=dim)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.permute(0, 2, 3, 1)
        tokens = tokens + self.attn(tokens)
        tokens = self.local_conv(tokens.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return (tokens + self.mlp(tokens)).permute(0, 3, 1, 2)


class Stage(nn.Module):
    """The blocks of one size, and the step to the next stage where there is one."""

    def __init__(self, blocks: Sequence[nn.Module], downsample: nn.Module | None) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(x)
        return x if self.downsample is None else self.downsample(x)


class TinyViT(nn.Module):
    """The image encoder: [B, 3, S, S] to [B, outputs, E, E].

    Parameters
    ----------
    patch_stride
        1 (LiteMedSAM) or 2 (MobileSAM): of each of the two patch convolutions.
    dims, depths, heads, windows
        Per stage: channels, blocks, heads of the attention, window side in tokens. The first
        stage has convolutions only, and its heads and window are not used.
    merge_strides
        Between the stages: what the size is divided by.
    outputs
        Channels of the embedding.
    """

    def __init__(
        self,
        patch_stride: int,
        dims: Sequence[int],
        depths: Sequence[int],
        heads: Sequence[int],
        windows: Sequence[int],
        merge_strides: Sequence[int],
        outputs: int,
    ) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(dims[0], patch_stride)
        self.layers = nn.Sequential()
        for i, dim in enumerate(dims):
            last = i == len(dims) - 1
            self.layers.append(
                Stage(
                    [
                        MBConv(dim) if i == 0 else TinyViTBlock(dim, heads[i], windows[i])
                        for _ in range(depths[i])
                    ],
                    None if last else PatchMerging(dim, dims[i + 1], merge_strides[i]),
                )
            )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        self.neck = nn.Sequential(
            nn.Conv2d(dims[-1], outputs, 1, bias=False),
            LayerNorm2d(outputs),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            LayerNorm2d(outputs),
        )

    def forward(self, images: Tensor) -> Tensor:
        x = images.contiguous(memory_format=torch.channels_last)
        return self.neck(self.layers(self.patch_embed(x)))
