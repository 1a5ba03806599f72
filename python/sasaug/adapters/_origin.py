"""One job: notice random states that are copies of another process's."""

from __future__ import annotations

import os
import sys

from .._ranks import apart
from .._watch import torch_worker, warn


class Origin:
    """The process that a random state was made in, to notice copies of it."""

    def __init__(self) -> None:
        self.process = os.getpid()

    def seed(self, drawn: int) -> int:
        """Return the seed drawn from the state; in a worker with a copy of it, one of its own.

        A torch worker's own seed differs for each worker, epoch and ``torch.manual_seed``; ranks
        are kept apart.
        """
        return apart(self._seed(drawn))

    def _seed(self, drawn: int) -> int:
        if self.process == os.getpid():
            return drawn
        if torch_worker() is not None:
            return (drawn + sys.modules["torch"].initial_seed()) % 2**64
        children = sys.modules.get("multiprocessing.process")
        if children is not None and children.parent_process() is not None:
            warn(
                "the transform's random state is a copy of another process's: processes that copy "
                "the same state repeat one another. Seed it in each process, or give sample_seed "
                "and sample ids"
            )
            self.process = os.getpid()
        return drawn
