"""One job: SAS inside torch programs: an ``nn.Module`` and functions over the custom ops.

The plain functions of :mod:`sasaug` take tensors too. What is here can also be traced: by
``torch.compile(fullgraph=True)``, ``torch.export`` and fake tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ._checks import checked_seed, checked_value_range
from ._frontends import TORCH
from ._torch_ops import ops
from .plan import Plan
from .settings import SAS as Settings

__all__ = ["SAS", "noise", "thumbnail"]


class SAS(nn.Module):
    """The SAS augmentation as a module; it augments in training mode only.

    In evaluation mode it resizes to the canvas, as samples that are not transformed are in
    training: the largest thumbnail that fits, without noise; the same for every seed.

    Parameters
    ----------
    settings : sasaug.SAS, optional
        Or the settings of :class:`sasaug.SAS` as keywords. ``channels`` is "first" by default.

    Raises
    ------
    ValueError, TypeError
        If a setting breaks its rule; the message names it, the rule and the value.

    Examples
    --------
    >>> import torch, sasaug.torch
    >>> images = torch.rand(2, 3, 64, 64)
    >>> masks = torch.ones(2, 64, 64, dtype=torch.long)
    >>> augment = sasaug.torch.SAS(canvas=32, p=1.0)
    >>> x, y = augment(images, masks, seed=7)
    >>> x.shape, y.shape, y.dtype
    (torch.Size([2, 3, 32, 32]), torch.Size([2, 32, 32]), torch.int64)
    """

    def __init__(self, settings: Settings | None = None, **keywords: Any) -> None:
        super().__init__()
        if settings is not None and not isinstance(settings, Settings):
            raise TypeError(f"settings must be a sasaug.SAS, got {type(settings).__name__}")
        self.settings = replace(settings or Settings(), **keywords)
        steady = "center" if self.settings.position == "random" else self.settings.position
        quiet = replace(self.settings, thumbnail=None, noise=None, position=steady)
        self._training, self._evaluation = self.settings.to_json(), quiet.to_json()

    def forward(
        self,
        images: Tensor | Sequence[Tensor],
        masks: Tensor | Sequence[Tensor],
        *,
        seed: int | torch.Generator | None = None,
        ids: Any = None,
        windows: Any = None,
        dtype: torch.dtype | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Augment a batch of images and their masks.

        Parameters
        ----------
        images : tensor [h w], [n h w], [n c h w] (or [n h w c]); or a list
            As in :meth:`sasaug.SAS.__call__`; of the CPU or a CUDA device.
        masks : tensor or list
            bool or any integer type, on the images' device.
        seed : int or torch.Generator, optional
            In [0, 2^64); or drawn from the generator, by default torch's own for the CPU, which
            ``torch.manual_seed`` sets and each data loader's worker has for itself; ranks draw
            apart from it.
        ids : tensor [n] or sequence of int, optional
            Sample ids. An int64 tensor on the images' GPU is read there: a captured CUDA graph
            draws anew once it has been changed in place.
        windows : tensor [n 4] or sequence, optional
            Ultrasound windows (x, y, width, height); on the images' GPU an int32 tensor.
        dtype : torch.dtype, optional
            Image type of the output.

        Returns
        -------
        images, masks : tensor, on the canvas, on the images' device

        Raises
        ------
        ValueError, TypeError
            Before anything is written; the message names the argument, the rule and the value.
        RuntimeError
            When a gradient is asked for: there is none.
        """
        if not self.training:
            seed = 0
        ragged = not isinstance(images, Tensor)
        given: list[Any] = list(images) if ragged else [images]
        their_masks = list(masks) if not isinstance(masks, Tensor) else [masks]
        settings = self._training if self.training else self._evaluation
        drawn = _seed(seed)
        ids, windows = _tensor(ids), _tensor(windows)
        if ragged and self.settings.frames and self._lengths_differ(given):
            lists: tuple[Tensor, Tensor]
            lists = self._each(given, their_masks, settings, drawn, ids, windows, dtype)
            return lists
        x, y = ops.sas(given, their_masks, ragged, settings, *drawn, ids, windows, dtype)
        return x, y

    def _lengths_differ(self, clips: list[Tensor]) -> bool:
        last = self.settings.channels == "last"
        return len({clip.shape[0 if last or clip.ndim == 3 else -3] for clip in clips}) > 1

    def _each(
        self,
        images: list[Tensor],
        masks: list[Tensor],
        settings: str,
        drawn: tuple[int, Tensor | None],
        ids: Tensor | None,
        windows: Tensor | None,
        dtype: torch.dtype | None,
    ) -> Any:  # two lists
        """Lists of clips of different lengths, which no op returns: an op for each."""
        n = len(images)
        if len(masks) != n:
            raise ValueError(
                f"masks must match the images in number: expected {n}, got {len(masks)}"
            )
        if ids is None:
            ids = torch.arange(n)
        elif tuple(ids.shape) != (n,):
            raise ValueError(f"ids must be {n}, one per sample, got shape {tuple(ids.shape)}")
        if windows is not None and windows.ndim == 1:
            windows = windows.expand(n, 4)
        pairs = [
            ops.sas(
                [images[s]], [masks[s]], True, settings, *drawn, ids[s : s + 1],
                None if windows is None else windows[s : s + 1], dtype,
            )
            for s in range(n)
        ]  # fmt: skip
        return [x[0] for x, _ in pairs], [y[0] for _, y in pairs]

    def plan(
        self,
        masks: Tensor | Sequence[Tensor],
        *,
        seed: int | torch.Generator | None = None,
        ids: Any = None,
        windows: Any = None,
    ) -> Plan:
        """What training mode would do, as :meth:`sasaug.SAS.plan`.

        Raises
        ------
        ValueError, TypeError
            The message names the argument, the rule and the value.
        """
        return self.settings.plan(masks, seed=seed, ids=ids, windows=windows)

    def extra_repr(self) -> str:
        """The settings that are not the defaults."""
        changed = self.settings.changed().items()
        return ", ".join(f"{name}={value!r}" for name, value in changed)


