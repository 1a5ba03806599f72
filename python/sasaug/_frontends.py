"""One job: what sasaug asks of an array library, one small class each.

No library is imported here: the caller's arrays come from one that is, and it is found in
``sys.modules``. Others come in through ``__cuda_array_interface__`` or DLPack.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cache, wraps
from typing import Any, Protocol, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from . import _core
from ._ranks import apart


class Frontend(Protocol):
    """What the rest of the package needs to know about one library's arrays."""

    name: str
    channels: str  # where the library's users put them

    def owns(self, array: Any) -> bool:
        """Whether the array is this library's."""

    def check(self, array: Any, argument: str) -> None:
        """Raise for an array of this library that no kernel can read."""

    def dtype(self, array: Any) -> str:
        """Name of the element type, ``""`` for one with foreign byte order."""

    def address(self, array: Any) -> int:
        """Address of the first element."""

    def strides(self, array: Any) -> tuple[int, ...]:
        """Bytes from one element to the next, along each axis."""

    def device(self, array: Any) -> int | None:
        """Number of the CUDA device; None for the CPU."""

    def stream(self, device: int) -> int:
        """Address of the library's current stream on the device."""

    def current(self, device: int) -> AbstractContextManager[Any]:
        """Makes the device current for a while, as the library itself does it."""

    def empty(self, shape: tuple[int, ...], dtype: str, device: int | None) -> Any:
        """A new array, its elements not set."""

    def writable(self, array: Any) -> bool:
        """Whether elements may be set."""

    def copy(self, array: Any) -> Any:
        """A copy with memory of its own."""

    def to_numpy(self, array: Any) -> NDArray[Any]:
        """The elements on the host."""

    def as_float64(self, array: Any) -> Any:
        """The elements in float64."""

    def as_type(self, array: Any, like: Any) -> Any:
        """A float64 array in the type of another one, if that is of floats."""

    def beside(self, array: Any, numbers: NDArray[np.float64]) -> Any:
        """Numbers as an array of this library, on another one's device."""

    def concatenate(self, arrays: Sequence[Any]) -> Any:
        """Arrays joined along their last axis."""

    def seed(self, generator: Any) -> int | None:
        """A seed from the library's default generator (None) or from one of its generators.

        None for any other object.
        """


def fresh_seed() -> int:
    return int.from_bytes(os.urandom(8), "little")


class Numpy:
    """numpy.ndarray."""

    name = "numpy"
    channels = "last"

    def owns(self, array: Any) -> bool:
        return isinstance(array, np.ndarray)

    def check(self, array: Any, argument: str) -> None:
        pass

    def dtype(self, array: Any) -> str:
        return _numpy_name(array.dtype)

    def address(self, array: Any) -> int:
        return _core.address(array)

    def strides(self, array: Any) -> tuple[int, ...]:
        strides: tuple[int, ...] = array.strides
        return strides

    def device(self, array: Any) -> int | None:
        return None

    def stream(self, device: int) -> int:
        raise NotImplementedError  # these arrays have no device: nobody asks

    def current(self, device: int) -> AbstractContextManager[Any]:
        raise NotImplementedError  # as above

    def empty(self, shape: tuple[int, ...], dtype: str, device: int | None) -> Any:
        try:
            return np.empty(shape, _numpy_type(dtype))
        except TypeError:
            raise TypeError(
                f"dtype must be a type that numpy knows (bfloat16: import ml_dtypes), got {dtype!r}"
            ) from None

    def writable(self, array: Any) -> bool:
        return bool(array.flags.writeable)

    def copy(self, array: Any) -> Any:
        return array.copy()

    def to_numpy(self, array: Any) -> NDArray[Any]:
        return np.asarray(array)

    def as_float64(self, array: Any) -> Any:
        return array.astype(np.float64)

    def as_type(self, array: Any, like: Any) -> Any:
        return array.astype(like.dtype) if "float" in like.dtype.name else array

    def beside(self, array: Any, numbers: NDArray[np.float64]) -> Any:
        return numbers

    def concatenate(self, arrays: Sequence[Any]) -> Any:
        return np.concatenate(arrays, -1)

    def seed(self, generator: Any) -> int | None:
        if isinstance(generator, np.random.Generator):
            return int(generator.integers(2**64, dtype=np.uint64))
        return fresh_seed() if generator is None else None


