"""One job: expand one case of a folder into PNG files."""

from __future__ import annotations

import numpy as np

from .cases import Case, Loaded, decode, fingerprint, read
from .copies import copies
from .job import Job, Outcome, Row, Unusable
from .rows import is_transformed
from .workspace import Workspace

__all__ = ["CHANGED", "contents", "expand_case", "labels_of"]

CHANGED = "changed since it was expanded; see --force"


def expand_case(job: Job, space: Workspace, case: Case, earlier: list[Row], force: bool) -> Outcome:
    """Write all copies of a case, unless an earlier run did and left these rows."""
    try:
        found = contents(job, case)
        source_hash = fingerprint(found)
        if any(row["source_hash"] != source_hash for row in earlier):
            raise Unusable(f"{case.image}: image or mask {CHANGED}")
        if len(earlier) == job.copies:
            return _outcome(earlier, earlier=True)
        loaded = decode(case, found, job)
        rows = []
        for copy in copies(job, case, loaded, source_hash):
            space.put(copy.row["image"], copy.image, force)
            space.put(copy.row["mask"], copy.mask, force)
            rows.append(copy.row)
        return _outcome(rows, loaded.notes, labels_of(job, loaded))
    except Unusable as reason:
        return Outcome(skipped=(str(reason),))


def contents(job: Job, case: Case) -> list[bytes]:
    """Read a case's image and masks."""
    assert job.masks is not None  # only tars have none
    return [read(job.images, case.image), *(read(job.masks, path) for path in case.masks)]


def labels_of(job: Job, loaded: Loaded) -> frozenset[int]:
    """Return the values of a mask, where labels are asked for."""
    if job.augment.labels is None:
        return frozenset()
    return frozenset(np.unique(loaded.mask).tolist())


def _outcome(
    rows: list[Row],
    notes: tuple[tuple[str, str], ...] = (),
    labels: frozenset[int] = frozenset(),
    earlier: bool = False,
) -> Outcome:
    return Outcome(
        rows,
        cases=1,
        outputs=len(rows),
        transformed=sum(map(is_transformed, rows)),
        notes=notes,
        labels=labels,
        earlier=earlier,
    )
