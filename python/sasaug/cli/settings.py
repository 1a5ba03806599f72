"""One job: make settings of a file and of what stands on the command line, which wins."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import PRESETS, SAS, STREAM_VERSION

__all__ = [
    "Canvas",
    "Config",
    "Noise",
    "Pattern",
    "Thumbnail",
    "resolve",
    "shard_of",
]

#: Settings of a run that are not of SAS; see `sasaug.folder.Job`.
OF_A_RUN = {"copies": int, "seed": int, "pattern": str, "each_mask": bool, "per_tar": int}
VERSIONS = ("version", "stream_version")  # of a settings.json

Config = Annotated[
    Path | None,
    typer.Option(
        help="TOML or JSON file with settings, such as the settings.json of an earlier run. "
        "What stands on the command line wins."
    ),
]
Canvas = Annotated[
    str | None, typer.Option(help="Output size, N or HxW. Default: each image's own.")
]
Thumbnail = Annotated[
    tuple[float, float] | None,
    typer.Option(
        help="Range of the longer side: pixels, or fractions of the canvas if <= 1. "
        "Default: 0.25 1."
    ),
]
Noise = Annotated[
    str | None,
    typer.Option(
        help=f"Ranges of strength: {', '.join(PRESETS)}, or none; others by --config. "
        "Default: default.",
        autocompletion=lambda: [*PRESETS, "none"],
    ),
]
Pattern = Annotated[
    str | None,
    typer.Option(
        help='Name of an image\'s masks, such as "{stem}_mask*". Default: {stem}; in tars '
        "{stem}.mask."
    ),
]


def resolve(config: Path | None, given: Mapping[str, Any]) -> tuple[SAS, dict[str, Any]]:
    """Return the settings of SAS, and those of a run, of a file and of the command line.

    Parameters
    ----------
    config : Path, optional
        TOML or JSON: fields of `SAS`, and copies, seed, pattern, each_mask, per_tar.
    given : mapping
        The same as the command line has them; None: not given.

    Raises
    ------
    ValueError, TypeError
        A setting is unknown or out of range, or the file cannot be read or understood.
    """
    settings = {} if config is None else _read(config)
    settings.update({name: _value(name, got) for name, got in given.items() if got is not None})
    of_a_run = {name: settings.pop(name, None) for name in OF_A_RUN}
    given_of_a_run = {name: got for name, got in of_a_run.items() if got is not None}
    return SAS.from_json(json.dumps(settings)), given_of_a_run


def shard_of(text: str | None) -> tuple[int, int] | None:
    """Read i/n."""
    if text is None:
        return None
    numbers = text.split("/")
    if len(numbers) != 2 or not all(number.isdecimal() for number in numbers):
        raise ValueError(f"shard must be i/n with 1 <= i <= n, such as 1/8, got {text!r}")
    return int(numbers[0]), int(numbers[1])


def _read(path: Path) -> dict[str, Any]:
    """Return the settings of a file, by name."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"config must be a file that can be read, got {path}: {error}") from None
    try:
        is_toml = path.suffix.lower() == ".toml"
        found = _toml(content.decode()) if is_toml else json.loads(content)
    except ValueError as error:
        raise ValueError(f"config must be TOML (*.toml) or JSON, got {path}: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"config must hold settings by name, got {path}")
    # As settings.json has them: those of SAS in a table of their own.
    inner = found.pop("settings", {})
    if not isinstance(inner, dict):
        raise ValueError(f"settings must be a table, got {inner!r} in {path}")
    found = {**found, **inner}
    stream = found.get("stream_version", STREAM_VERSION)
    if stream != STREAM_VERSION:
        raise ValueError(
            f"config must be of stream version {STREAM_VERSION}, whose pictures this version of "
            f"sasaug makes, got {stream} in {path}"
        )
    known = {*OF_A_RUN, *VERSIONS, *(field.name for field in fields(SAS))}
    unknown = sorted(found.keys() - known)
    if unknown:
        raise ValueError(
            f"config must hold {', '.join(sorted(known - {*VERSIONS}))} alone, "
            f"got {', '.join(unknown)} in {path}"
        )
    for name, kind in OF_A_RUN.items():
        got = found.get(name)
        if got is not None and type(got) is not kind:
            raise TypeError(f"{name} must be of type {kind.__name__}, got {got!r} in {path}")
    return {name: _value(name, got) for name, got in found.items() if name not in VERSIONS}


def _toml(text: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads(text)


def _value(name: str, got: Any) -> Any:
    """Return a setting as SAS has it; TOML and the command line have no null."""
    if got == "none" and name in ("canvas", "thumbnail", "noise"):
        return None
    if name == "canvas" and isinstance(got, str):
        return _canvas(got)
    if name == "thumbnail" and isinstance(got, tuple):
        return _thumbnail(got)
    return got


def _canvas(text: str) -> list[int] | int:
    """Read N or HxW."""
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() for side in sides):
        raise ValueError(f"canvas must be N or HxW in pixels, such as 256 or 256x320, got {text!r}")
    return int(sides[0]) if len(sides) == 1 else [int(side) for side in sides]


def _thumbnail(pair: tuple[float, float]) -> list[float] | list[int]:
    """Tell fractions from pixels, as Python does by type."""
    if max(pair) <= 1:
        return list(pair)
    if any(value != int(value) for value in pair):
        raise ValueError(f"thumbnail must be whole pixels, or fractions up to 1, got {pair}")
    return [int(value) for value in pair]
