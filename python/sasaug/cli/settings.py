"""One job: read settings from a file and from the command line, which takes precedence."""

from __future__ import annotations

import inspect
import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import GenericAlias, NoneType, UnionType
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import typer

from .. import PRESETS, SAS, STREAM_VERSION
from ..settings import _descriptions, _without_lists

__all__ = [
    "Config",
    "EachMask",
    "ImagePattern",
    "MaskThreshold",
    "Pattern",
    "help_of",
    "option",
    "resolve",
    "shard_of",
    "takes_settings",
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

#: Settings of SAS that are not options: files have a fixed channel axis.
NO_OPTIONS = ("channels",)
DEFAULTS = {field.name: field.default for field in fields(SAS) if field.name not in NO_OPTIONS}
DESCRIPTIONS = _descriptions()
HINTS = get_type_hints(SAS)
#: What differs on the command line from Python: the value's form, and a sentence of help.
FORMS = {"canvas": "<n or hxw>", "noise": "<preset or none>"}
NOTES = {
    "thumbnail": 'On the command line, numbers up to 1 are fractions: "1 1" is the full canvas.',
    "noise": "On the command line, a preset or none; ranges by --config.",
    "frames": "On the command line, the pages of a TIFF file; outputs are such files.",
}

Pattern = Annotated[
    str | None,
    typer.Option(
        help='Name of the masks of an image, such as "{stem}_mask*". Default: {stem}; with '
        "--image-pattern {key}; in tars {stem}.mask."
    ),
]
ImagePattern = Annotated[
    str | None,
    typer.Option(
        help="Name of an image; {key} is the part that --pattern repeats, as in "
        '"img_{key}" with "mask_{key}". Default: every file is an image.'
    ),
]
EachMask = Annotated[
    bool | None,
    typer.Option(
        "--each-mask/--merge-masks",
        help="Several masks of an image are cases of their own, or one merged case. "
        "Default: merged.",
    ),
]
MaskThreshold = Annotated[
    int | None,
    typer.Option(
        help="Least grey value of a mask that counts as object; 0: grey values are "
        "labels. Default: half of the maximum for masks that are JPEG or have soft edges, else 0."
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        help="TOML or JSON file with settings, such as the settings.json of an earlier run. "
        "Options on the command line take precedence."
    ),
]
Command = TypeVar("Command", bound=Callable[..., None])


def takes_settings(*without: str) -> Callable[[Command], Command]:
    """Give a command with ``**settings`` an option for every setting of SAS, but for some.

    The options follow that of `config`; their values are None where they are not given.
    """

    def give(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        *own, _ = signature.parameters.values()
        place = [parameter.name for parameter in own].index("config") + 1
        own[place:place] = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[_kind(name) | None, option(name)],
            )
            for name in DEFAULTS
            if name not in without
        ]
        command.__signature__ = signature.replace(parameters=own)  # type: ignore[attr-defined]
        return command

    return give


def option(name: str) -> Any:
    """Return the option of a setting of SAS."""
    values = [*PRESETS, "none"] if name == "noise" else _choices(name)
    form = FORMS.get(name, f"<{'|'.join(values)}>" if values else None)
    if get_origin(_kind(name)) is tuple:
        form = "<low high>"
    complete: Callable[[], list[str]] | None = (lambda: values) if values else None
    return typer.Option(help=help_of(name), metavar=form, autocompletion=complete)


def help_of(name: str) -> str:
    """Return the help of a setting: its description in the docstring, and its default."""
    _, text = DESCRIPTIONS.get(name, ("", ""))
    note = "Repeatable." if get_origin(_kind(name)) is list else NOTES.get(name, "")
    is_told = "Default:" in text or DEFAULTS[name] is None
    default = "" if is_told else f"Default: {_shown(DEFAULTS[name])}."
    return " ".join(part for part in (text, note, default) if part)


def _kind(name: str) -> Any:
    """Return the type that the command line reads: text where a setting has several types."""
    hint = HINTS[name]
    kinds = [hint]
    if get_origin(hint) is UnionType:
        kinds = [kind for kind in get_args(hint) if kind is not NoneType]
    if len(kinds) > 1:
        return str
    return GenericAlias(list, get_args(kinds[0])) if get_origin(kinds[0]) is Sequence else kinds[0]


def _choices(name: str) -> list[str]:
    """Return the values of a setting that has few, as in {"large", "all"}."""
    kind, _ = DESCRIPTIONS.get(name, ("", ""))
    return [word.strip('" ') for word in kind[1:-1].split(",")] if kind.startswith("{") else []


def _shown(default: Any) -> str:
    """Return a default as it would be typed."""
    if isinstance(default, bool):
        return "on" if default else "off"
    if isinstance(default, tuple):
        return " ".join(_shown(value) for value in default)
    return f"{default:g}" if isinstance(default, float) else str(default)


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
    is_given = {name: got for name, got in given.items() if got is not None and got != []}
    settings.update({name: _value(name, got) for name, got in is_given.items()})
    of_a_run = {name: settings.pop(name, None) for name in OF_A_RUN}
    given_of_a_run = {name: got for name, got in of_a_run.items() if got is not None}
    return SAS(**_without_lists(settings)), given_of_a_run


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
        found = tomllib.loads(content.decode()) if is_toml else json.loads(content)
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


def _value(name: str, got: Any) -> Any:
    """Return a setting with the type of `SAS`; TOML and the command line have no null."""
    if got == "none" and NoneType in get_args(HINTS.get(name)):
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
