"""One job: what sasaug asks of an array library, one small class each.

No library is imported here: one that the caller's arrays do not come from costs nothing.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np


class Frontend(Protocol):
    """What the rest of the package needs to know about one library's arrays."""

    name: str
    channels: str  # where the library's users put them

    def owns(self, array: Any) -> bool:
        """Whether the array is this library's."""

    def dtype(self, array: Any) -> str:
        """Name of the element type, ``""`` for one with foreign byte order."""

    def address(self, array: Any) -> int:
        """Address of the first element."""

    def strides(self, array: Any) -> tuple[int, ...]:
        """Bytes from one element to the next, along each axis."""

    def empty(self, shape: tuple[int, ...], dtype: str) -> Any:
        """A new array, its elements not set."""

    def writable(self, array: Any) -> bool:
        """Whether elements may be set."""

    def overlap(self, a: Any, b: Any) -> bool:
        """Whether two arrays may share memory."""

    def copy(self, array: Any) -> Any:
        """A copy with memory of its own."""


class Numpy:
    """numpy.ndarray."""

    name = "numpy"
    channels = "last"

    def owns(self, array: Any) -> bool:
        return isinstance(array, np.ndarray)

    def dtype(self, array: Any) -> str:
        return str(array.dtype.name) if array.dtype.isnative else ""

    def address(self, array: Any) -> int:
        return int(array.__array_interface__["data"][0])

    def strides(self, array: Any) -> tuple[int, ...]:
        strides: tuple[int, ...] = array.strides
        return strides

    def empty(self, shape: tuple[int, ...], dtype: str) -> Any:
        return np.empty(shape, dtype)

    def writable(self, array: Any) -> bool:
        return bool(array.flags.writeable)

    def overlap(self, a: Any, b: Any) -> bool:
        return np.may_share_memory(a, b)

    def copy(self, array: Any) -> Any:
        return array.copy()


FRONTENDS: tuple[Frontend, ...] = (Numpy(),)


def frontend_of(array: Any, argument: str) -> Frontend:
    """The library that the array belongs to."""
    for frontend in FRONTENDS:
        if frontend.owns(array):
            return frontend
    names = ", ".join(frontend.name for frontend in FRONTENDS)
    kind = type(array)
    raise TypeError(
        f"{argument} must be an array of {names}, or a list of them, "
        f"got {kind.__module__}.{kind.__qualname__}"
    )
