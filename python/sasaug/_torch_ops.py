"""One job: the custom ops of torch, which compilers trace: each with a fake kernel, no gradient."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from . import calls
from ._arrays import is_single_image
from ._noise_functions import noise_function
from ._ranks import apart
from .settings import SAS as Settings

__all__ = ["ops"]


@lru_cache(maxsize=256)
def _settings(text: str) -> Settings:
    return Settings.from_json(text)


@torch.library.custom_op("sasaug::sas", mutates_args=())
def _sas(
    images: list[Tensor],
    masks: list[Tensor],
    ragged: bool,
    settings: str,
    seed: int,
    drawn: Tensor | None = None,
    ids: Tensor | None = None,
    windows: Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> tuple[Tensor, Tensor]:
    with torch.no_grad():  # the op's own autograd says what a gradient is
        return _settings(settings)(
            images if ragged else images[0],
            masks if ragged else masks[0],
            seed=_unsigned(seed, drawn),
            ids=ids,
            windows=windows,
            dtype=dtype,
        )


@_sas.register_fake
def _(
    images: list[Tensor],
    masks: list[Tensor],
    ragged: bool,
    settings: str,
    seed: int,
    drawn: Tensor | None = None,
    ids: Tensor | None = None,
    windows: Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> tuple[Tensor, Tensor]:
    how = _settings(settings)
    count = len(images) if ragged else None
    one = not ragged and is_single_image(images[0], masks[0], how.channels, how.frames)
    return (
        _on_canvas(images[0], how.canvas, how.channels, count, dtype, one, how.frames),
        _on_canvas(masks[0], how.canvas, how.channels, count, None, one, how.frames),
    )


@torch.library.custom_op("sasaug::thumbnail", mutates_args=())
def _thumbnail(
    images: Tensor,
    masks: Tensor,
    size: Tensor,
    position: str,
    seed: int,
    drawn: Tensor | None = None,
    ids: Tensor | None = None,
    canvas: list[int] | None = None,
    windows: Tensor | None = None,
    antialias: bool = False,
    value_range: list[float] | None = None,
    dtype: torch.dtype | None = None,
    channels: str | None = None,
    frames: bool = False,
) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        return calls.thumbnail(
            images,
            masks,
            size,
            position=position,
            canvas=None if canvas is None else (canvas[0], canvas[1]),
            windows=windows,
            antialias=antialias,
            value_range=None if value_range is None else (value_range[0], value_range[1]),
            seed=_unsigned(seed, drawn),
            ids=ids,
            dtype=dtype,
            channels=channels,
            frames=frames,
        )


@_thumbnail.register_fake
def _(
    images: Tensor,
    masks: Tensor,
    size: Tensor,
    position: str,
    seed: int,
    drawn: Tensor | None = None,
    ids: Tensor | None = None,
    canvas: list[int] | None = None,
    windows: Tensor | None = None,
    antialias: bool = False,
    value_range: list[float] | None = None,
    dtype: torch.dtype | None = None,
    channels: str | None = None,
    frames: bool = False,
) -> tuple[Tensor, Tensor]:
    one = is_single_image(images, masks, channels, frames)
    return (
        _on_canvas(images, canvas, channels, None, dtype, one, frames),
        _on_canvas(masks, canvas, channels, None, None, one, frames),
    )


@torch.library.custom_op("sasaug::noise", mutates_args=())
def _noise(
    images: Tensor,
    masks: Tensor,
    kind: str,
    strength: Tensor,
    seed: int,
    drawn: Tensor | None = None,
    ids: Tensor | None = None,
    labels: list[int] | None = None,
    per_channel: bool = False,
    salt_vs_pepper: float = 0.5,
    value_range: list[float] | None = None,
    check_values: bool | None = None,
    dtype: torch.dtype | None = None,
    channels: str | None = None,
    frames: bool = False,
) -> Tensor:
    with torch.no_grad():
        noisy: Tensor = noise_function(kind)(
            images,
            masks,
            strength,
            seed=_unsigned(seed, drawn),
            ids=ids,
            labels=labels,
            per_channel=per_channel,
            salt_vs_pepper=salt_vs_pepper,
            value_range=value_range,
            check_values=check_values,
            dtype=dtype,
            channels=channels,
            frames=frames,
        )
    return noisy


@_noise.register_fake
def _(
    images: Tensor,
    masks: Tensor,
    kind: str,
    strength: Tensor,
    seed: int,
    drawn: Tensor | None = None,
    ids: Tensor | None = None,
    labels: list[int] | None = None,
    per_channel: bool = False,
    salt_vs_pepper: float = 0.5,
    value_range: list[float] | None = None,
    check_values: bool | None = None,
    dtype: torch.dtype | None = None,
    channels: str | None = None,
    frames: bool = False,
) -> Tensor:
    return torch.empty(images.shape, dtype=dtype or images.dtype, device=images.device)


def _no_gradient(context: Any, *gradients: Any) -> Any:
    raise RuntimeError(
        "the SAS augmentation has no gradient: detach() the images or the result before backward()"
    )


for _op in (_sas, _thumbnail, _noise):
    _op.register_autograd(_no_gradient)

ops: Any = torch.ops.sasaug  # that these are, by name


def _on_canvas(
    tensor: Tensor,
    canvas: Any,
    channels: str | None,
    count: int | None,
    dtype: torch.dtype | None,
    one: bool,
    frames: bool,
) -> Tensor:
    """Return the output for images or masks like these: ``count`` of them, ``one``, or a batch."""
    shape = list(tensor.shape) if count is None else [count, *tensor.shape]
    lead = 0 if one or len(shape) == 2 + frames else 1
    axis = len(shape) - lead - frames == 3
    y = lead + frames + (1 if axis and channels != "last" else 0)
    if canvas is not None:
        shape[y : y + 2] = canvas
    return torch.empty(shape, dtype=dtype or tensor.dtype, device=tensor.device)


def _unsigned(seed: int, drawn: Tensor | None) -> int:
    return seed % 2**64 if drawn is None else apart(int(drawn))
