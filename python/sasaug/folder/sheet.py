"""One job: draw the contact sheet of an expansion, `preview.png`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..preview import Tile, contact_sheet, describe, encode_png
from .cases import Case, Loaded, decode, read
from .files import contents
from .job import Job, Row
from .masks import fullest
from .reading import decode_image, header
from .rows import as_values, is_transformed
from .workspace import Workspace

__all__ = ["PREVIEW", "original", "tile", "write_preview"]

PREVIEW = "preview.png"
PREVIEW_ROWS, PREVIEW_COPIES = 4, 5
Source = tuple[str, str]


def write_preview(job: Job, space: Workspace, cases: Sequence[Case], rows: Sequence[Row]) -> Path:
    """Draw some cases, evenly spread, with copies as they are on disk."""
    copies: defaultdict[Source, list[Row]] = defaultdict(list)
    for row in rows:
        copies[row["source_image"], row["source_masks"]].append(row)
    cases = sorted(cases, key=lambda case: case.name)
    # Unchanged images show nothing: transformed copies come first, and the note gives the share.
    changed = [case for case in cases if any(map(is_transformed, copies[_source(case)]))]
    pool = changed or cases
    count = min(PREVIEW_ROWS, len(pool))
    sheet = []
    for index in range(count):
        case = pool[(2 * index + 1) * len(pool) // (2 * count)]
        source = decode(case, contents(job, case), job)
        first = original(source, case.name.rpartition("/")[2])
        several = sorted(copies[_source(case)], key=lambda row: not is_transformed(row))
        sheet.append([first, *(tile(job, row) for row in several[:PREVIEW_COPIES])])
    share = sum(map(is_transformed, rows)) / len(rows)
    title = "Originals and copies, transformed ones first"
    note = (
        f"{count} of {len(cases)} cases, {len(changed)} of which have a transformed copy · "
        f"{100 * share:.0f} % of {len(rows)} outputs are transformed"
    )
    space.put(PREVIEW, encode_png(contact_sheet(sheet, title, note)), force=True)
    return job.out / PREVIEW


def original(source: Loaded, name: str) -> Tile:
    """Return a case as it was; of a clip the frame with the largest object."""
    if source.mask.ndim == 2:
        return Tile(source.image, source.mask, name)
    place = fullest(source.mask)
    caption = f"{name} · frame {place + 1} of {len(source.mask)}"
    return Tile(source.image[place], source.mask[place], caption)


def tile(job: Job, row: Row) -> Tile:
    """Return an output as it is on disk, captioned with its transformation; of a clip a frame."""
    image, mask = (_decoded(job, row[name]) for name in ("image", "mask"))
    if job.augment.frames:
        place = fullest(mask)
        image, mask = image[place], mask[place]
    planned = as_values(row)
    height, width = planned["canvas"]
    return Tile(image, mask, describe(planned, (height, width)))


def _decoded(job: Job, path: str) -> NDArray[Any]:
    content, frames = read(job.out, path), job.augment.frames
    return decode_image(path, content, header(path, content, frames), frames)


def _source(case: Case) -> Source:
    return case.image, case.joined_masks
