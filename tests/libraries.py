"""Array libraries as the tests see them: numpy's arrays go in and come out, whoever's lie between.

A contract test calls ``face.sas(...)``, not ``sasaug.sas(...)``, and so holds for each library.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import sasaug
from host_memory import Blocks, carry, memory_of
from played_gpu import MEMORY, READABLE, WRITABLE, DeviceArray, PlayedFrontend, checked
from played_module import missing, played_core
from sasaug import _call, _frontends
from sasaug.plan import DeviceSamples, Plan


class Library:
    """numpy itself, and what the other libraries do differently."""

    name = "numpy"
    frontend: Any = _frontends.NUMPY
    channels: str | None = None  # what to pass where a test says nothing, for the test's "last"
    gpu = False
    reverses = True  # there are negative strides
    copies = False  # arrays are carried over: what they write has to be carried back

    def missing(self) -> str | None:
        """Why it cannot be tested here."""
        return None

    def running(self) -> contextlib.AbstractContextManager[Any]:
        """In force during each call."""
        return contextlib.nullcontext()

    def to(self, array: Any, memory: Blocks) -> Any:
        return array

    def to_output(self, array: Any, memory: Blocks) -> Any:
        return self.to(array, memory)

    def back(self, array: Any) -> Any:
        return array

    def kind(self, array: Any) -> Any:
        """What must not change from input to output, but for the element type."""
        return type(array)

    def returned(self, given: Any) -> Any:
        """The kind of what comes out where this went in."""
        return self.kind(given)

    def dtype(self, array: Any) -> str:
        return str(array.dtype)

    def elsewhere(self, array: Any) -> Any:
        """A copy on another device; skips the test where there is none."""
        pytest.skip(f"{self.name} has one device here")


class ReadOnly(Library):
    """numpy's arrays that may not be written."""

    name = "read-only"

    def to(self, array: Any, memory: Blocks) -> Any:
        view = array.view()
        view.flags.writeable = False
        return view

    def to_output(self, array: Any, memory: Blocks) -> Any:
        return array