def thumbnail(
    images: Tensor,
    masks: Tensor,
    size: Any,
    *,
    position: str = "center",
    canvas: int | tuple[int, int] | None = None,
    windows: Any = None,
    antialias: bool = False,
    value_range: tuple[float, float] | None = None,
    seed: int | torch.Generator | None = None,
    ids: Any = None,
    dtype: torch.dtype | None = None,
    channels: str | None = None,
    frames: bool = False,
) -> tuple[Tensor, Tensor]:
    """:func:`sasaug.thumbnail` for tensors, as an op that compilers trace.

    Parameters
    ----------
    images : tensor [h w], [n h w], [n c h w] (or [n h w c])
        As in :meth:`sasaug.SAS.__call__`; of the CPU or a CUDA device.
    masks : tensor [h w] or [n h w]
        bool or any integer type, on the images' device.
    size : int, sequence or tensor [n] of int
        The thumbnail's longer side in pixels, from 1 to S. An int32 tensor on the images' GPU is
        read there, and cut to what fits.
    position, canvas, windows, antialias, value_range, seed, ids, dtype, channels, frames
        As in :func:`sasaug.thumbnail`.

    Returns
    -------
    images, masks : tensor, on the canvas, on the images' device

    Raises
    ------
    ValueError, TypeError
        Before anything is written; the message names the argument, the rule and the value.
    RuntimeError
        When a gradient is asked for: there is none.

    Examples
    --------
    >>> import torch, sasaug.torch
    >>> images, masks = torch.rand(2, 1, 64, 64), torch.ones(2, 64, 64, dtype=torch.bool)
    >>> x, y = sasaug.torch.thumbnail(images, masks, size=[16, 32])
    >>> [int(mask.sum()) for mask in y]
    [256, 1024]
    """
    sides = [canvas, canvas] if isinstance(canvas, int) else canvas
    x, y = ops.thumbnail(
        images, masks, _tensor(size), position, *_seed(seed), _tensor(ids),
        None if sides is None else list(sides), _tensor(windows), antialias, _floats(value_range),
        dtype, channels, frames,
    )  # fmt: skip
    return x, y


