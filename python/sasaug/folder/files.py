"""One job: expand one case of a folder into PNG files."""

from __future__ import annotations

from .copies import copies, is_transformed
from .job import Job, Outcome, Row
from .ledger import put
from .pairs import Case, Unusable, decode, fingerprint, read

__all__ = ["CHANGED", "contents", "expand_case"]

CHANGED = "changed since it was expanded; see --force"


def expand_case(job: Job, case: Case, earlier: list[Row], force: bool) -> Outcome:
    """Write all copies of a case, unless an earlier run did and left these rows."""
    try:
        found = contents(job, case)
        source_hash = fingerprint(found)
        if any(row["source_hash"] != source_hash for row in earlier):
            raise Unusable(f"{case.image}: image or mask {CHANGED}")
        if len(earlier) == job.copies:
            return _outcome(earlier, (), True)
        loaded = decode(case, found)
        rows = []
        for copy in copies(job, case, loaded, source_hash):
            put(job.out, copy.row["image"], copy.image, force)
            put(job.out, copy.row["mask"], copy.mask, force)
            rows.append(copy.row)
        return _outcome(rows, loaded.notes, False)
    except Unusable as reason:
        return Outcome(skipped=(str(reason),))


def contents(job: Job, case: Case) -> list[bytes]:
    """Read a case's image and masks."""
    assert job.masks is not None  # tars alone have none
    return [read(job.images, case.image), *(read(job.masks, path) for path in case.masks)]


def _outcome(rows: list[Row], notes: tuple[tuple[str, str], ...], earlier: bool) -> Outcome:
    return Outcome(
        rows,
        cases=1,
        outputs=len(rows),
        transformed=sum(map(is_transformed, rows)),
        notes=notes,
        earlier=earlier,
    )