class Exporter:
    """What a library that sasaug has never heard of offers."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()


class DLPack(Library):
    """Comes in by the protocol alone, as jax does, and leaves as numpy."""

    name = "dlpack"

    def to(self, array: Any, memory: Blocks) -> Any:
        if array.dtype == ml_dtypes.bfloat16:  # numpy exports and imports none
            return array
        if any(step % array.itemsize for step in array.strides):
            array = array.copy(order="K")  # numpy exports none of these either
        if not array.flags.writeable and array.size:  # nor of these, so by their memory
            host = memory_of(array)
            start = array.__array_interface__["data"][0] - host.__array_interface__["data"][0]
            array = np.ndarray(array.shape, array.dtype, host, start, array.strides)
        return Exporter(array)

    def to_output(self, array: Any, memory: Blocks) -> Any:
        return array

    def returned(self, given: Any) -> Any:
        return np.ndarray


class Torch(Library):
    name = "torch"
    frontend: Any = _frontends.TORCH
    channels = "last"
    reverses = False
    place = "cpu"

    def missing(self) -> str | None:
        return None if importlib.util.find_spec("torch") else "torch is not installed"

    def to(self, array: Any, memory: Blocks) -> Any:
        import torch

        if array.dtype == ml_dtypes.bfloat16:
            return self.to(array.view(np.int16), memory).view(torch.bfloat16)
        if any(step < 0 or step % array.itemsize for step in array.strides):
            array = array.copy()  # torch has no such strides
        return self.carried(array, memory)

    def carried(self, array: Any, memory: Blocks) -> Any:
        import torch

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            return torch.from_numpy(array)

    def back(self, array: Any) -> Any:
        import torch

        if array.dtype == torch.bfloat16:
            return array.view(torch.int16).cpu().numpy().view(ml_dtypes.bfloat16)
        return array.cpu().numpy()

    def kind(self, array: Any) -> Any:
        return type(array), array.device

    def dtype(self, array: Any) -> str:
        return str(array.dtype).removeprefix("torch.")


class TorchCuda(Torch):
    name = "torch-cuda"
    gpu = copies = True
    place = "cuda"

    def missing(self) -> str | None:
        if reason := super().missing():
            return reason
        import torch

        return None if torch.cuda.is_available() else "torch sees no GPU"

    def carried(self, array: Any, memory: Blocks) -> Any:
        import torch

        def upload(block: Any) -> Any:
            return torch.from_numpy(block).to(self.place)

        if array.size == 0:
            return upload(array.copy())
        block, offset = carry(array, memory, upload)
        if offset % array.itemsize:
            return upload(array.copy())
        typed = block.view(torch.from_numpy(np.empty(0, array.dtype)).dtype)
        steps = [step // array.itemsize for step in array.strides]
        return typed.as_strided(array.shape, steps, offset // array.itemsize)

    def elsewhere(self, array: Any) -> Any:
        return array.cpu()


class Cupy(Library):
    name = "cupy"
    frontend: Any = _frontends.CUPY
    gpu = copies = True

    def missing(self) -> str | None:
        if not importlib.util.find_spec("cupy"):
            return "cupy is not installed"
        import cupy

        return None if cupy.cuda.is_available() else "cupy sees no GPU"

    def to(self, array: Any, memory: Blocks) -> Any:
        import cupy

        if array.size == 0:
            return cupy.empty(array.shape, array.dtype)
        block, offset = carry(array, memory, cupy.asarray)
        return cupy.ndarray(array.shape, array.dtype, block.data + offset, array.strides)

    def back(self, array: Any) -> Any:
        import cupy

        if array.dtype == ml_dtypes.bfloat16:
            return cupy.asnumpy(array.view(np.int16)).view(ml_dtypes.bfloat16)
        return cupy.asnumpy(array)

    def kind(self, array: Any) -> Any:
        return type(array), array.device.id


class Played(Library):
    """The kernels' PTX on a GPU that the host plays, and all of Python's way to it."""

    name = "ptx"
    frontend: Any = PlayedFrontend()
    gpu = True
    cache: Path  # where the module is built

    def missing(self) -> str | None:
        return missing()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        core = _call._core
        played = played_core(self.cache)
        if MEMORY.library is None:
            MEMORY.use(played.library)
        _call._core = played
        _frontends.FRONTENDS.append(self.frontend)
        try:
            with checked():
                yield
        finally:
            _frontends.FRONTENDS.remove(self.frontend)
            _call._core = core

    def to(self, array: Any, memory: Blocks) -> Any:
        return DeviceArray(array)

    def to_output(self, array: Any, memory: Blocks) -> Any:
        return DeviceArray(array, 0, READABLE | WRITABLE)

    def back(self, array: Any) -> Any:
        return array._array

    def kind(self, array: Any) -> Any:
        return type(array), array.number

    def elsewhere(self, array: Any) -> Any:
        return DeviceArray(array._array.copy(), array.number + 1)


LIBRARIES: list[Library] = [
    Library(), ReadOnly(), DLPack(), Torch(), TorchCuda(), Cupy(), Played(),
]  # fmt: skip


class Face:
    """The public names of sasaug, for one library; per-sample arguments go in as they are."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.gpu, self.copies, self.reverses = library.gpu, library.copies, library.reverses
        for name in sasaug.NOISES:
            setattr(self, name, functools.partial(self.step, getattr(sasaug, name)))
        self.thumbnail = functools.partial(self.step, sasaug.thumbnail)
        self.sas = functools.partial(self.step, sasaug.sas)

    def SAS(self, **settings: Any) -> Settings:
        return Settings(self, sasaug.SAS(**self.placed(settings)))

    def apply(self, plan: Plan, images: Any, masks: Any, **options: Any) -> Any:
        return self.step(functools.partial(sasaug.apply, plan), images, masks, **options)

    def step(self, function: Any, images: Any, masks: Any, *rest: Any, **options: Any) -> Any:
        return self.call(function, images, masks, *rest, **self.placed(options))

    def placed(self, options: dict[str, Any]) -> dict[str, Any]:
        """The tests' images have their channels last."""
        if self.library.channels is None:
            return options
        return {"channels": self.library.channels, **options}

    def to(self, array: Any, memory: Blocks | None = None) -> Any:
        return self.library.to(array, {} if memory is None else memory)

    def back(self, array: Any) -> Any:
        return self.library.back(array)

    def call(self, function: Any, images: Any, masks: Any, *rest: Any, **options: Any) -> Any:
        """Convert, call, check that what comes out is of the library that went in, convert back."""
        library, memory = self.library, {}
        given = [each(arrays, library.to, memory) for arrays in (images, masks)]
        out = options.get("out")
        if out is not None:
            options["out"] = each(out, library.to_output, memory)
        try:
            with library.running():
                result = function(*given, *rest, **options)
        finally:
            carry_back(library, out, options.get("out"))
        got = list(result) if isinstance(result, tuple) else [result]
        types = [options.get("dtype") or first(images).dtype, first(masks).dtype]
        for array, dtype, arrays in zip(got, types, given, strict=False):
            assert library.kind(first(array)) == library.returned(first(arrays))
            assert library.dtype(first(array)) == str(dtype)
        if out is None:
            back = [
                [library.back(one) for one in array] if isinstance(array, list)  # of its lengths
                else library.back(array)
                for array in got
            ]  # fmt: skip
            if library.copies:
                for arrays, before in zip(given, (images, masks), strict=True):
                    assert library.back(first(arrays)).tobytes() == first(before).tobytes()
        else:
            back = list(out) if isinstance(result, tuple) else [out]
            filled = options["out"] if isinstance(result, tuple) else [options["out"]]
            assert all(array is expected for array, expected in zip(got, filled, strict=True))
        return tuple(back) if isinstance(result, tuple) else back[0]


