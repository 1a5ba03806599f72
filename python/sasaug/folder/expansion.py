"""One job: expand a folder of images and masks into augmented copies on disk.

Every output follows from its own image, masks, settings, seed and copy index: not from the order
of the listing, from other files, from the number of threads, or from how often a run was killed.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .. import SAS, STREAM_VERSION, __version__, apply
from ..preview import Tile, contact_sheet, describe, encode_png
from .ledger import Ledger, Row, write_atomically
from .pairs import Case, Loaded, Unusable, decode, decode_image, find, fingerprint, read

__all__ = ["Job", "Report", "expand", "sample_id"]

BATCH_BYTES = 64 << 20  # of outputs held in memory at once, per thread
INDEX_DIGITS = 3  # of a copy's index in file names; more where there are more copies
PREVIEW = "preview.png"
PREVIEW_ROWS, PREVIEW_COPIES = 4, 5


@dataclass(frozen=True)
class Job:
    """What to expand, and how.

    Attributes
    ----------
    images, masks, out : Path
        Folders. `out` lies apart from the others.
    augment : sasaug.SAS
        The settings.
    copies : int
        Outputs per case, at least 1.
    seed : int
        In [0, 2^64).
    pattern : str
        How a mask's file name follows from its image's; see `sasaug.folder.pairs.find`.
    each_mask : bool
        Several masks of one image make a case each.
    """

    images: Path
    masks: Path
    out: Path
    augment: SAS
    copies: int = 20
    seed: int = 0
    pattern: str = "{stem}"
    each_mask: bool = False


@dataclass
class Report:
    """What an expansion did."""

    cases: int = 0  # expanded by this run or an earlier one
    earlier: int = 0  # of these, by an earlier one
    outputs: int = 0
    transformed: int = 0
    skipped: list[str] = field(default_factory=list)  # file and reason
    notes: dict[str, list[str]] = field(default_factory=dict)  # what happened -> files
    preview: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of one case."""

    rows: list[Row]
    notes: tuple[tuple[str, str], ...] = ()
    earlier: bool = False


