"""One job: the public calls without settings of their own: ``sas``, ``apply``, ``thumbnail``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core
from ._arrays import ArrayBatch
from ._call import batch_pair, out_pair, run
from ._checks import (
    checked_windows,
    device_address,
    to_numpy,
)
from ._frontends import untraced
from ._threads import resolve_threads
from ._types import Images, Masks
from .plan import Plan
from .settings import SAS


def sas(
    images: Images | Sequence[Images],
    masks: Masks | Sequence[Masks],
    *,
    seed: Any = None,
    ids: ArrayLike | None = None,
    windows: ArrayLike | None = None,
    out: tuple[Images, Masks] | None = None,
    dtype: Any = None,
    num_threads: int | None = None,
    **settings: Any,
) -> tuple[Images, Masks]:
    """Augment a batch with SAS in one call: ``SAS(**settings)(images, masks, ...)``.

    See :class:`SAS` for the settings and :meth:`SAS.__call__` for the other arguments, their shapes
    and types, and what is returned.

    Raises
    ------
    ValueError, TypeError
        Before anything is written; the message names the argument, the rule and the value.

    Examples
    --------
    >>> import numpy, sasaug
    >>> images = numpy.full((2, 64, 64), 100, numpy.uint8)
    >>> masks = numpy.ones((2, 64, 64), bool)
    >>> x, y = sasaug.sas(images, masks, seed=7, p=1.0, position="top_left")
    >>> bool(x[0, 0, 0] > 0), x.shape
    (True, (2, 64, 64))
    """
    return SAS(**settings)(
        images,
        masks,
        seed=seed,
        ids=ids,
        windows=windows,
        out=out,
        dtype=dtype,
        num_threads=num_threads,
    )


@untraced
def apply(
    plan: Plan,
    images: Images | Sequence[Images],
    masks: Masks | Sequence[Masks],
    *,
    out: tuple[Images, Masks] | None = None,
    dtype: Any = None,
    check_values: bool | None = None,
    channels: str | None = None,
    num_threads: int | None = None,
) -> tuple[Images, Masks]:
    """Apply a plan to a batch.

    The same plan on the same input gives the same bytes, today and on any machine.

    Parameters
    ----------
    plan : Plan
        One sample per image; it may have been edited.
    images, masks, out, dtype, num_threads
        As in :meth:`SAS.__call__`.
    check_values, channels
        As in :class:`SAS`.

    Returns
    -------
    images, masks : array [h w], [n h w], [n h w c] or [n c h w], on the plan's canvas

    Raises
    ------
    ValueError, TypeError
        Before anything is written; the message names the argument, the rule and the value.

    Examples
    --------
    >>> import numpy, sasaug
    >>> images = numpy.full((2, 64, 64), 100, numpy.uint8)
    >>> masks = numpy.ones((2, 64, 64), bool)
    >>> plan = sasaug.SAS(p=1.0).plan(masks, seed=7)
    >>> x, y = sasaug.apply(plan, images, masks)
    >>> x2, y2 = sasaug.apply(sasaug.Plan.from_json(plan.to_json()), images, masks)
    >>> bool((x == x2).all())
    True
    """
    if not isinstance(plan, Plan):
        raise TypeError(f"plan must be a sasaug.Plan, got {type(plan).__name__}")
    threads = resolve_threads(num_threads)
    x, y = batch_pair(images, masks, channels, out, plan.frames)
    if len(plan) != y.n:
        raise ValueError(f"plan must have one sample per image: expected {y.n}, got {len(plan)}")
    plan.check(y)
    return run(plan, x, y, out_pair(out), dtype, channels, threads, check_values=check_values)


@untraced
def thumbnail(
    images: Images | Sequence[Images],
    masks: Masks | Sequence[Masks],
    size: ArrayLike,
    *,
    position: str = "center",
    canvas: int | tuple[int, int] | None = None,
    windows: ArrayLike | None = None,
    antialias: bool = False,
    value_range: tuple[float, float] | None = None,
    seed: Any = None,
    ids: ArrayLike | None = None,
    out: tuple[Images, Masks] | None = None,
    dtype: Any = None,
    channels: str | None = None,
    frames: bool = False,
    num_threads: int | None = None,
) -> tuple[Images, Masks]:
    """Shrink each image's window to a thumbnail on a black canvas, its mask alongside: step 1.

    Parameters
    ----------
    images, masks, windows, ids, out, dtype, num_threads
        As in :meth:`SAS.__call__`.
    size : int or array [n] of int
        The thumbnail's longer side in pixels, from 1 to S, the largest that fits the canvas.
    position, canvas, antialias, value_range, channels, frames
        As in :class:`SAS`.
    seed : int, optional
        Used by ``position="random"`` alone.

    Returns
    -------
    images, masks : array [h w], [n h w], [n h w c] or [n c h w], on the canvas
        Of the same library and types. Images are resized bilinearly, masks by the nearest-exact
        rule (arXiv 2503.05916, section 2.2; docs/method.md states both in integers).

    Raises
    ------
    ValueError, TypeError
        Before anything is written; the message names the argument, the rule and the value.

    Examples
    --------
    >>> import numpy, sasaug
    >>> image = numpy.full((64, 64), 100, numpy.uint8)
    >>> x, y = sasaug.thumbnail(image, image > 0, size=16)
    >>> int((x == 100).sum()), int(y.sum())
    (256, 256)
    """
    settings = SAS(
        canvas=canvas,
        position=position,
        noise=None,
        p=1.0,
        apply_to="all",
        antialias=antialias,
        value_range=value_range,
        frames=frames,
    )
    threads = resolve_threads(num_threads)
    x, y = batch_pair(images, masks, channels, out, settings.frames)
    sides = _sides(size, settings.canvas or y.common_size(), y, windows)
    plan, inputs = settings._drawing(y, seed, ids, windows, sides=sides)
    return run(plan, x, y, out_pair(out), dtype, channels, threads, inputs)


def _sides(size: Any, canvas: Any, batch: ArrayBatch, windows: Any) -> NDArray[np.int32] | int:
    address = device_address("size", size, batch, ("int32",), (batch.n,))
    if address is not None:
        return address
    values = to_numpy(size)
    if values.dtype.kind not in "iu" or values.shape not in ((), (batch.n,)):
        raise ValueError(
            f"size must be an integer or {batch.n}, one per sample, got {values.dtype} "
            f"of shape {values.shape}"
        )
    sides = np.broadcast_to(values, (batch.n,))
    rectangles = checked_windows(windows, batch)
    if isinstance(rectangles, int):  # on the GPU, where a side too long is cut
        largest = np.full(batch.n, max(canvas or (0, 0)))
    else:
        if rectangles is None:
            whole = [(0, 0, w, h) for h, w in batch.sizes]
            rectangles = np.broadcast_to(np.array(whole, np.int32).reshape(-1, 4), (batch.n, 4))
        largest = _core.largest_sides(np.ascontiguousarray(rectangles), canvas or (0, 0))
    wrong = (sides < 1) | (sides > largest)
    if wrong.any():
        s = int(np.argmax(wrong))
        raise ValueError(
            f"size must be from 1 to {largest[s]}, the longer side of the largest thumbnail that "
            f"fits the canvas {canvas} (sample {s}), got {sides[s]}"
        )
    return np.ascontiguousarray(sides, np.int32)