class Settings:
    """sasaug.SAS, for one library."""

    def __init__(self, face: Face, settings: sasaug.SAS) -> None:
        self.face, self.settings = face, settings

    def plan(self, masks: Any, **options: Any) -> Plan:
        library = self.face.library
        given = each(masks, library.to, {})
        with library.running():
            plan = self.settings.plan(given, **options)
        assert isinstance(plan.stored, DeviceSamples) == library.gpu
        return plan

    def __call__(self, images: Any, masks: Any, **options: Any) -> Any:
        return self.face.call(self.settings, images, masks, **options)


def each(arrays: Any, convert: Callable[[Any, Blocks], Any], memory: Blocks) -> Any:
    """The arrays of a list or a pair, or the only one; anything else stays as it is."""
    if isinstance(arrays, (list, tuple)):
        return type(arrays)(each(array, convert, memory) for array in arrays)
    return convert(arrays, memory) if isinstance(arrays, np.ndarray) else arrays


def carry_back(library: Library, out: Any, given: Any) -> None:
    """What a call has written into copies of ``out``."""
    if isinstance(out, (list, tuple)):
        for host, array in zip(out, given, strict=True):
            carry_back(library, host, array)
    elif isinstance(out, np.ndarray) and not np.may_share_memory(library.back(given), out):
        out[...] = library.back(given)


def first(arrays: Any) -> Any:
    return arrays[0] if isinstance(arrays, (list, tuple)) else arrays


def faces(only_gpu: bool = False) -> list[Any]:
    """The parameters of a fixture: all libraries, and why those are skipped that are not here."""
    parameters = []
    for library in LIBRARIES:
        if library.gpu or not only_gpu:
            reason = library.missing()
            marks = [pytest.mark.skip(reason=reason)] if reason else []
            if library.copies:
                marks.append(pytest.mark.gpu)
            parameters.append(pytest.param(Face(library), id=library.name, marks=marks))
    return parameters
