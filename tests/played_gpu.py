"""One job: the kernels' own PTX on a GPU that the host plays: its module, memory and arrays.

``ptx/`` holds what runs it; docs/gpu-testing.md says how. To run random batches for as long as one
likes, beside what the tests do:

    HYPOTHESIS_PROFILE=long pytest tests -k ptx
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import importlib.machinery
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sasaug import _frontends

ROOT = Path(__file__).resolve().parents[1]
PTX = ROOT / "tests" / "ptx"
HOST_UNITS = [
    *(
        ROOT / "csrc" / f"{name}.cpp"
        for name in ("bindings", "cpu/schedule", "cpu/pool", "cpu/loops")
    ),
    ROOT / "csrc" / "cpu" / "scalar.cpp",
    PTX / "machine.cpp",
    PTX / "cuda_runtime.cpp",
]
KERNELS = ROOT / "csrc" / "cuda" / "kernels.cu"
#: as CMakeLists.txt compiles it, for one architecture
NVCC_FLAGS = ["-arch=compute_90", "-fmad=false", "-std=c++17", "-O3", "-DNDEBUG", "-lineinfo"]
READABLE, WRITABLE = 1, 2
FIRST_STREAM = 0x5EED0000  # of device 0, as in cuda_runtime.cpp


def nvcc() -> str | None:
    """Where CMakeLists.txt looks for it."""
    for folder in (None, os.environ.get("CUDA_PATH", "") + "/bin", "/usr/local/cuda/bin"):
        if found := os.environ.get("CUDACXX") or shutil.which("nvcc", path=folder):
            return found
    return None


# ---- the module --------------------------------------------------------------------------------


@functools.cache
def played_core(cache: Path) -> Any:
    """sasaug._core with the kernels on a played GPU, built once per state of the sources."""
    import pybind11

    compiler = nvcc()
    assert compiler is not None
    sources = [f for f in [*(ROOT / "csrc").rglob("*"), *PTX.glob("*")] if f.is_file()]
    parts = [sys.version, pybind11.__version__, compiler, *NVCC_FLAGS]
    parts += [os.environ.get("CXXFLAGS", ""), *(f.read_text() for f in sorted(sources))]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    module = cache / key / f"_core{importlib.machinery.EXTENSION_SUFFIXES[0]}"
    if not module.exists():
        build(compiler, module)
    spec = importlib.util.spec_from_file_location("sasaug_played._core", module)
    assert spec and spec.loader
    core = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(core)
    return core


def build(compiler: str, module: Path) -> None:
    import pybind11

    folder = module.parent
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    # one call of nvcc gives the host's half and the PTX
    kernels = folder / "kernels.o"
    flags = [*NVCC_FLAGS, "-Xcompiler=-fPIC,-fvisibility=hidden", "--keep", f"--keep-dir={folder}"]
    run([compiler, "-c", *flags, f"-I{ROOT / 'csrc'}", str(KERNELS), "-o", str(kernels)])
    translated = folder / "translated.cpp"
    text = run([sys.executable, str(PTX / "translate.py"), str(folder / "kernels.ptx")])
    translated.write_text(text)

    dry = subprocess.run([compiler, "--dryrun", "-c", str(KERNELS)], capture_output=True, text=True)
    toolkit = re.search(r'INCLUDES="([^"]*)"', dry.stderr)
    assert toolkit, dry.stderr
    own = [ROOT / "csrc", PTX, sysconfig.get_path("include"), pybind11.get_include()]
    command = ["c++", "-std=c++17", "-O1", "-g0", "-fPIC", "-fvisibility=hidden"]
    command += ["-ffp-contract=off", *os.environ.get("CXXFLAGS", "").split()]  # a sanitizer's
    command += [*(f"-I{path}" for path in own), *toolkit[1].split()]
    objects = [kernels]
    for unit in (*HOST_UNITS, translated):
        objects.append(folder / f"{unit.stem}.o")
        run([*command, "-c", str(unit), "-o", str(objects[-1])])
    linked = module.with_name(f"{module.name}.part")
    run([*command, "-shared", *map(str, objects), "-o", str(linked), "-pthread"])
    linked.replace(module)


def run(command: list[str]) -> str:
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stderr[-4000:]}"
    return result.stdout


# ---- its memory --------------------------------------------------------------------------------


class Memory:
    """The memory of the played GPU: which bytes are elements of arrays, and may be touched."""

    def __init__(self) -> None:
        self.flags: dict[int, Any] = {}  # by where an array's memory begins
        self.library: Any = None

    def use(self, core: Any) -> None:
        self.library = ctypes.CDLL(core.__file__)
        self.library.ptx_violations.restype = ctypes.c_char_p
        self.library.ptx_counts.restype = ctypes.c_char_p
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
        owner = array
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
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


def extent(array: Any) -> tuple[int, int]:
    """The first byte of an array's elements, and the one after the last."""
    first = last = array.__array_interface__["data"][0]
    if array.size == 0:
        return first, first
    for step, size in zip(array.strides, array.shape, strict=True):
        first, last = first + min(step * (size - 1), 0), last + max(step * (size - 1), 0)
    return first, last + array.itemsize


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
