"""One job: convert a row of the manifest between values and text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .job import Row

__all__ = ["as_text", "as_values", "is_transformed"]

INTEGERS = ("frames", "source_roi", "copy", "seed", "id", "roi")
LISTS = ("source_orientations", "window", "thumbnail", "canvas")


def as_text(values: Mapping[str, Any]) -> Row:
    """Return values as the manifest writes them; the inverse of :func:`as_values`."""
    return {name: _text(value) for name, value in values.items()}


def as_values(row: Row) -> dict[str, Any]:
    """Return integers, lists of integers, bool and float where the columns hold them.

    Examples
    --------
    >>> from sasaug.folder.rows import as_text, as_values
    >>> row = as_text({"id": 3, "window": [0, 0, 48, 40], "transformed": True, "strength": None})
    >>> row["window"], row["transformed"], row["strength"]
    ('0 0 48 40', 'true', '')
    >>> as_values(row)
    {'id': 3, 'window': [0, 0, 48, 40], 'transformed': True, 'strength': None}
    """
    return {name: _value(name, text) for name, text in row.items()}


def is_transformed(row: Row) -> bool:
    return row["transformed"] == "true"


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.9g}"  # enough to tell all float32 apart
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _value(name: str, text: str) -> Any:
    if name in INTEGERS:
        return int(text)
    if name in LISTS:
        return [int(number) for number in text.split()]
    if name == "transformed":
        return text == "true"
    if name == "strength":
        return float(text) if text else None
    return (text or None) if name == "noise" else text