def sample_id(key: str, copy: int) -> int:
    """Return the 64-bit sample id of a copy, from the relative path of its source."""
    digest = blake2b(f"{key}#{copy}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def expand(
    job: Job,
    *,
    workers: int = 1,
    force: bool = False,
    preview: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Write the augmented copies of a folder, or what an earlier, killed run left to do.

    Parameters
    ----------
    job : Job
        What to do.
    workers : int
        Threads, at least 1. Results do not depend on it.
    force : bool
        Delete what an earlier run wrote and start over; overwrite files that are in the way.
    preview : bool
        Write a contact sheet of some cases as well.
    progress : callable
        Called with the numbers of finished cases and of all.

    Returns
    -------
    Report
        Counts, and what was skipped and why.

    Raises
    ------
    ValueError
        A setting is out of range, a folder is missing, or `out` holds something else.
    OSError
        `out` cannot be written. What is finished stays, and the next run goes on from there.
    """
    _check(job, workers)
    found = find(job.images, job.masks, job.pattern, job.each_mask)
    if not found.cases:
        first = found.problems[0] if found.problems else "no PNG, JPEG, TIFF or BMP file"
        more = f" ({len(found.problems)} in all)" if len(found.problems) > 1 else ""
        raise ValueError(f"images must hold an image with a mask, got none: {first}{more}")
    ledger = Ledger(job.out, _settings(job), force)
    report = Report(skipped=list(found.problems))
    notes: defaultdict[str, list[str]] = defaultdict(list)
    if found.spare_masks:
        notes["mask belongs to no image"] = found.spare_masks
    finished: list[Case] = []
    for case, outcome in _outcomes(job, found.cases, ledger, workers, force):
        if isinstance(outcome, Unusable):
            report.skipped.append(str(outcome))
        else:
            finished.append(case)
            for note, file in outcome.notes:
                notes[note].append(file)
            if outcome.earlier:
                report.earlier += 1
            else:
                ledger.add(outcome.rows)
        progress(len(finished) + len(report.skipped) - len(found.problems), len(found.cases))
    rows = ledger.close()
    report.cases, report.outputs = len(finished), len(finished) * job.copies
    names = {_output(case) for case in finished}
    report.transformed = sum(_is_transformed(row) for row in rows if _stem(row) in names)
    report.skipped.sort()
    report.notes = {note: sorted(files) for note, files in sorted(notes.items())}
    new = report.earlier < report.cases
    if preview and finished and (new or not (job.out / PREVIEW).exists()):
        report.preview = _write_preview(job, finished, rows)
    return report


def _check(job: Job, workers: int) -> None:
    """Refuse what cannot work, before anything is written."""
    if job.copies < 1:
        raise ValueError(f"copies must be at least 1, got {job.copies}")
    if not 0 <= job.seed < 2**64:
        raise ValueError(f"seed must be in [0, 2^64), got {job.seed}")
    if workers < 1:
        raise ValueError(f"jobs must be at least 1, got {workers}")
    out = job.out.resolve()
    for name, folder in (("images", job.images), ("masks", job.masks)):
        if not folder.is_dir():
            raise ValueError(f"{name} must be a folder, got {folder}")
        inner = folder.resolve()
        if out == inner or out in inner.parents or inner in out.parents:
            raise ValueError(f"out must lie apart from {name} ({folder}), got {job.out}")
    if out.exists() and not out.is_dir():
        raise ValueError(f"out must be a folder, got the file {job.out}")


def _settings(job: Job) -> dict[str, Any]:
    """Return what the outputs depend on, for settings.json."""
    return {
        "version": __version__,
        "stream_version": STREAM_VERSION,
        "seed": job.seed,
        "copies": job.copies,
        "pattern": job.pattern,
        "each_mask": job.each_mask,
        "settings": json.loads(job.augment.to_json()),
    }


def _outcomes(
    job: Job, cases: Sequence[Case], ledger: Ledger, workers: int, force: bool
) -> Iterator[tuple[Case, Outcome | Unusable]]:
    """Yield what became of each case, as they finish."""
    with ThreadPoolExecutor(workers) as pool:
        pending = {pool.submit(_expand_case, job, case, ledger, force): case for case in cases}
        try:
            for future in as_completed(pending):
                try:
                    yield pending[future], future.result()
                except Unusable as reason:
                    yield pending[future], reason
        finally:  # a full disk or an interrupt: do not start what has not begun
            pool.shutdown(cancel_futures=True)


def _expand_case(job: Job, case: Case, ledger: Ledger, force: bool) -> Outcome:
    """Write all copies of one case, unless an earlier run did."""
    contents = _contents(job, case)
    source_hash = fingerprint(contents)
    earlier = ledger.rows_of(case.image, _joined(case))
    if any(row["source_hash"] != source_hash for row in earlier):
        raise Unusable(f"{case.image}: image or mask changed since it was expanded; see --force")
    if len(earlier) == job.copies:
        return Outcome(earlier, earlier=True)
    loaded = decode(case, contents)
    rows = []
    for copies in _batches(job, loaded):
        rows += _write_copies(job, case, loaded, copies, source_hash, force)
    return Outcome(rows, loaded.notes)


def _batches(job: Job, loaded: Loaded) -> Iterator[range]:
    """Yield ranges of copies small enough to be held in memory."""
    height, width = loaded.mask.shape
    canvas = job.augment.canvas
    if canvas is not None:
        height, width = (canvas, canvas) if isinstance(canvas, int) else canvas
    channels = loaded.image.size // loaded.mask.size
    each = height * width * (channels * loaded.image.itemsize + loaded.mask.itemsize)
    step = max(1, BATCH_BYTES // each)
    for start in range(0, job.copies, step):
        yield range(start, min(start + step, job.copies))


def _write_copies(
    job: Job, case: Case, loaded: Loaded, copies: range, source_hash: str, force: bool
) -> list[Row]:
    """Write some copies of one case, and return their rows."""
    n = len(copies)
    images = np.broadcast_to(loaded.image, (n, *loaded.image.shape))  # [n h w] or [n h w c]
    masks = np.broadcast_to(loaded.mask, (n, *loaded.mask.shape))  # [n h w]
    ids = np.array([sample_id(case.key, copy) for copy in copies], np.uint64)
    try:
        plan = job.augment.plan(masks, seed=job.seed, ids=ids)
        x, y = apply(plan, images, masks, num_threads=1)
    except ValueError as error:  # settings that this image's size does not allow
        raise Unusable(f"{case.image}: {error}") from error
    rows = []
    for copy, planned, image, mask in zip(copies, plan.rows(), x, y, strict=True):
        suffix = f"_{_index(copy, job.copies)}.png"
        row = {
            "image": f"{_output(case)}{suffix}",
            "mask": f"masks/{case.name}{suffix}",
            "source_image": case.image,
            "source_masks": _joined(case),
            "source_hash": source_hash,
            "copy": str(copy),
            "seed": str(job.seed),
            "id": str(planned["id"]),
            "transformed": "true" if planned["transformed"] else "false",
            "window": " ".join(map(str, planned["window"])),
            "thumbnail": " ".join(map(str, planned["thumbnail"])),
            "noise": planned["noise"] or "",
            "strength": "" if planned["strength"] is None else f"{planned['strength']:.9g}",
            "canvas": " ".join(map(str, plan.canvas)),
        }
        _put(job.out / row["image"], _encode(image), force)
        _put(job.out / row["mask"], _encode(mask), force)
        rows.append(row)
    return rows


def _joined(case: Case) -> str:
    """Return the masks as one text: no path on any system holds a vertical bar by accident."""
    return "|".join(case.masks)


def _index(copy: int, copies: int) -> str:
    return str(copy).zfill(max(INDEX_DIGITS, len(str(copies - 1))))


def _output(case: Case) -> str:
    """Return the path of a case's output images without copy index and suffix."""
    return f"images/{case.name}"


def _stem(row: Row) -> str:
    """Return the same of an output; see `_output`."""
    return row["image"].rpartition("_")[0]


def _is_transformed(row: Row) -> bool:
    return row["transformed"] == "true"


def _contents(job: Job, case: Case) -> list[bytes]:
    """Read a case's image and masks."""
    return [read(job.images, case.image), *(read(job.masks, path) for path in case.masks)]


def _encode(picture: NDArray[Any]) -> bytes:
    """Return [h w] or [h w 3] in RGB order as the bytes of a PNG file."""
    if picture.ndim == 3:
        picture = np.ascontiguousarray(picture[..., ::-1])
    return bytes(cv2.imencode(".png", picture)[1])


def _put(path: Path, content: bytes, force: bool) -> None:
    """Write a file; one that is there may stay if it is the same."""
    if path.exists() and not force:
        if path.read_bytes() == content:
            return
        raise Unusable(f"{path}: exists with other content; --force overwrites it")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content)


