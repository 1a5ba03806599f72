"""One job: how many threads a call may use."""

from __future__ import annotations

import os
import sys
from typing import Any

_chosen: int | None = None
_forked = False


def _mark_forked() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_mark_forked)


def set_num_threads(num_threads: int | None) -> None:
    """Set how many threads a call may use at most; None: the default, all cores.

    The default is 1 inside a forked or multiprocessing worker, such as a data loader's: its
    siblings use the other cores. The answer of a call does not depend on it.

    Parameters
    ----------
    num_threads : int or None
        At least 1; more than 1024 count as 1024.

    Raises
    ------
    ValueError, TypeError
        If it is not an integer of at least 1.

    Examples
    --------
    >>> import sasaug
    >>> sasaug.set_num_threads(2)
    >>> sasaug.get_num_threads()
    2
    >>> sasaug.set_num_threads(None)
    """
    global _chosen
    _chosen = None if num_threads is None else _checked(num_threads)


def get_num_threads() -> int:
    """How many threads a call may use at most where it does not say itself.

    Examples
    --------
    >>> import sasaug
    >>> sasaug.get_num_threads() >= 1
    True
    """
    if _chosen is not None:
        return _chosen
    process = sys.modules.get("multiprocessing.process")
    if _forked or (process is not None and process.parent_process() is not None):
        return 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def resolve_threads(num_threads: int | None) -> int:
    """The argument itself, checked, or the default."""
    return get_num_threads() if num_threads is None else _checked(num_threads)


def _checked(num_threads: Any) -> int:
    if isinstance(num_threads, bool) or not hasattr(num_threads, "__index__"):
        raise TypeError(f"num_threads must be an integer >= 1, got {num_threads!r}")
    number = int(num_threads)
    if number < 1:
        raise ValueError(f"num_threads must be an integer >= 1, got {num_threads!r}")
    return min(number, 1024)
