"""One job: where numpy's arrays lie in memory, and all of that carried over to another library."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

Blocks = dict[int, Any]  # what a call has carried over so far, by where it lies on the host


def owner_of(array: Any) -> Any:
    """The array whose memory a view is of; one made by ``as_strided`` keeps it at one remove."""
    while True:
        base = array.base
        if base is not None and not isinstance(base, np.ndarray):
            base = getattr(base, "base", None)
        if not isinstance(base, np.ndarray):
            return array
        array = base


def extent(array: Any) -> tuple[int, int]:
    """The first byte of an array's elements, and the one after the last."""
    first = last = array.__array_interface__["data"][0]
    if array.size == 0:
        return first, first
    for step, size in zip(array.strides, array.shape, strict=True):
        first, last = first + min(step * (size - 1), 0), last + max(step * (size - 1), 0)
    return first, last + array.itemsize


def memory_of(array: Any) -> Any:
    """The bytes [n] that an array and every other view of the same memory lie in."""
    first, last = extent(owner_of(array))
    if first == last:
        return np.zeros(0, np.uint8)
    return np.ctypeslib.as_array((ctypes.c_uint8 * (last - first)).from_address(first))


def carry(array: Any, blocks: Blocks, upload: Callable[[Any], Any]) -> tuple[Any, int]:
    """All memory around the array as bytes of another library, and the array's place in them.

    So views that overlap on the host do there too, and strides and alignment stay.
    """
    host = memory_of(array)
    start = host.__array_interface__["data"][0]
    pad = start % 64
    if start not in blocks:
        n = -(-(pad + host.size) // 64) * 64
        whole = np.zeros(n, np.uint8)
        whole[pad : pad + host.size] = host
        blocks[start] = upload(whole), array  # kept, or another array might get its address
    return blocks[start][0], pad + array.__array_interface__["data"][0] - start