def noise(
    images: Tensor,
    masks: Tensor,
    kind: str,
    strength: Any,
    *,
    seed: int | torch.Generator | None = None,
    ids: Any = None,
    labels: Sequence[int] | None = None,
    per_channel: bool = False,
    salt_vs_pepper: float = 0.5,
    value_range: tuple[float, float] | None = None,
    check_values: bool | None = None,
    dtype: torch.dtype | None = None,
    channels: str | None = None,
    frames: bool = False,
) -> Tensor:
    """One kind of ``sasaug.NOISES`` inside the ROI, as an op that compilers trace.

    Parameters
    ----------
    images, masks
        As in :func:`thumbnail`.
    kind : str
        One of ``sasaug.NOISES``.
    strength : float, sequence or tensor [n] of float
        In the kind's own unit and range, as in :func:`sasaug.speckle` and its like. A float32
        tensor on the images' GPU is read there, and cut to the range.
    seed, ids, labels, per_channel, salt_vs_pepper
        As in :func:`sasaug.speckle`.
    value_range, check_values, dtype, channels, frames
        As in :func:`sasaug.speckle`.

    Returns
    -------
    images : tensor of the input's shape, on its device

    Raises
    ------
    ValueError, TypeError
        Before anything is written; the message names the argument, the rule and the value.
    RuntimeError
        When a gradient is asked for: there is none.

    Examples
    --------
    >>> import torch, sasaug.torch
    >>> images, masks = torch.full((2, 1, 64, 64), 0.5), torch.ones(2, 64, 64, dtype=torch.bool)
    >>> x = sasaug.torch.noise(images, masks, "speckle", [0.0, 0.2], seed=7)
    >>> bool((x[0] == 0.5).all()), bool((x[1] == 0.5).all())
    (True, False)
    """
    strengths = strength if isinstance(strength, Tensor) else torch.tensor(strength).float()
    noisy: Tensor = ops.noise(
        images, masks, kind, strengths, *_seed(seed), _tensor(ids),
        None if labels is None else list(labels), per_channel, salt_vs_pepper,
        _floats(value_range), check_values, dtype, channels, frames,
    )  # fmt: skip
    return noisy


def _floats(limits: tuple[float, float] | None) -> list[float] | None:
    """Check a value range, which an op takes as a list."""
    checked = checked_value_range(limits)
    return None if checked is None else list(checked)


def _tensor(values: Any) -> Tensor | None:
    if values is None or isinstance(values, Tensor):
        return values
    if isinstance(values, (list, tuple)) and any(isinstance(v, int) and v >= 2**63 for v in values):
        values = np.array(values, np.uint64)  # ids, which torch takes for int64 otherwise
    if isinstance(values, (list, tuple)):
        return torch.tensor(values)  # as_tensor would compile anew for every list of numbers
    return torch.as_tensor(values)


def _seed(seed: int | torch.Generator | None) -> tuple[int, Tensor | None]:
    """An op's ``seed`` and ``drawn``: 64 bits as a signed integer, or as a tensor.

    What is not given is drawn in the graph, by torch's own op: a compiler merges two calls of ours
    that have the same arguments, but never two of its own draws.
    """
    if seed is None:
        return 0, torch.randint(0, 2**63 - 1, (), dtype=torch.int64, device="cpu")
    if not isinstance(seed, int):
        seed = checked_seed(seed, TORCH)
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed must be in [0, 2^64), got {seed}")
    return seed - 2**64 if seed >= 2**63 else seed, None
