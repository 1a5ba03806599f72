"""One job: clicks, boxes and masks to the embeddings that SAM's mask decoder reads."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .tinyvit import LayerNorm2d


class PositionEmbedding(nn.Module):
    """Random Fourier features of a place in the image.

    The frequencies are drawn once and are not trained, but belong to the weights: a model that is
    loaded without them reads every click at another place.
    """

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, dim // 2))

    def forward(self, xy: Tensor) -> Tensor:
        """[..., 2] places in units of the image side (0 to 1) to [..., dim]."""
        # not a matmul, which autocast would round to a few bits of a turn
        turns = ((2 * xy - 1)[..., None] * self.positional_encoding_gaussian_matrix).sum(-2)
        angles = 2 * math.pi * turns
        return torch.cat([angles.sin(), angles.cos()], dim=-1)

    def grid(self, size: int) -> Tensor:
        """The centres of size x size cells: [1, dim, size, size]."""
        centres = torch.arange(size, device=self.positional_encoding_gaussian_matrix.device) + 0.5
        y, x = torch.meshgrid(centres / size, centres / size, indexing="ij")
        return self(torch.stack([x, y], dim=-1)).permute(2, 0, 1)[None]


class PromptEncoder(nn.Module):
    """Prompts to sparse tokens and a dense map.

    Parameters
    ----------
    dim
        Channels of the embeddings.
    image_size
        Side of the input image, in pixels.
    embedding_size
        Side of the image embedding, in cells.
    """

    def __init__(self, dim: int, image_size: int, embedding_size: int) -> None:
        super().__init__()
        self.image_size, self.embedding_size = image_size, embedding_size
        self.pe_layer = PositionEmbedding(dim)
        # negative click, positive click, upper left and lower right corner of a box
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, dim) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, dim)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, 4, 2, stride=2),
            LayerNorm2d(4),
            nn.GELU(),
            nn.Conv2d(4, 16, 2, stride=2),
            LayerNorm2d(16),
            nn.GELU(),
            nn.Conv2d(16, dim, 1),
        )
        self.no_mask_embed = nn.Embedding(1, dim)

    def points(self, xy: Tensor, labels: Tensor) -> Tensor:
        """[B, K, 2] pixels and [B, K] labels 1, 0 or -1 (padding, its place unread) to tokens."""
        place = self.pe_layer((xy.float() + 0.5) / self.image_size)  # of the pixel's centre
        place = place.masked_fill((labels < 0)[..., None], 0.0)
        kinds = [self.not_a_point_embed, *self.point_embeddings[:2]]  # labels -1, 0, 1
        return place + F.embedding(labels + 1, torch.cat([kind.weight for kind in kinds]))

    def boxes(self, boxes: Tensor) -> Tensor:
        """[B, 4] pixels x0, y0, x1, y1 to one token per corner: [B, 2, dim]."""
        place = self.pe_layer((boxes.float().reshape(-1, 2, 2) + 0.5) / self.image_size)
        return place + torch.cat([corner.weight for corner in self.point_embeddings[2:]])

    def masks(self, masks: Tensor | None) -> Tensor:
        """[B, 1, S, S] mask logits of any S, or none, to a map [B or 1, dim, E, E]."""
        size = self.embedding_size
        if masks is None:
            return self.no_mask_embed.weight[:, :, None, None].expand(-1, -1, size, size)
        if masks.shape[-1] != 4 * size:
            masks = F.interpolate(masks, (4 * size, 4 * size), mode="bilinear")
        return self.mask_downscaling(masks)

    def forward(
        self,
        batch: int,
        points: tuple[Tensor, Tensor] | None,
        boxes: Tensor | None,
        masks: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """``batch`` prompts to tokens [batch, N, dim] and a map [batch or 1, dim, E, E]."""
        dense = self.masks(masks)
        tokens = [dense.new_zeros(batch, 0, dense.shape[1])]
        if points is not None:
            xy, labels = points[0], points[1].long()
            if boxes is None:  # SAM was trained with this in the place of the box
                xy, labels = F.pad(xy, (0, 0, 0, 1)), F.pad(labels, (0, 1), value=-1)
            tokens.append(self.points(xy, labels))
        if boxes is not None:
            tokens.append(self.boxes(boxes))
        return torch.cat(tokens, dim=1), dense
