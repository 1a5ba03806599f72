"""One job: features of images for the t-SNE figure, and the name of what made them.

The paper takes VGG-16. It needs torchvision and a file of ImageNet weights, and nothing is
downloaded here. Without them EfficientNet-Lite0 stands in, whose ImageNet weights are a package;
without this too, the model's own encoder. The figure says which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .evaluate import Model
from .model import lite0

# of ImageNet in [0, 1], as VGG-16 was trained
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Extractor:
    """Features [b d] of images float32 [b 3 s s] in [0, 1], and the name for the figure's title."""

    name: str
    features: Callable[[Tensor], Tensor]


def vgg16(weights: str | Path, device: str | torch.device = "cpu") -> Extractor:
    """VGG-16's last convolutions, averaged over the image: d = 512.

    Parameters
    ----------
    weights : a state dict file of torchvision's ``vgg16``, such as ``vgg16-397923af.pth``
    """
    from torchvision.models import vgg16 as build

    network = build()
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    layers = network.features.eval().to(device)
    mean, std = (torch.tensor(each, device=device)[:, None, None] for each in (MEAN, STD))
    return Extractor("VGG-16", lambda images: layers((images - mean) / std).mean((2, 3)))


def imagenet(device: str | torch.device = "cpu") -> Extractor:
    """EfficientNet-Lite0's last stage with ImageNet weights, averaged over the image: d = 320."""
    network = lite0.Encoder()
    network.load_state_dict(lite0.folded(lite0.read_imagenet()))
    network.eval().to(device)
    return Extractor(
        "EfficientNet-Lite0, pretrained on ImageNet",
        lambda images: network(images * 2 - 1)[-1].mean((2, 3)),
    )


def encoder(model: Model) -> Extractor:
    """The model's own embedding, averaged over the image: d = 256."""
    return Extractor("the model's own encoder", lambda images: model.encode(images).mean((2, 3)))


def choose(
    model: Model, weights: str | Path | None = None, device: str | torch.device = "cpu"
) -> Extractor:
    """VGG-16 where torchvision and its weights are at hand; EfficientNet-Lite0; the model's own.

    Weights that were named but are not there are an error, not a reason to take another encoder.
    """
    if weights is not None and find_spec("torchvision"):
        return vgg16(weights, device)
    if find_spec(lite0.MODULE):
        return imagenet(device)
    return encoder(model)


@torch.inference_mode()
def extract(
    extractor: Extractor,
    batches: Iterable[tuple[Tensor, ...]],
    device: str | torch.device = "cpu",
    limit: int | None = None,
) -> NDArray[np.float32]:
    """Features [n d] of the first ``limit`` images of batches (images, ...), or of all."""
    found: list[Tensor] = []
    for images, *_ in batches:
        room = len(images) if limit is None else limit - sum(map(len, found))
        found.append(extractor.features(images[:room].to(device)).float().cpu())
        if limit is not None and room <= len(images):
            break
    return torch.cat(found).numpy()
