"""One job: check settings and per-sample arguments, each by one rule, with one message.

Every function returns the value as the rest of the package keeps it, or raises ValueError or
TypeError naming the argument, the rule and the value got.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _core
from ._arrays import IMAGE_TYPES, ArrayBatch, place_name
from ._frontends import FRONTENDS, NUMPY, Frontend
from ._layout import MAX_SIDE


def checked_flag(name: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def check_choice(name: str, value: Any, choices: Any) -> None:
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {list(choices)}, got {value!r}")


def checked_fraction(name: str, value: Any) -> float:
    if isinstance(value, (bool, str)) or not isinstance(value, (int, float, np.number)):
        raise TypeError(f"{name} must be a number in [0, 1], got {value!r}")
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be in [0, 1], got {value!r}")
    return float(value)


def is_integer(value: Any) -> bool:
    kind = type(value)  # nearly always int itself
    return kind is int or (kind is not bool and isinstance(value, (int, np.integer)))


def checked_integer(name: str, value: Any, end: int) -> int:
    if not is_integer(value):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if not 0 <= value < end:
        raise ValueError(f"{name} must be in [0, 2^{end.bit_length() - 1}), got {value}")
    return int(value)


def checked_canvas(canvas: Any, name: str = "canvas", least: int = 1) -> tuple[int, int]:
    pair = (canvas, canvas) if is_integer(canvas) else canvas
    if (
        not isinstance(pair, (tuple, list))
        or len(pair) != 2
        or not all(is_integer(side) and least <= side <= MAX_SIDE for side in pair)
    ):
        raise ValueError(
            f"{name} must be an int or (height, width), each in [{least}, {MAX_SIDE}], "
            f"got {canvas!r}"
        )
    return int(pair[0]), int(pair[1])


def check_canvas_area(canvas: tuple[int, int]) -> None:
    if -(-canvas[0] // 4) * canvas[1] > 2**32:  # one 32-bit counter per column of four rows
        raise ValueError(f"canvas must be of at most 2^34 pixels, got {canvas}")


def checked_thumbnail(limits: Any) -> tuple[float, float] | None:
    if limits is None:
        return None
    if isinstance(limits, (tuple, list)) and len(limits) == 2:
        low, high = limits
        if is_integer(low) and is_integer(high) and 1 <= low <= high <= MAX_SIDE:
            return int(low), int(high)
        numbers = all(is_integer(v) or isinstance(v, (float, np.floating)) for v in limits)
        if numbers and not (is_integer(low) and is_integer(high)) and 0 < low <= high <= 1:
            return float(low), float(high)
    raise ValueError(
        "thumbnail must be None, two fractions 0 < low <= high <= 1 (floats) or two sides in "
        f"pixels 1 <= low <= high (ints), got {limits!r}"
    )


def checked_labels(labels: Any, name: str = "labels") -> tuple[int, ...] | None:
    if labels is None:
        return None
    values = list(labels) if isinstance(labels, (Sequence, set, frozenset, np.ndarray)) else []
    valid = all(is_integer(v) and v != 0 and -(2**63) <= v < 2**64 for v in values)
    if not 1 <= len(values) <= _core.MAX_LABELS or not valid or isinstance(labels, (str, bytes)):
        raise ValueError(
            f"{name} must be 1 to {_core.MAX_LABELS} integers other than 0 (background), "
            f"got {labels!r}"
        )
    return tuple(sorted({int(v) for v in values}))


def checked_value_range(limits: Any, name: str = "value_range") -> tuple[float, float] | None:
    """Black and full scale, as numbers that float32 tells apart; None: the type's own."""
    if limits is None:
        return None
    rule = f"{name} must be None or (low, high), two finite numbers with low < high"
    numbers = isinstance(limits, (tuple, list, np.ndarray)) and len(limits) == 2
    if not numbers or not all(is_integer(v) or isinstance(v, (float, np.floating)) for v in limits):
        raise TypeError(f"{rule}, got {limits!r}")
    low, high = (float(v) for v in limits)
    with np.errstate(over="ignore"):
        full = np.float32(high) - np.float32(low)
    if not 0 < full < np.inf:
        raise ValueError(f"{rule} that float32 can tell apart, got {limits!r}")
    return low + 0.0, high  # no negative zero


