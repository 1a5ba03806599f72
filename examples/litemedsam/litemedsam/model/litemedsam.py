"""One job: LiteMedSAM, put together: an image once, then a mask per prompt."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch.nn.functional as F
from torch import Tensor, nn

from .mask_decoder import MaskDecoder
from .prompt_encoder import PromptEncoder
from .tinyvit import TinyViT


@dataclass(frozen=True)
class Config:
    """The sizes of a LiteMedSAM; the defaults are the published model's.

    Attributes
    ----------
    image_size
        Side of the input image, in pixels: a multiple of ``reduction``.
    patch_stride
        1 (LiteMedSAM) or 2 (MobileSAM): of each of the two patch convolutions.
    dims, depths, heads, windows, merge_strides
        Of the image encoder, per stage: see :class:`~.tinyvit.TinyViT`.
    prompt_dim
        Channels of the image and prompt embeddings.
    decoder_depth, decoder_heads, decoder_hidden
        Of the mask decoder: see :class:`~.mask_decoder.MaskDecoder`.
    """

    image_size: int = 256
    patch_stride: int = 1
    dims: tuple[int, ...] = (64, 128, 160, 320)
    depths: tuple[int, ...] = (2, 2, 6, 2)
    heads: tuple[int, ...] = (2, 4, 5, 10)
    windows: tuple[int, ...] = (7, 7, 14, 7)
    merge_strides: tuple[int, ...] = (2, 2, 1)
    prompt_dim: int = 256
    decoder_depth: int = 2
    decoder_heads: int = 8
    decoder_hidden: int = 2048

    def __post_init__(self) -> None:
        if self.patch_stride not in (1, 2):
            raise ValueError(f"patch_stride: must be 1 or 2; got {self.patch_stride}")
        if self.image_size < 1 or self.image_size % self.reduction:
            raise ValueError(
                f"image_size: must be a multiple of {self.reduction}, the pixels per cell of the "
                f"embedding; got {self.image_size}"
            )

    @property
    def reduction(self) -> int:
        """Side of an embedding's cell, in pixels."""
        return self.patch_stride**2 * prod(self.merge_strides)

    @property
    def embedding_size(self) -> int:
        """Side E of the image embedding, in cells."""
        return self.image_size // self.reduction


CONFIGS = {
    # LiteMedSAM as published: the first stage at full resolution, an embedding of 64 x 64.
    "full": Config(),
    # MobileSAM's patch convolutions, 16 times fewer tokens: 16 x 16 at 256 px, for small machines.
    "strided": Config(patch_stride=2),
    # For tests: the same code in a few milliseconds. No published weights fit it.
    "tiny": Config(
        image_size=64,
        patch_stride=2,
        dims=(8, 8, 16, 16),
        depths=(1, 1, 2, 1),
        heads=(1, 2, 2, 4),
        windows=(3, 3, 4, 3),
        prompt_dim=32,
        decoder_heads=4,
        decoder_hidden=64,
    ),
}


class LiteMedSAM(nn.Module):
    """A promptable segmentation model: :meth:`encode` an image, :meth:`decode` prompts.

    Parameters
    ----------
    config
        Sizes, for example ``CONFIGS["full"]``.

    Examples
    --------
    >>> model = LiteMedSAM(CONFIGS["strided"])
    >>> embedding = model.encode(images)                     # [B, 3, 256, 256] in [0, 1]
    >>> logits, iou = model.decode(embedding, (xy, labels))  # a mask where logits > 0
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.image_encoder = TinyViT(
            config.patch_stride,
            config.dims,
            config.depths,
            config.heads,
            config.windows,
            config.merge_strides,
            config.prompt_dim,
        )
        self.prompt_encoder = PromptEncoder(
            config.prompt_dim, config.image_size, config.embedding_size
        )
        self.mask_decoder = MaskDecoder(
            config.prompt_dim, config.decoder_depth, config.decoder_heads, config.decoder_hidden
        )

    def encode(self, images: Tensor) -> Tensor:
        """Embed images.

        Parameters
        ----------
        images
            [B, 3, S, S], floating point in [0, 1], S = ``config.image_size``.

        Returns
        -------
        Tensor
            [B, 256, E, E], E = ``config.embedding_size``.
        """
        size = self.config.image_size
        if images.ndim != 4 or images.shape[1:] != (3, size, size):
            raise ValueError(f"images: must be [B, 3, {size}, {size}]; got {list(images.shape)}")
        if not images.is_floating_point():
            raise ValueError(f"images: must be floating point in [0, 1]; got {images.dtype}")
        return self.image_encoder(images)

    def decode(
        self,
        embedding: Tensor,
        points: tuple[Tensor, Tensor] | None = None,
        boxes: Tensor | None = None,
        masks: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Decode one mask per prompt.

        Parameters
        ----------
        embedding
            Of :meth:`encode`; one per prompt, or a single one for all B prompts.
        points
            xy [B, K, 2] in pixels of the input image (the centre of its first pixel is 0, 0) and
            labels [B, K]: 1 in the structure, 0 outside it, -1 padding where clicks are fewer.
        boxes
            [B, 4]: x0, y0, x1, y1 in the same pixels.
        masks
            [B, 1, S, S]: logits of an earlier mask. Resized if the embedding needs it.

        Returns
        -------
        tuple
            Mask logits [B, 1, S, S] of the input's size and the IoU [B, 1] that the model
            expects of that mask.
        """
        batch = self._batch(embedding, points, boxes, masks)
        sparse, dense = self.prompt_encoder(batch, points, boxes, masks)
        places = self.prompt_encoder.pe_layer.grid(self.config.embedding_size)
        logits, iou = self.mask_decoder(embedding, places, sparse, dense)
        if logits.shape[-1] != self.config.image_size:
            logits = F.interpolate(logits, (self.config.image_size,) * 2, mode="bilinear")
        return logits, iou

    def _batch(
        self,
        embedding: Tensor,
        points: tuple[Tensor, Tensor] | None,
        boxes: Tensor | None,
        masks: Tensor | None,
    ) -> int:
        """Check the arguments of :meth:`decode`; the number of prompts."""
        c, e = self.config.prompt_dim, self.config.embedding_size
        if embedding.ndim != 4 or embedding.shape[1:] != (c, e, e):
            raise ValueError(f"embedding: must be [B, {c}, {e}, {e}]; got {list(embedding.shape)}")
        counts = {"embedding": len(embedding)}
        if points is not None:
            xy, labels = points
            if xy.ndim != 3 or xy.shape[2] != 2 or xy.shape[:2] != labels.shape:
                raise ValueError(
                    "points: must be xy [B, K, 2] and labels [B, K]; "
                    f"got {list(xy.shape)} and {list(labels.shape)}"
                )
            if not ((labels >= -1) & (labels <= 1)).all():
                raise ValueError(
                    f"points: labels must be 1, 0 or -1; got {labels.unique().tolist()}"
                )
            counts["points"] = len(xy)
        if boxes is not None:
            if boxes.ndim != 2 or boxes.shape[1] != 4:
                raise ValueError(f"boxes: must be [B, 4]; got {list(boxes.shape)}")
            counts["boxes"] = len(boxes)
        if masks is not None:
            if masks.ndim != 4 or masks.shape[1] != 1:
                raise ValueError(f"masks: must be [B, 1, S, S]; got {list(masks.shape)}")
            counts["masks"] = len(masks)
        batch = max(counts.values())
        if any(n not in (batch, 1 if name == "embedding" else batch) for name, n in counts.items()):
            raise ValueError(f"prompts: must be as many as each other; got {counts}")
        return batch