class Cupy:
    """cupy.ndarray."""

    name = "cupy"
    channels = "last"

    def owns(self, array: Any) -> bool:
        return _is("cupy", "ndarray", array)

    def check(self, array: Any, argument: str) -> None:
        pass

    def dtype(self, array: Any) -> str:
        return _numpy_name(array.dtype)

    def address(self, array: Any) -> int:
        return int(array.data.ptr)

    def strides(self, array: Any) -> tuple[int, ...]:
        strides: tuple[int, ...] = array.strides
        return strides

    def device(self, array: Any) -> int | None:
        return int(array.data.device_id)

    def stream(self, device: int) -> int:
        return int(sys.modules["cupy"].cuda.get_current_stream(device).ptr)

    def current(self, device: int) -> AbstractContextManager[Any]:
        context: AbstractContextManager[Any] = sys.modules["cupy"].cuda.Device(device)
        return context

    def empty(self, shape: tuple[int, ...], dtype: str, device: int | None) -> Any:
        cupy = sys.modules["cupy"]
        with cupy.cuda.Device(device):
            return cupy.empty(shape, dtype)

    def writable(self, array: Any) -> bool:
        return True

    def copy(self, array: Any) -> Any:
        with array.device:
            return array.copy()

    def to_numpy(self, array: Any) -> NDArray[Any]:
        host: NDArray[Any] = sys.modules["cupy"].asnumpy(array)
        return host

    def as_float64(self, array: Any) -> Any:
        return array.astype(np.float64)

    def as_type(self, array: Any, like: Any) -> Any:
        return array.astype(like.dtype) if "float" in like.dtype.name else array

    def beside(self, array: Any, numbers: NDArray[np.float64]) -> Any:
        with array.device:
            return sys.modules["cupy"].asarray(numbers)

    def concatenate(self, arrays: Sequence[Any]) -> Any:
        return sys.modules["cupy"].concatenate(arrays, -1)

    def seed(self, generator: Any) -> int | None:
        # cupy's own generator lives on the GPU: asking it would wait for the device
        return fresh_seed() if generator is None else None


class Torch:
    """torch.Tensor, on the CPU or a CUDA device."""

    name = "torch"
    channels = "first"

    def owns(self, array: Any) -> bool:
        return _is("torch", "Tensor", array)

    def check(self, array: Any, argument: str) -> None:
        torch = sys.modules["torch"]
        if array.layout is not torch.strided or array.device.type not in ("cpu", "cuda"):
            raise TypeError(
                f"{argument} must be a dense tensor on the CPU or a CUDA device, "
                f"got {array.layout} on {array.device}"
            )
        if array.is_neg():
            raise ValueError(f"{argument} must not be a negated view: call resolve_neg(), got one")
        if array.requires_grad and torch.is_grad_enabled():
            raise ValueError(
                f"{argument} must not require a gradient, the augmentation has none: detach() it, "
                "got requires_grad=True"
            )

    def dtype(self, array: Any) -> str:
        return _torch_name(array.dtype)

    def address(self, array: Any) -> int:
        return int(array.data_ptr())

    def strides(self, array: Any) -> tuple[int, ...]:
        size = array.element_size()
        return tuple([size * stride for stride in array.stride()])

    def device(self, array: Any) -> int | None:
        number: int = array.get_device()  # -1 on the CPU
        return number if number >= 0 else None

    def stream(self, device: int) -> int:
        return int(sys.modules["torch"].cuda.current_stream(device).cuda_stream)

    def current(self, device: int) -> AbstractContextManager[Any]:
        context: AbstractContextManager[Any] = sys.modules["torch"].cuda.device(device)
        return context

    def empty(self, shape: tuple[int, ...], dtype: str, device: int | None) -> Any:
        torch = sys.modules["torch"]
        where = "cpu" if device is None else f"cuda:{device}"
        return torch.empty(shape, dtype=getattr(torch, dtype), device=where)

    def writable(self, array: Any) -> bool:
        return True

    def copy(self, array: Any) -> Any:
        return array.clone()

    def to_numpy(self, array: Any) -> NDArray[Any]:
        host: NDArray[Any] = array.cpu().numpy()
        return host

    def as_float64(self, array: Any) -> Any:
        return array.double()

    def as_type(self, array: Any, like: Any) -> Any:
        return array.to(like.dtype) if like.is_floating_point() else array

    def beside(self, array: Any, numbers: NDArray[np.float64]) -> Any:
        return sys.modules["torch"].tensor(numbers, device=array.device)

    def concatenate(self, arrays: Sequence[Any]) -> Any:
        return sys.modules["torch"].cat(list(arrays), -1)

    def seed(self, generator: Any) -> int | None:
        torch = sys.modules["torch"]
        if generator is not None and not isinstance(generator, torch.Generator):
            return None
        where = "cpu" if generator is None else generator.device
        number = torch.empty((), dtype=torch.int64, device=where).random_(generator=generator)
        return apart(int(number)) if generator is None else int(number)


