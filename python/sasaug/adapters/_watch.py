"""One job: warn of unlikely masks, and of copied random states."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._ranks import apart

#: Masks to look at before a warning: fewer would warn of data sets whose labels are rare.
ENOUGH = 8


class Watch:
    """Look at a transform's first masks; warn once if all of them are unlikely."""

    def __init__(self) -> None:
        self._whole: int | None = 0  # masks that cover their image; None: settled
        self._without: int | None = 0  # masks without any of the labels; None: settled
        self._held: set[float] = set()

    @property
    def open(self) -> bool:
        return self._whole is not None or self._without is not None

    def look(self, masks: NDArray[Any], labels: Any, clips: bool) -> None:
        """See label maps of numpy, [h w] or [n ...]; clips: [t h w] or [n ...]."""
        if self.open and 0 not in masks.shape:
            roi = masks != 0 if labels is None else np.isin(masks, labels)
            count = len(masks) if masks.ndim > 2 + clips else 1
            self.see(roi, count, lambda: np.unique(masks), labels)

    def see(self, roi: Any, count: int, values: Callable[[], Iterable[float]], labels: Any) -> None:
        """Count the ROI of ``count`` masks that hold the ``values``."""
        self._see_whole(count, bool(roi.all()))
        if labels is None:
            self._without = None
        elif self._without is not None:
            self._see_labels(count, bool(roi.any()), values, labels)

    def _see_whole(self, count: int, whole: bool) -> None:
        if self._whole is None:
            return
        self._whole = self._whole + count if whole else None
        if self._whole is not None and self._whole >= ENOUGH:
            warn(
                f"the ROI was the whole image in all of the first {self._whole} samples. If one of "
                "the labels is the background, name the others: labels=(2, 3). If the masks are "
                "one-hot: one_hot=True"
            )
            self._whole = None

    def _see_labels(self, count: int, found: bool, values: Any, labels: Any) -> None:
        if found:
            self._without = None
            return
        held = {float(value) for value in values()}
        if not held - {0.0}:
            return  # an empty mask says nothing
        self._held |= held
        self._without = (self._without or 0) + count
        if self._without >= ENOUGH:
            shown = ", ".join(f"{value:g}" for value in sorted(self._held)[:10])
            warn(
                f"labels {list(labels)} are in none of the first {self._without} masks, which hold "
                f"{shown}: their ROI is empty. Name labels that they hold, or leave labels out: "
                "then any value but 0 is the ROI"
            )
            self._without = None


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


def torch_worker() -> Any:
    """Return torch's description of this data loader worker, or None outside of one."""
    data = sys.modules.get("torch.utils.data")
    return None if data is None else data.get_worker_info()


def warn(text: str) -> None:
    """Warn; of the workers of a data loader only the first does."""
    worker = torch_worker()
    if worker is None or worker.id == 0:
        warnings.warn(text, stacklevel=2)