def _write_preview(job: Job, cases: Sequence[Case], rows: Sequence[Row]) -> Path:
    """Draw some cases, evenly spread, with copies as they are on disk."""
    copies: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        copies[_stem(row)].append(row)
    cases = sorted(cases, key=lambda case: case.name)
    # Unchanged pictures show nothing: transformed copies come first, the note says the share.
    changed = [case for case in cases if any(map(_is_transformed, copies[_output(case)]))]
    pool = changed or cases
    count = min(PREVIEW_ROWS, len(pool))
    sheet = []
    for index in range(count):
        case = pool[(2 * index + 1) * len(pool) // (2 * count)]
        source = decode(case, _contents(job, case))
        first = Tile(source.image, source.mask, case.name.rpartition("/")[2])
        several = sorted(copies[_output(case)], key=lambda row: not _is_transformed(row))
        sheet.append([first, *(_tile(job, row) for row in several[:PREVIEW_COPIES])])
    share = sum(map(_is_transformed, rows)) / len(rows)
    title = "Originals and copies, transformed ones first"
    note = (
        f"{count} of {len(cases)} cases, {len(changed)} of which have a transformed copy · "
        f"{100 * share:.0f} % of {len(rows)} outputs are transformed"
    )
    path = job.out / PREVIEW
    write_atomically(path, encode_png(contact_sheet(sheet, title, note)))
    return path


def _tile(job: Job, row: Row) -> Tile:
    """Return an output as it is on disk, with what was done to it as the caption."""
    image, _ = decode_image(row["image"], read(job.out, row["image"]))
    mask, _ = decode_image(row["mask"], read(job.out, row["mask"]))
    planned = {
        "transformed": _is_transformed(row),
        "window": [int(number) for number in row["window"].split()],
        "thumbnail": [int(number) for number in row["thumbnail"].split()],
        "noise": row["noise"] or None,
        "strength": float(row["strength"]) if row["strength"] else None,
    }
    height, width = map(int, row["canvas"].split())
    return Tile(image, mask, describe(planned, (height, width)))
