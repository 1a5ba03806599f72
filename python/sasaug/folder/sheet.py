"""One job: draw the contact sheet of an expansion, `preview.png`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from ..preview import Tile, contact_sheet, describe, encode_png
from .copies import is_transformed
from .files import contents
from .job import Job, Row
from .ledger import put
from .pairs import Case, decode, decode_image, read

__all__ = ["PREVIEW", "tile", "write_preview"]

PREVIEW = "preview.png"
PREVIEW_ROWS, PREVIEW_COPIES = 4, 5
Source = tuple[str, str]


def write_preview(job: Job, cases: Sequence[Case], rows: Sequence[Row]) -> Path:
    """Draw some cases, evenly spread, with copies as they are on disk."""
    copies: defaultdict[Source, list[Row]] = defaultdict(list)
    for row in rows:
        copies[row["source_image"], row["source_masks"]].append(row)
    cases = sorted(cases, key=lambda case: case.name)
    # Unchanged pictures show nothing: transformed copies come first, the note says the share.
    changed = [case for case in cases if any(map(is_transformed, copies[_source(case)]))]
    pool = changed or cases
    count = min(PREVIEW_ROWS, len(pool))
    sheet = []
    for index in range(count):
        case = pool[(2 * index + 1) * len(pool) // (2 * count)]
        source = decode(case, contents(job, case))
        first = Tile(source.image, source.mask, case.name.rpartition("/")[2])
        several = sorted(copies[_source(case)], key=lambda row: not is_transformed(row))
        sheet.append([first, *(tile(job, row) for row in several[:PREVIEW_COPIES])])
    share = sum(map(is_transformed, rows)) / len(rows)
    title = "Originals and copies, transformed ones first"
    note = (
        f"{count} of {len(cases)} cases, {len(changed)} of which have a transformed copy · "
        f"{100 * share:.0f} % of {len(rows)} outputs are transformed"
    )
    put(job.out, PREVIEW, encode_png(contact_sheet(sheet, title, note)), force=True)
    return job.out / PREVIEW


def tile(job: Job, row: Row) -> Tile:
    """Return an output as it is on disk, with what was done to it as the caption."""
    image, _ = decode_image(row["image"], read(job.out, row["image"]))
    mask, _ = decode_image(row["mask"], read(job.out, row["mask"]))
    planned = {
        "transformed": is_transformed(row),
        "window": [int(number) for number in row["window"].split()],
        "thumbnail": [int(number) for number in row["thumbnail"].split()],
        "noise": row["noise"] or None,
        "strength": float(row["strength"]) if row["strength"] else None,
    }
    height, width = map(int, row["canvas"].split())
    return Tile(image, mask, describe(planned, (height, width)))


def _source(case: Case) -> Source:
    return case.image, case.joined_masks
