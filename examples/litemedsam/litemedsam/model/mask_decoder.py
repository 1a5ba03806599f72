"""One job: an image embedding and its prompts to mask logits, SAM's two-way transformer."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .tinyvit import LayerNorm2d

MASKS = 4  # SAM's: one mask for a clear prompt, which is read here, and three for a doubtful one


class Attention(nn.Module):
    """Multi-head attention whose width inside may differ from that of the tokens."""

    def __init__(self, dim: int, inside: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(dim, inside)
        self.k_proj = nn.Linear(dim, inside)
        self.v_proj = nn.Linear(dim, inside)
        self.out_proj = nn.Linear(inside, dim)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (
            x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for x in (self.q_proj(q), self.k_proj(k), self.v_proj(v))
        )
        out = F.scaled_dot_product_attention(q, k, v)
        return self.out_proj(out.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Linear layers of the given widths with ReLU between them."""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(map(nn.Linear, widths[:-1], widths[1:]))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = layer(x).relu()
        return self.layers[-1](x)


class MlpBlock(nn.Module):
    """The MLP inside the transformer: the same as :class:`Mlp` under the checkpoints' names."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(dim, hidden)
        self.lin2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.lin2(self.lin1(x).relu())


class TwoWayBlock(nn.Module):
    """Tokens attend to each other and to the image, then the image attends to the tokens."""

    def __init__(self, dim: int, heads: int, hidden: int, first: bool) -> None:
        super().__init__()
        self.first = first
        self.self_attn = Attention(dim, dim, heads)
        self.cross_attn_token_to_image = Attention(dim, dim // 2, heads)
        self.mlp = MlpBlock(dim, hidden)
        self.cross_attn_image_to_token = Attention(dim, dim // 2, heads)
        self.norm1, self.norm2, self.norm3, self.norm4 = (nn.LayerNorm(dim) for _ in range(4))

    def forward(
        self, tokens: Tensor, image: Tensor, tokens_pe: Tensor, image_pe: Tensor
    ) -> tuple[Tensor, Tensor]:
        if self.first:  # the tokens still are their own position embeddings
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            q = tokens + tokens_pe
            tokens = tokens + self.self_attn(q, q, tokens)
        tokens = self.norm1(tokens)
        k = image + image_pe
        tokens = tokens + self.cross_attn_token_to_image(tokens + tokens_pe, k, image)
        tokens = self.norm2(tokens)
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = image + self.cross_attn_image_to_token(k, tokens + tokens_pe, tokens)
        return tokens, self.norm4(image)


class TwoWayTransformer(nn.Module):
    """``depth`` two-way blocks, and one more look of the tokens at the image."""

    def __init__(self, dim: int, depth: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TwoWayBlock(dim, heads, hidden, first=i == 0) for i in range(depth)
        )
        self.final_attn_token_to_image = Attention(dim, dim // 2, heads)
        self.norm_final_attn = nn.LayerNorm(dim)

    def forward(self, image: Tensor, image_pe: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """[B, E * E, dim] cells, their places, [B, N, dim] tokens to new tokens and new cells."""
        tokens_pe = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, tokens_pe, image_pe)
        out = self.final_attn_token_to_image(tokens + tokens_pe, image + image_pe, image)
        return self.norm_final_attn(tokens + out), image


class MaskDecoder(nn.Module):
    """Mask logits of four times the embedding's side, and the IoU the model expects of them.

    Parameters
    ----------
    dim
        Channels of the embeddings.
    depth, heads, hidden
        Of the transformer: blocks, heads, width inside the MLP.
    """

    def __init__(self, dim: int, depth: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.transformer = TwoWayTransformer(dim, depth, heads, hidden)
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(MASKS, dim)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(dim, dim // 4, 2, stride=2),
            LayerNorm2d(dim // 4),
            nn.GELU(),
            nn.ConvTranspose2d(dim // 4, dim // 8, 2, stride=2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(
            Mlp(dim, dim, dim, dim // 8) for _ in range(MASKS)
        )
        self.iou_prediction_head = Mlp(dim, dim, dim, MASKS)

    def mask(self, image: Tensor, token: Tensor) -> Tensor:
        """Upscale [B, dim, E, E] and weigh its channels by the token [B, dim]: [B, 1, 4E, 4E]."""
        weights = self.output_hypernetworks_mlps[0](token)
        return torch.einsum("bc,bchw->bhw", weights, self.output_upscaling(image))[:, None]

    def forward(
        self, embedding: Tensor, image_pe: Tensor, sparse: Tensor, dense: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Decode one mask per prompt.

        Parameters
        ----------
        embedding
            [B or 1, dim, E, E] of the image encoder.
        image_pe
            [1, dim, E, E], the places of its cells.
        sparse, dense
            [B, N, dim] and [B or 1, dim, E, E] of the prompt encoder.

        Returns
        -------
        tuple
            Mask logits [B, 1, 4E, 4E] and expected IoU [B, 1].
        """
        b = len(sparse)
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([own.expand(b, -1, -1), sparse], dim=1)
        image = (embedding + dense).expand(b, -1, -1, -1)
        cells = image.flatten(2).transpose(1, 2)
        tokens, cells = self.transformer(cells, image_pe.flatten(2).transpose(1, 2), tokens)
        image = cells.transpose(1, 2).unflatten(2, image.shape[2:])
        return self.mask(image, tokens[:, 1]), self.iou_prediction_head(tokens[:, 0])[:, :1]
