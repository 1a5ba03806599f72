"""One job: the settings that an adapter's class takes, and how they are shown."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any, TypeVar

from ..settings import SAS

#: For each step: the settings that it does not take, and its values that are not SAS's defaults.
STEPS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "jax": ((), {}),  # whole SAS, on arrays of either layout
    "sas": (("channels",), {}),
    "thumbnail": (
        (
            "channels", "noise", "labels", "per_channel", "salt_vs_pepper", "small_fraction",
            "apply_to", "check_values", "least_roi",
        ),
        {"noise": None, "apply_to": "all", "p": 1.0},
    ),
    "noise": (
        (
            "channels", "canvas", "thumbnail", "position", "antialias", "small_fraction",
            "apply_to", "least_roi",
        ),
        {"thumbnail": None, "apply_to": "all", "p": 1.0},
    ),
}  # fmt: skip

NONE: dict[str, Any] = {}

Class = TypeVar("Class", bound=type)


def step_settings(
    step: str, given: dict[str, Any], probability: str = "p", fixed: dict[str, Any] = NONE
) -> SAS:
    """Return the settings of whole SAS ("sas") or of one step ("thumbnail", "noise") alone.

    ``probability`` is the host's name for the setting ``p``, for messages. ``fixed`` are settings
    that the class sets itself and does not take.
    """
    allowed = _allowed(step, fixed)
    for name in given:
        if name not in allowed:
            shown = [probability if setting == "p" else setting for setting in allowed]
            raise TypeError(f"settings must be of {shown}, got {name!r}")
    return SAS(**{**STEPS[step][1], **fixed, **given})


def shows_settings(adapter: Class) -> Class:
    """List the settings by name in the signature of a class that takes ``**settings``."""
    step, fixed = adapter._step, getattr(adapter, "_fixed", NONE)  # type: ignore[attr-defined]
    own = list(inspect.signature(adapter.__init__).parameters.values())[1:]  # type: ignore[misc]
    parameters = [
        p.replace(default=_default(step, "p")) if p.name in ("p", "prob") else p
        for p in own
        if p.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    taken = {"p" if p.name == "prob" else p.name for p in parameters}
    parameters += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_default(step, name))
        for name in _allowed(step, fixed)
        if name not in taken
    ]
    adapter.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return adapter


def changed(
    step: str, settings: SAS, fixed: dict[str, Any] = NONE, **options: Any
) -> dict[str, Any]:
    """Return the arguments that differ from their defaults; None is the default of an option."""
    defaults = step_settings(step, {})
    given = {
        name: getattr(settings, name)
        for name in _allowed(step, fixed)
        if getattr(settings, name) != getattr(defaults, name)
    }
    return given | {name: value for name, value in options.items() if value is not None}


def written(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


def _default(step: str, name: str) -> Any:
    return STEPS[step][1].get(name, getattr(SAS, name))


def _allowed(step: str, fixed: dict[str, Any]) -> list[str]:
    without = (*STEPS[step][0], *fixed)
    return [setting.name for setting in fields(SAS) if setting.name not in without]