@lru_cache(maxsize=256)
def value_ranges(
    limits: tuple[float, float] | None, in_type: str, out_type: str
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """(low, high, high - low) of an input and an output of these types, in float32.

    Floats keep their unit among floats; any other change of type fills the new type's own range.
    """
    default = _default_range(out_type)
    given = _default_range(in_type) if limits is None else limits
    for dtype in (in_type, out_type) if limits is not None else ():
        low, high = _representable(dtype)
        unit_kept = dtype == in_type or _is_float(in_type, out_type)
        if unit_kept and not low <= given[0] < given[1] <= high:
            raise ValueError(
                f"value_range must lie in [{low:g}, {high:g}] for {dtype} images, got {given}"
            )
    if limits is not None and in_type in ("uint8", "uint16") and any(v % 1 for v in limits):
        raise ValueError(f"value_range must be whole numbers for {in_type} images, got {limits}")
    kept = in_type == out_type or _is_float(in_type, out_type)
    return _as_float32(given), _as_float32(given if kept else default)


def _is_float(*dtypes: str) -> bool:
    return all("float" in dtype for dtype in dtypes)


def _default_range(dtype: str) -> tuple[float, float]:
    return 0.0, 1.0 if _is_float(dtype) else float(np.iinfo(dtype).max)


def _representable(dtype: str) -> tuple[float, float]:
    if not _is_float(dtype):
        return _default_range(dtype)
    most = 65504.0 if dtype == "float16" else 3.38e38
    return -most, most


def _as_float32(limits: tuple[float, float]) -> tuple[float, float, float]:
    low, high = np.float32(limits[0]), np.float32(limits[1])
    return float(low), float(high), float(high - low)


def label_bits(labels: Sequence[int] | None, dtype: str) -> tuple[int, ...]:
    """The labels as the unsigned numbers that the masks' type stores them as."""
    if labels is None:
        return ()
    lowest, highest = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    for label in labels:
        if not lowest <= label <= highest:
            raise ValueError(f"labels must fit the masks' type, {dtype}, got {label}")
    return tuple(int(label) % 2**64 for label in labels)


def checked_seed(seed: Any, frontend: Frontend = NUMPY) -> int:
    """The seed itself, or one from the library's default generator or the one given."""
    if is_integer(seed):
        return checked_integer("seed", seed, 2**64)
    drawn = frontend.seed(seed)
    if drawn is None:
        raise TypeError(
            f"seed must be an integer in [0, 2^64), a generator of {frontend.name} or None, "
            f"got {seed!r}"
        )
    return drawn


def device_address(
    name: str, values: Any, batch: ArrayBatch, dtypes: tuple[str, ...], shape: tuple[int, ...]
) -> int | None:
    """Address of per-sample values that lie on the batch's GPU; None for any others.

    They are read by the kernels alone, so that a captured CUDA graph sees what they hold then.
    """
    frontend = batch.frontend
    if batch.device is None or not frontend.owns(values) or frontend.device(values) is None:
        return None
    dtype, size = frontend.dtype(values), values.itemsize
    dense = (size * shape[1], size) if len(shape) == 2 else (size,)
    if (
        frontend.device(values) != batch.device
        or dtype not in dtypes
        or tuple(values.shape) != shape
        or (frontend.strides(values) != dense and batch.n > 1)
    ):
        raise ValueError(
            f"{name} must be, on the GPU, a contiguous {' or '.join(dtypes)} array {shape} on "
            f"{place_name(batch.device)}, got {dtype} {tuple(values.shape)} on "
            f"{place_name(frontend.device(values))} with strides {frontend.strides(values)}"
        )
    return frontend.address(values)


def to_numpy(values: Any, dtype: Any = None) -> NDArray[Any]:
    """Arrays of any library as numpy's; numbers and sequences as an array of ``dtype``."""
    for frontend in FRONTENDS:
        if frontend.owns(values):
            return frontend.to_numpy(values)
    return np.asarray(values, dtype)


def checked_ids(ids: Any, batch: ArrayBatch) -> NDArray[np.uint64] | int | None:
    """Sample ids [n]; None: 0..n-1."""
    if ids is None:
        return None
    address = device_address("ids", ids, batch, ("int64", "uint64"), (batch.n,))
    if address is not None:
        return address
    values = to_numpy(ids, object)
    if values.ndim == 0:
        values = values.reshape(1)
    if values.shape != (batch.n,):
        raise ValueError(f"ids must be {batch.n}, one per sample, got shape {values.shape}")
    if values.dtype.kind in "iu":
        least, greatest = (values.min(), values.max()) if batch.n else (0, 0)
    else:
        numbers = values.tolist()
        if not all(is_integer(number) for number in numbers):
            raise TypeError(f"ids must be integers in [0, 2^64), got {ids!r}")
        least, greatest = min(numbers, default=0), max(numbers, default=0)
    if least < 0 or greatest >= 2**64:
        raise ValueError(f"ids must be in [0, 2^64), got {least} to {greatest}")
    return np.ascontiguousarray(values, np.uint64)


def checked_windows(windows: Any, batch: ArrayBatch) -> NDArray[np.int32] | int | None:
    """Windows [n 4], each inside its image and not empty; None: whole images."""
    if windows is None:
        return None
    address = device_address("windows", windows, batch, ("int32",), (batch.n, 4))
    if address is not None:
        return address
    values = to_numpy(windows)
    if values.dtype.kind not in "iu" or values.shape not in ((4,), (batch.n, 4)):
        raise ValueError(
            f"windows must be integers [4] or [{batch.n} 4] (x, y, width, height), "
            f"got {values.dtype} {values.shape}"
        )
    values = np.broadcast_to(values, (batch.n, 4)).astype(np.int64)
    limits = np.array([(w, h) for h, w in batch.sizes], np.int64).reshape(-1, 2)
    corner, size = values[:, :2], values[:, 2:]
    # each number by itself first: a sum of two could pass 2^63
    inside = ((corner >= 0) & (size >= 1) & (corner <= limits) & (size <= limits)).all(axis=1)
    inside &= ((corner + size) <= limits).all(axis=1)
    if not inside.all():
        s = int(np.argmin(inside))
        h, w = batch.size(s)
        raise ValueError(
            f"windows[{s}] must be a rectangle of at least one pixel inside the image (width {w}, "
            f"height {h}), got (x, y, width, height) = {tuple(map(int, values[s]))}"
        )
    return np.ascontiguousarray(values, np.int32)


def checked_sample(sample: Any, n: int) -> NDArray[np.intp]:
    """Places of samples in a plan of ``n``: one, or any number."""
    places = to_numpy(sample)
    if places.dtype.kind not in "iu" and places.size:
        raise TypeError(f"sample must be an integer or integers in [0, {n}), got {sample!r}")
    wrong = (places < 0) | (places >= n)
    if wrong.any():
        raise ValueError(f"sample must be in [0, {n}), got {places[wrong][0]}")
    return places.astype(np.intp)


def checked_sizes(sizes: Any, windows: NDArray[np.int32]) -> NDArray[np.int64]:
    """Sizes (h, w) of images [n 2] that hold these windows; None: the smallest."""
    least = (windows[:, :2].astype(np.int64) + windows[:, 2:])[:, ::-1]
    if sizes is None:
        return least
    values = to_numpy(sizes)
    if values.dtype.kind not in "iu" or values.shape not in ((2,), least.shape):
        raise ValueError(
            f"sizes must be integers [2] or [{len(least)} 2], (height, width), "
            f"got {values.dtype} of shape {values.shape}"
        )
    values = np.broadcast_to(values, least.shape).astype(np.int64)
    fits = ((values >= least) & (values <= MAX_SIDE)).all(axis=1)
    if not fits.all():
        s = int(np.argmin(fits))
        raise ValueError(
            f"sizes[{s}] must hold the sample's window, at least (height, width) = "
            f"{tuple(map(int, least[s]))}, got {tuple(map(int, values[s]))}"
        )
    return values


def checked_image_type(dtype: Any) -> str:
    name = getattr(dtype, "name", None)
    try:
        name = name if isinstance(name, str) else np.dtype(dtype).name
    except TypeError:
        name = str(dtype).removeprefix("torch.")
    if name not in IMAGE_TYPES:
        raise TypeError(f"dtype must be one of {', '.join(IMAGE_TYPES)}, got {dtype!r}")
    return name
