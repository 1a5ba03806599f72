"""One job: a function for each noise kind of ``csrc/method/noise.h``.

_noise_functions.pyi states their signatures for type checkers and editors.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._arrays import ArrayBatch
from ._call import batch_pair, run
from ._checks import device_address, to_numpy
from ._frontends import untraced
from ._threads import resolve_threads
from .noise import KINDS, NOISES, strength_rule
from .plan import check_strength
from .settings import SAS

_DOC = """{title} noise inside the ROI: {formula}.

v is the pixel's value as a fraction of full scale. The result is clipped to [0, 1], scaled back
to the value range and, for integer types, rounded half to even. Pixels outside the ROI keep their
bytes.

Parameters
----------
images, masks, ids, dtype, num_threads
    As in :meth:`sasaug.SAS.__call__`; a list must hold images of one size.
{strength} : float or array [n] of float
    Strength, {rule}; {identity:g} is the identity.
seed : int or generator, optional
    In [0, 2^64), or a generator, as in :meth:`sasaug.SAS.__call__`.
labels, per_channel, salt_vs_pepper, value_range, check_values, channels, frames
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

    @untraced
    def noise(
        images: Any,
        masks: Any,
        *strength: ArrayLike,
        seed: Any = None,
        ids: ArrayLike | None = None,
        labels: Sequence[int] | None = None,
        per_channel: bool = False,
        salt_vs_pepper: float = 0.5,
        value_range: tuple[float, float] | None = None,
        check_values: bool | None = None,
        out: Any = None,
        dtype: Any = None,
        channels: str | None = None,
        frames: bool = False,
        num_threads: int | None = None,
        **named: ArrayLike,
    ) -> Any:
        values = (*strength, *named.values())
        if len(values) != 1 or named.keys() - {argument}:
            unknown = ", ".join(sorted(named.keys() - {argument}))
            got = unknown or (f"{len(values)} strengths" if values else f"no {argument}")
            raise TypeError(f"{name}() expects images, masks and {argument}; got {got}")
        settings = SAS(
            thumbnail=None,
            noise={name: kind["usual"]},
            p=1.0,
            apply_to="all",
            labels=labels,
            per_channel=per_channel,
            salt_vs_pepper=salt_vs_pepper,
            value_range=value_range,
            check_values=check_values,
            frames=frames,
        )
        threads = resolve_threads(num_threads)
        outputs = None if out is None else (out, None)
        x, y = batch_pair(images, masks, channels, outputs, settings.frames)
        if y.common_size() is None:
            raise ValueError("images must be of one size, got a list of different sizes")
        strengths = _strengths(name, values[0], y)
        plan, inputs = settings._drawing(y, seed, ids, None, strengths=strengths)
        return run(
            plan, x, y, (out, None), dtype, channels, threads, inputs,
            write_masks=False, check_values=settings.check_values,
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
        argument, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation="ArrayLike"
    )
    # help() shows this; mypy does not know that a function may have one
    noise.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
    return noise


def _strengths(name: str, strength: Any, batch: ArrayBatch) -> NDArray[np.float32] | int:
    argument = KINDS[name]["strength"]
    address = device_address(argument, strength, batch, ("float32",), (batch.n,))
    if address is not None:
        return address
    try:
        strengths = to_numpy(strength, np.float32).astype(np.float32, copy=False)
    except (TypeError, ValueError):
        raise TypeError(f"{argument} must be a number or numbers, got {strength!r}") from None
    check_strength(name, np.atleast_1d(strengths), argument)
    if strengths.shape not in ((), (batch.n,)):
        raise ValueError(
            f"{argument} must be one number or {batch.n}, one per sample, "
            f"got shape {strengths.shape}"
        )
    return np.ascontiguousarray(np.broadcast_to(strengths, (batch.n,)))


__all__ = list(NOISES)
globals().update({name: noise_function(name) for name in NOISES})
