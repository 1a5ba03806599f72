"""One job: the public noise functions, one per kind of ``csrc/noise.h``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .batch import apart
from .noise import KINDS, NUMBERS, strength_rule
from .plan import SAMPLE, Plan, check_strength
from .sas import (
    check_canvas_area,
    checked_ids,
    checked_labels,
    checked_seed,
    flag,
    fraction,
    pair,
    run,
)
from .threads import resolve_threads

_DOC = """{title} noise inside the ROI: {formula}.

v is the pixel's share of full scale; the result is clipped to [0, 1], scaled back and, for
integer types, rounded half to even. Pixels outside the ROI keep their bytes.

Parameters
----------
images, masks, ids, dtype, num_threads
    As in :meth:`sasaug.SAS.__call__`; a list must hold images of one size.
{strength} : float or array [n] of float
    Strength, {rule}; {identity:g} is the identity.
seed : int, optional
    In [0, 2^64). Default: drawn from the operating system.
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
        seed: int | None = None,
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
        strengths = _strengths(name, values[0])
        threads = resolve_threads(num_threads)
        if out is not None:
            images, masks = apart(images, "images", [out]), apart(masks, "masks", [out])
        image_stack, mask_stack = pair(images, masks, channels)
        size = mask_stack.common_size()
        if size is None:
            raise ValueError("images must be of one size, got a list of different sizes")
        if strengths.shape not in ((), (mask_stack.n,)):
            raise ValueError(
                f"{argument} must be one number or {mask_stack.n}, one per sample, "
                f"got shape {strengths.shape}"
            )
        check_canvas_area(size)
        samples = np.zeros(mask_stack.n, SAMPLE)
        samples["id"] = checked_ids(ids, mask_stack)
        samples["transformed"] = True
        samples["window"] = samples["thumbnail"] = (0, 0, size[1], size[0])
        samples["noise"] = NUMBERS[name]
        samples["strength"] = strengths
        plan = Plan(
            samples,
            checked_seed(seed),
            size,
            per_channel=flag("per_channel", per_channel),
            salt_vs_pepper=fraction("salt_vs_pepper", salt_vs_pepper),
            labels=checked_labels(labels),
        )
        return run(plan, image_stack, mask_stack, (out, None), dtype, channels, threads, False)[0]

    noise.__name__ = noise.__qualname__ = name
    noise.__doc__ = _DOC.format(
        title=name.replace("_", "-and-" if name == "salt_pepper" else " ").capitalize(),
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
    noise.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
    return noise


def _strengths(name: str, strength: Any) -> NDArray[np.float32]:
    argument = KINDS[name]["strength"]
    try:
        strengths = np.asarray(strength, np.float32)
    except (TypeError, ValueError):
        raise TypeError(f"{argument} must be a number or numbers, got {strength!r}") from None
    check_strength(name, np.atleast_1d(strengths), argument)
    return strengths
