"""One job: CUDA's kernels as loops on the host: their module, built on demand, and its arrays."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.machinery
import importlib.util
import os
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from sasaug import _frontends

ROOT = Path(__file__).resolve().parents[1]
UNITS = [
    ROOT / "csrc" / f"{name}.cpp"
    for name in ("bindings", "cpu/pool", "cpu/schedule", "cpu/loops", "cpu/scalar")
]
UNITS.append(ROOT / "tests" / "emulated_cuda.cpp")


class DeviceArray:
    """An array on an emulated GPU: what it holds is out of numpy's reach."""

    def __init__(self, array: Any, number: int = 0) -> None:
        self._array, self.number = array, number

    shape = property(lambda self: self._array.shape)
    dtype = property(lambda self: self._array.dtype)
    itemsize = property(lambda self: self._array.itemsize)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("an array on the GPU was read on the host")


class EmulatedFrontend:
    """The frontend of DeviceArray."""

    name = "emulated"
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
        return 0

    def current(self, device: int) -> Any:
        return contextlib.nullcontext()

    def empty(self, shape: Any, dtype: str, device: int | None) -> Any:
        n = int(np.prod(shape)) * np.dtype(dtype).itemsize
        assert device is not None
        poison = np.full(n, 0xA5, np.uint8)  # so that an element that is never written shows
        return DeviceArray(poison.view(dtype).reshape(shape), device)

    def writable(self, array: Any) -> bool:
        return True

    def copy(self, array: Any) -> Any:
        return DeviceArray(array._array.copy(), array.number)

    def to_numpy(self, array: Any) -> Any:
        return array._array.copy()

    def seed(self, generator: Any) -> int | None:
        return _frontends.NUMPY.seed(generator) if generator is None else None


@functools.cache
def emulated_core(cache: Path) -> Any:
    """The compiled module with emulated_cuda.cpp in it, built once per state of the sources."""
    import pybind11

    folders = [ROOT / "csrc", sysconfig.get_path("include"), pybind11.get_include()]
    flags = ["-std=c++17", "-O1", "-g0", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off"]
    flags += os.environ.get("CXXFLAGS", "").split()  # a sanitizer's
    command = ["c++", *flags, *(f"-I{folder}" for folder in folders)]
    parts = [" ".join(command), pybind11.__version__, sys.version]
    parts += [file.read_text() for file in (*sorted((ROOT / "csrc").rglob("*.h")), *UNITS)]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    module = cache / key / f"_core{suffix}"
    if not module.exists():
        module.parent.mkdir(parents=True, exist_ok=True)
        objects = [module.parent / f"{unit.stem}.o" for unit in UNITS]
        compiles = [
            [*command, "-c", str(unit), "-o", str(to)]
            for unit, to in zip(UNITS, objects, strict=True)
        ]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(run, compiles))
        linked = module.with_name(f"{module.name}.part")
        run(["c++", *flags, "-shared", *map(str, objects), "-o", str(linked), "-pthread"])
        linked.replace(module)
    spec = importlib.util.spec_from_file_location("sasaug_emulated._core", module)
    assert spec and spec.loader
    core = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(core)
    return core


def run(command: list[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
