"""One job: the memory and the arrays of a GPU that the host plays; docs/gpu-testing.md says how."""

from __future__ import annotations

import contextlib
import ctypes
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np

from host_memory import extent, owner_of
from sasaug import _frontends

READABLE, WRITABLE = 1, 2
FIRST_STREAM = 0x5EED0000  # of device 0, as in cuda_runtime.cpp


# ---- its memory --------------------------------------------------------------------------------


class Memory:
    """The memory of the played GPU: which bytes are elements of arrays, and may be touched."""

    def __init__(self) -> None:
        self.flags: dict[int, Any] = {}  # by where an array's memory begins
        self.library: Any = None

    def use(self, library: Any) -> None:
        self.library = library
        self.library.ptx_violations.restype = ctypes.c_char_p
        self.library.ptx_counts.restype = ctypes.c_char_p
        self.library.ptx_lines.restype = ctypes.c_char_p
        for start, (flags, number) in self.flags.items():
            self.add(start, flags, number)

    def add(self, start: int, flags: Any, number: int) -> None:
        if self.library:
            at = flags.__array_interface__["data"][0]
            self.library.ptx_add_memory(
                ctypes.c_uint64(start), ctypes.c_uint64(flags.size), ctypes.c_void_p(at), number
            )

    def drop(self, start: int) -> None:
        del self.flags[start]
        if self.library:
            self.library.ptx_drop_memory(ctypes.c_uint64(start))

    def allow(self, array: Any, what: int, number: int) -> None:
        """The array's elements may be touched as long as what owns their memory lives."""
        owner = owner_of(array)
        first, last = extent(owner)
        start, end = extent(array)
        if start == end or start < first or end > last:
            return  # nothing, or a view beyond its memory, which sasaug refuses
        if first not in self.flags:
            flags = np.zeros(last - first, np.uint8)
            self.flags[first] = flags, number
            self.add(first, flags, number)
            weakref.finalize(owner, self.drop, first)
        flags = self.flags[first][0]
        at = array.__array_interface__["data"][0] - first
        elements = np.lib.stride_tricks.as_strided(
            flags[at:], (*array.shape, array.itemsize), (*array.strides, 1)
        )
        elements |= np.uint8(what)

    def violations(self) -> list[str]:
        return self.library.ptx_violations().decode().splitlines() if self.library else []


MEMORY = Memory()


@contextlib.contextmanager
def checked() -> Iterator[None]:
    """Fails where a kernel did what it must not."""
    MEMORY.violations()
    yield
    found = MEMORY.violations()
    assert not found, "\n".join(["the kernels' PTX:", *found])


# ---- its arrays --------------------------------------------------------------------------------


class DeviceArray:
    """An array on the played GPU: what it holds is out of numpy's reach."""

    def __init__(self, array: Any, number: int = 0, may: int = READABLE) -> None:
        self._array, self.number = array, number
        MEMORY.allow(array, may, number)

    shape = property(lambda self: self._array.shape)
    dtype = property(lambda self: self._array.dtype)
    itemsize = property(lambda self: self._array.itemsize)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("an array on the GPU was read on the host")


class PlayedFrontend:
    """The frontend of DeviceArray."""

    name = "ptx"
    channels = "last"

    def owns(self, array: Any) -> bool:
        return isinstance(array, DeviceArray)

    def check(self, array: Any, argument: str) -> None:
        pass

    def dtype(self, array: Any) -> str:
        return str(array.dtype.name) if array.dtype.isnative else ""

    def address(self, array: Any) -> int:
        return int(array._array.__array_interface__["data"][0])

    def strides(self, array: Any) -> Any:
        return array._array.strides

    def device(self, array: Any) -> int:
        return array.number

    def stream(self, device: int) -> int:
        return FIRST_STREAM + device

    def current(self, device: int) -> Any:
        return contextlib.nullcontext()

    def empty(self, shape: Any, dtype: str, device: int | None) -> Any:
        n = int(np.prod(shape)) * np.dtype(dtype).itemsize
        assert device is not None
        room = np.full(n + 256, 0xA5, np.uint8)  # so that an element that is never written shows
        at = -room.__array_interface__["data"][0] % 256  # as a GPU's allocators align
        return DeviceArray(room[at : at + n].view(dtype).reshape(shape), device, WRITABLE)

    def writable(self, array: Any) -> bool:
        return True

    def copy(self, array: Any) -> Any:
        return DeviceArray(array._array.copy(), array.number)

    def to_numpy(self, array: Any) -> Any:
        return array._array.copy()

    def seed(self, generator: Any) -> int | None:
        return _frontends.NUMPY.seed(generator) if generator is None else None
