"""One job: each step alone: ``thumbnail``, and a function per noise kind of ``csrc/noise.h``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core
from .arguments import checked_windows, on_device, to_numpy
from .batch import Stack, apart
from .noise import KINDS, strength_rule
from .plan import check_strength
from .sas import SAS, apart_from, out_pair, pair, run
from .threads import resolve_threads


def thumbnail(
    images: Any,
    masks: Any,
    size: ArrayLike,
    *,
    position: str = "center",
    canvas: int | tuple[int, int] | None = None,
    windows: ArrayLike | None = None,
    antialias: bool = False,
    seed: Any = None,
    ids: ArrayLike | None = None,
    out: tuple[Any, Any] | None = None,
    dtype: Any = None,
    channels: str | None = None,
    num_threads: int | None = None,
) -> tuple[Any, Any]:
    """Shrink each image's window to a thumbnail on a black canvas, its mask alongside: step 1.

    Parameters
    ----------
    images, masks, windows, ids, out, dtype, num_threads
        As in :meth:`SAS.__call__`.
    size : int or array [n] of int
        The thumbnail's longer side in pixels, from 1 to S, the largest that fits the canvas.
    position, canvas, antialias, channels
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
    )
    threads = resolve_threads(num_threads)
    if out is not None:
        images, masks = apart_from(out, images, masks)
    image_stack, mask_stack = pair(images, masks, channels)
    sides = _sides(size, settings.canvas or mask_stack.common_size(), mask_stack, windows)
    plan, drawing = settings.drawing(mask_stack, seed, ids, windows, sides=sides)
    return run(plan, image_stack, mask_stack, out_pair(out), dtype, channels, threads, drawing)


def _sides(size: Any, canvas: Any, stack: Stack, windows: Any) -> NDArray[np.int32] | int:
    address = on_device("size", size, stack, ("int32",), (stack.n,))
    if address is not None:
        return address
    values = to_numpy(size)
    if values.dtype.kind not in "iu" or values.shape not in ((), (stack.n,)):
        raise ValueError(
            f"size must be an integer or {stack.n}, one per sample, got {values.dtype} "
            f"of shape {values.shape}"
        )
    sides = np.broadcast_to(values, (stack.n,))
    rectangles = checked_windows(windows, stack)
    if isinstance(rectangles, int):  # on the GPU, where a side too long is cut
        largest = np.full(stack.n, max(canvas or (0, 0)))
    else:
        if rectangles is None:
            whole = [(0, 0, w, h) for h, w in stack.sizes]
            rectangles = np.broadcast_to(np.array(whole, np.int32).reshape(-1, 4), (stack.n, 4))
        largest = _core.largest_sides(np.ascontiguousarray(rectangles), canvas or (0, 0))
    wrong = (sides < 1) | (sides > largest)
    if wrong.any():
        s = int(np.argmax(wrong))
        raise ValueError(
            f"size must be from 1 to {largest[s]}, the longer side of the largest thumbnail that "
            f"fits the canvas {canvas} (sample {s}), got {sides[s]}"
        )
    return np.ascontiguousarray(sides, np.int32)


_DOC = """{title} noise inside the ROI: {formula}.

v is the pixel's share of full scale; the result is clipped to [0, 1], scaled back and, for
integer types, rounded half to even. Pixels outside the ROI keep their bytes.

Parameters
----------
images, masks, ids, dtype, num_threads
    As in :meth:`sasaug.SAS.__call__`; a list must hold images of one size.
{strength} : float or array [n] of float
    Strength, {rule}; {identity:g} is the identity.
seed : int or generator, optional
    In [0, 2^64), or a generator, as in :meth:`sasaug.SAS.__call__`.
labels, per_channel, salt_vs_pepper, channels
    As in :class:`sasaug.SAS`.
out : array, optional
    Filled and returned, instead of a new array.

Returns
-------
images : array of the input's shape

Raises
------
ValueError, TypeError
    Before anything is written; the message names the argument, the rule and the value.

Examples
--------
>>> import numpy, sasaug
>>> image = numpy.full((64, 64), 100, numpy.uint8)
>>> mask = numpy.zeros((64, 64), bool)
>>> mask[16:32, 16:32] = True
>>> noisy = sasaug.{name}(image, mask, {strength}={example}, seed=7)
>>> bool((noisy[mask] != 100).any()), bool((noisy[~mask] == 100).all())
(True, True)
"""


def noise_function(name: str) -> Callable[..., Any]:
    """The public function of one kind: ``name(images, masks, <strength>, *, seed=None, ...)``."""
    kind = KINDS[name]
    argument = kind["strength"]

    def noise(
        images: Any,
        masks: Any,
        *strength: ArrayLike,
        seed: Any = None,
        ids: ArrayLike | None = None,
        labels: Sequence[int] | None = None,
        per_channel: bool = False,
        salt_vs_pepper: float = 0.5,
        out: Any = None,
        dtype: Any = None,
        channels: str | None = None,
        num_threads: int | None = None,
        **named: ArrayLike,
    ) -> Any:
        values = (*strength, *named.values())
        if len(values) != 1 or named.keys() - {argument}:
            raise TypeError(f"{name}() takes images, masks, {argument} and the options documented")
        settings = SAS(
            thumbnail=None,
            noise={name: kind["usual"]},
            p=1.0,
            apply_to="all",
            labels=labels,
            per_channel=per_channel,
            salt_vs_pepper=salt_vs_pepper,
        )
        threads = resolve_threads(num_threads)
        if out is not None:
            images, masks = apart(images, "images", [out]), apart(masks, "masks", [out])
        image_stack, mask_stack = pair(images, masks, channels)
        if mask_stack.common_size() is None:
            raise ValueError("images must be of one size, got a list of different sizes")
        strengths = _strengths(name, values[0], mask_stack)
        plan, drawing = settings.drawing(mask_stack, seed, ids, None, strengths=strengths)
        return run(
            plan, image_stack, mask_stack, (out, None), dtype, channels, threads, drawing,
            write_masks=False,
        )[0]  # fmt: skip

    noise.__name__ = noise.__qualname__ = name
    noise.__doc__ = _DOC.format(
        title=name.replace("_", "-and-").capitalize(),
        name=name,
        formula=kind["formula"],
        strength=argument,
        rule=strength_rule(name),
        identity=kind["identity"],
        example=kind["usual"][0],
    )
    parameters = dict(inspect.signature(noise).parameters)
    del parameters["named"]
    parameters["strength"] = inspect.Parameter(
        argument, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=ArrayLike
    )
    # what help() shows; mypy does not know that functions take it
    noise.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
    return noise


def _strengths(name: str, strength: Any, stack: Stack) -> NDArray[np.float32] | int:
    argument = KINDS[name]["strength"]
    address = on_device(argument, strength, stack, ("float32",), (stack.n,))
    if address is not None:
        return address
    try:
        strengths = to_numpy(strength, np.float32).astype(np.float32, copy=False)
    except (TypeError, ValueError):
        raise TypeError(f"{argument} must be a number or numbers, got {strength!r}") from None
    check_strength(name, np.atleast_1d(strengths), argument)
    if strengths.shape not in ((), (stack.n,)):
        raise ValueError(
            f"{argument} must be one number or {stack.n}, one per sample, "
            f"got shape {strengths.shape}"
        )
    return np.ascontiguousarray(np.broadcast_to(strengths, (stack.n,)))
