"""One job: the records that C++ reads, as ctypes structures made from the dtypes that it exports.

Fields are set by name; names, types and offsets come from ``csrc/method`` alone.
"""

from __future__ import annotations

from typing import Any

from numpy.ctypeslib import as_ctypes_type

from . import _core

Batch: Any = as_ctypes_type(_core.BATCH)
Inputs: Any = as_ctypes_type(_core.INPUTS)
Settings: Any = dict(Inputs._fields_)["settings"]
Source: Any = as_ctypes_type(_core.SOURCE)
