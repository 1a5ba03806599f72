"""One job: read settings from a file and from the command line, which takes precedence."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import PRESETS, SAS, STREAM_VERSION

__all__ = [
    "Antialias",
    "ApplyTo",
    "Canvas",
    "Config",
    "EachMask",
    "ImagePattern",
    "Labels",
    "MaskThreshold",
    "Noise",
    "P",
    "Pattern",
    "Position",
    "Thumbnail",
    "ValueRange",
    "resolve",
    "shard_of",
]

#: Settings of a run that are not of SAS; see `sasaug.folder.Job`.
OF_A_RUN = {
    "copies": int,
    "seed": int,
    "pattern": str,
    "image_pattern": str,
    "each_mask": bool,
    "mask_threshold": int,
    "per_tar": int,
}
VERSIONS = ("version", "stream_version")  # of a settings.json
POSITIONS = ["center", "random", "top_left"]

#: Help of the settings that are options, by name.
HELP = {
    "canvas": "Output size, N or HxW in pixels. Default: each image's own size.",
    "thumbnail": "Range of the longer side: fractions of the largest that fits if at most 1 "
    '("1 1" is the full canvas), pixels otherwise. Default: 0.25 1.',
    "position": f"{', '.join(POSITIONS[:-1])} or {POSITIONS[-1]}. Default: {POSITIONS[0]}.",
    "noise": f"Ranges of strength: {', '.join(PRESETS)}, or none; others by --config. "
    "Default: default.",
    "p": "Probability that a copy is transformed. Default: 0.5.",
    "apply_to": "large: never transform objects of at most 3 % of the image; all: transform "
    "them too. Default: large.",
    "labels": "Label whose pixels get noise; repeatable. Default: all.",
    "antialias": "Antialias when shrinking. Default: off.",
    "value_range": "Grey values of black and full scale, such as 0 4095 for 12-bit data in 16-bit "
    "files. Default: the full range of the file's type.",
    "pattern": 'Name of the masks of an image, such as "{stem}_mask*". Default: {stem}; with '
    "--image-pattern {key}; in tars {stem}.mask.",
    "image_pattern": "Name of an image; {key} is the part that --pattern repeats, as in "
    '"img_{key}" with "mask_{key}". Default: every file is an image.',
    "each_mask": "Several masks of an image are cases of their own, or one merged case. "
    "Default: merged.",
    "mask_threshold": "Least grey value of a mask that counts as object; 0: grey values are "
    "labels. Default: half of the maximum for masks that are JPEG or have soft edges, else 0.",
}


def _option(name: str, *flags: str, values: list[str] | None = None) -> Any:
    complete: Callable[[], list[str]] | None = None if values is None else lambda: values
    return typer.Option(*flags, help=HELP[name], autocompletion=complete)


Canvas = Annotated[str | None, _option("canvas")]
Thumbnail = Annotated[tuple[float, float] | None, _option("thumbnail")]
Position = Annotated[str | None, _option("position", values=POSITIONS)]
Noise = Annotated[str | None, _option("noise", values=[*PRESETS, "none"])]
P = Annotated[float | None, _option("p", "--p")]
ApplyTo = Annotated[str | None, _option("apply_to", values=["large", "all"])]
Labels = Annotated[list[int] | None, _option("labels")]
Antialias = Annotated[bool | None, _option("antialias")]
ValueRange = Annotated[tuple[float, float] | None, _option("value_range")]
Pattern = Annotated[str | None, _option("pattern")]
ImagePattern = Annotated[str | None, _option("image_pattern")]
EachMask = Annotated[bool | None, _option("each_mask", "--each-mask/--merge-masks")]
MaskThreshold = Annotated[int | None, _option("mask_threshold")]
Config = Annotated[
    Path | None,
    typer.Option(
        help="TOML or JSON file with settings, such as the settings.json of an earlier run. "
        "Options on the command line take precedence."
    ),
]


def resolve(config: Path | None, given: Mapping[str, Any]) -> tuple[SAS, dict[str, Any]]:
    """Merge the settings of a file and of the command line.

    Parameters
    ----------
    config : Path, optional
        TOML or JSON: fields of `SAS`, and those of `OF_A_RUN`.
    given : mapping
        The same from the command line; None: not given.

    Returns
    -------
    settings : SAS
    of_a_run : dict
        The settings of `OF_A_RUN` that are given.

    Raises
    ------
    ValueError, TypeError
        A setting is unknown or out of range, or the file cannot be read or understood.
    """
    settings = {} if config is None else _read(config)
    settings.update({name: _value(name, got) for name, got in given.items() if got is not None})
    of_a_run = {name: settings.pop(name, None) for name in OF_A_RUN}
    given_of_a_run = {name: got for name, got in of_a_run.items() if got is not None}
    for name in ("canvas", "thumbnail", "labels", "value_range"):
        if isinstance(settings.get(name), list):
            settings[name] = tuple(settings[name])
    return SAS(**settings), given_of_a_run


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
    # settings.json keeps the settings of SAS in a table of their own.
    inner = found.pop("settings", {})
    if not isinstance(inner, dict):
        raise ValueError(f"settings must be a table, got {inner!r} in {path}")
    found = {**found, **inner}
    stream = found.get("stream_version", STREAM_VERSION)
    if stream != STREAM_VERSION:
        raise ValueError(
            f"config must be of stream version {STREAM_VERSION}, the one of this sasaug, got "
            f"{stream} in {path}"
        )
    known = {*OF_A_RUN, *VERSIONS, *(field.name for field in fields(SAS))}
    unknown = sorted(found.keys() - known)
    if unknown:
        raise ValueError(
            f"config must hold only {', '.join(sorted(known - {*VERSIONS}))}, "
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
    """Return a setting with the type of `SAS`; TOML and the command line have no null."""
    if got == "none" and name in ("canvas", "thumbnail", "noise"):
        return None
    if name == "canvas":
        return _canvas(got)
    if name == "thumbnail" and isinstance(got, tuple):
        return _thumbnail(got)
    return got


def _canvas(got: Any) -> Any:
    """Read N or HxW, and refuse sides below 1."""
    sides = got.lower().split("x") if isinstance(got, str) else got
    sides = sides if isinstance(sides, list) else [sides]
    if isinstance(got, str):
        is_read = len(sides) <= 2 and all(side.isdecimal() for side in sides)
        sides = [int(side) for side in sides] if is_read else [0]
    if any(isinstance(side, int) and side < 1 for side in sides):
        raise ValueError(
            f"canvas must be N or HxW in pixels, each at least 1, such as 256 or 256x320, got {got}"
        )
    return sides[0] if len(sides) == 1 else tuple(sides)


def _thumbnail(pair: tuple[float, float]) -> tuple[float, float] | tuple[int, int]:
    """Tell fractions from pixels, which Python tells by type."""
    if max(pair) <= 1:
        return pair
    if min(pair) <= 1 or any(value != int(value) for value in pair):
        raise ValueError(
            f"thumbnail must be two fractions up to 1, or two sizes in whole pixels above 1, got "
            f"{pair[0]:g} {pair[1]:g}"
        )
    return int(pair[0]), int(pair[1])