Function = TypeVar("Function", bound=Callable[..., Any])


def untraced(function: Function) -> Function:
    """Break the graph of ``torch.compile`` at each call: it reads addresses, and cannot be traced.

    ``sasaug.torch`` has ops that can.
    """

    @wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        if "torch" in sys.modules:
            compiler = _loaded("torch", "compiler")
            if compiler is not None and compiler.is_compiling():
                return compiler.disable(function)(*arguments, **options)
        return function(*arguments, **options)

    return cast(Function, call)


def _loaded(module: str, name: str) -> Any:
    """What a library calls so, if it is imported: an import that failed half-way leaves None."""
    return getattr(sys.modules.get(module), name, None)


def _is(module: str, name: str, array: Any) -> bool:
    kind = _loaded(module, name)
    return kind is not None and isinstance(array, kind)


@cache  # numpy makes the name anew each time, in microseconds
def _numpy_name(dtype: np.dtype[Any]) -> str:
    return str(dtype.name) if dtype.isnative else ""


@cache
def _numpy_type(name: str) -> np.dtype[Any]:
    return np.dtype(name)


@cache
def _torch_name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


NUMPY, CUPY, TORCH = Numpy(), Cupy(), Torch()
FRONTENDS: list[Frontend] = [NUMPY, TORCH, CUPY]

CPU, CUDA = 1, 2  # DLPack's device types


def adopt(array: Any, argument: str) -> tuple[Frontend, Any]:
    """The library that the array belongs to, and the array as one of that library."""
    for frontend in FRONTENDS:
        if frontend.owns(array):
            frontend.check(array, argument)
            return frontend, array
    on_gpu = hasattr(array, "__cuda_array_interface__")
    if on_gpu and (asarray := _loaded("cupy", "asarray")):
        return CUPY, asarray(array)  # waits for the stream that the interface names
    if hasattr(array, "__dlpack__") and hasattr(array, "__dlpack_device__"):
        return _through_dlpack(array, argument)
    names = ", ".join(frontend.name for frontend in FRONTENDS)
    kind = type(array)
    convert = "; convert it by np.asarray" if hasattr(array, "__array_interface__") else ""
    raise TypeError(
        f"{argument} must be an array of {names}, of a library that speaks DLPack, or a list of "
        f"them{' (import cupy first)' if on_gpu else ''}, "
        f"got {kind.__module__}.{kind.__qualname__}{convert}"
    )


def _through_dlpack(array: Any, argument: str) -> tuple[Frontend, Any]:
    device = array.__dlpack_device__()[0]
    readers: list[tuple[Frontend, str]] = []
    if device == CPU:
        readers = [(NUMPY, "numpy")]
    elif device == CUDA:
        readers = [(CUPY, "cupy"), (TORCH, "torch")]
    for frontend, module in readers:
        if from_dlpack := _loaded(module, "from_dlpack"):
            try:
                return frontend, from_dlpack(array)
            except (BufferError, RuntimeError, TypeError, ValueError) as error:
                raise TypeError(
                    f"{argument} must be an array that {module}.from_dlpack takes, got {error}"
                ) from error
    raise TypeError(
        f"{argument} must be on the CPU or, with cupy or torch imported, a CUDA device, "
        f"got DLPack device type {int(device)}"
    )
