"""One job: keep apart the seeds of ranks whose random states are the same."""

from __future__ import annotations

import os
import sys

_ODD = 0x9E3779B97F4A7C15  # a rank's distance is far from that of a data loader's worker


def apart(drawn: int) -> int:
    """Return a seed drawn from a random state, moved by this process's rank.

    Ranks often share their states: training scripts call ``torch.manual_seed`` with one number on
    all of them. Rank 0, and a process without ranks, keeps the seed that was drawn.
    """
    return (drawn + rank() * _ODD) % 2**64


def rank() -> int:
    """Return the rank known to ``torch.distributed``, or to the launcher; 0 without ranks."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_rank())
    number = os.environ.get("RANK") or os.environ.get("LOCAL_RANK") or ""
    return int(number) if number.isdecimal() else 0
