"""One job: warn once of masks that are unlikely, such as those without any of the labels."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Masks to look at before a warning: fewer would warn of data sets whose labels are rare.
ENOUGH = 8


class Watch:
    """Look at a transform's first masks; warn once if all of them are unlikely.

    ``whole``: if they cover their images. ``absent``: if they hold labels, but not those named.
    """

    def __init__(self, whole: bool = True, absent: bool = True) -> None:
        self._whole = 0 if whole else None  # masks that cover their image; None: settled
        self._without = 0 if absent else None  # masks without any of the labels; None: settled
        self._held: set[float] = set()

    @property
    def open(self) -> bool:
        return self._whole is not None or self._without is not None

    def look(self, masks: NDArray[Any], count: int, labels: Any) -> None:
        """See an array of ``count`` label maps."""
        if self.open and masks.size:
            roi = masks != 0 if labels is None else np.isin(masks, labels)
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


def torch_worker() -> Any:
    """Return torch's description of this data loader worker, or None outside of one."""
    data = sys.modules.get("torch.utils.data")
    return None if data is None else data.get_worker_info()


def warn(text: str) -> None:
    """Warn; of the workers of a data loader only the first does."""
    worker = torch_worker()
    if worker is None or worker.id == 0:
        warnings.warn(text, stacklevel=2)
