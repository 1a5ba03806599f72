"""One job: the records that C++ reads, as ctypes structures made from the dtypes that it exports.

Fields are set by name; names, types and offsets come from ``csrc/method`` alone.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.ctypeslib import as_ctypes_type

from . import _core


def _structure(dtype: np.dtype[Any]) -> Any:
    """Return a structure laid out as in C++; numpy's own is packed, of which Python 3.14 warns."""
    if dtype.subdtype is not None:
        element, (length,) = dtype.subdtype
        return _structure(element) * length
    if dtype.fields is None:
        return as_ctypes_type(dtype)
    places = {name: field[1] for name, field in dtype.fields.items()}
    fields = [(name, _structure(dtype[name])) for name in sorted(places, key=places.__getitem__)]
    made = type("Record", (ctypes.Structure,), {"_fields_": fields})
    assert {name: getattr(made, name).offset for name in places} == places
    assert ctypes.sizeof(made) == dtype.itemsize
    return made


Batch: Any = _structure(_core.BATCH)
Inputs: Any = _structure(_core.INPUTS)
Settings: Any = dict(Inputs._fields_)["settings"]
Source: Any = _structure(_core.SOURCE)
