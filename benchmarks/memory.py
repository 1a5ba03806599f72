"""One job: let no contender pay, or not pay, for fresh pages by chance: freed memory is kept.

glibc gives large blocks back to the system, or not, by thresholds that move with what was freed
before; a first touch of fresh pages costs several times the copy. Kept, every contender and the
copy work in memory that was used before, as in the steady state of a training loop.
"""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h


def keep_freed() -> bool:
    """For this process and those forked from it; False where the C library has no such switch."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return bool(mallopt and mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1))
