"""One job: the types of public signatures: the same array library out as in."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar


class Array(Protocol):
    """An array of numpy, torch, cupy or another library; lists are not arrays."""

    @property
    def shape(self) -> Any: ...
    @property
    def dtype(self) -> Any: ...


Images = TypeVar("Images", bound=Array)
Masks = TypeVar("Masks", bound=Array)
