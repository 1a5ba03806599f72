"""One job: expand a folder, or WebDataset tars, into augmented copies on disk.

The outputs depend on images, masks, settings and seed alone: not on the order of the listing, the
engine, the way the work was shared, or how often a run was killed.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any

from .. import STREAM_VERSION, __version__
from .cases import Case
from .engines import ENGINES
from .files import expand_case
from .job import Job, Outcome, Report, Row, Unusable
from .ledger import FILES, TARS, Ledger
from .pairs import find
from .report import write_report
from .sheet import write_preview
from .tars import Tar, expand_tar, find_tars, grouped
from .workspace import Workspace

__all__ = ["expand"]

SHOWN_LABELS = 10  # of the masks, in a note


def expand(
    job: Job,
    *,
    workers: int | None = None,
    engine: str = "threads",
    shard: tuple[int, int] | None = None,
    force: bool = False,
    preview: bool = False,
    report: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Write the augmented copies of a data set, or those that earlier runs have not written.

    Several processes, on any machines that share the folders, may each do a shard; afterwards a
    run without `shard` does what they left undone, and writes the manifest.

    Parameters
    ----------
    job : Job
        The data set and the settings.
    workers : int, optional
        Threads or Ray tasks at once, at least 1; default: one per core. Results do not depend
        on it.
    engine : {"threads", "ray"}
        What runs the work. Results do not depend on it.
    shard : (int, int), optional
        (i, n) with 1 <= i <= n: do only the i-th of n shares.
    force : bool
        Delete the outputs of earlier runs and start over; overwrite files that are in the way. A
        run that still works in the folder fails, and changes nothing more. Not with `shard`.
    preview : bool
        Write a contact sheet of some cases too; file output only. A shard leaves it to the run
        that writes the manifest.
    report : bool
        Write report.html too, with sizes before and after, and samples. The same limits apply.
    progress : callable
        Called with the number of finished units, cases or tars, and the number of all units.

    Returns
    -------
    Report
        Counts, skipped files and reasons; for a shard those of its own share.

    Raises
    ------
    ValueError
        A setting is out of range, a folder is missing, or `out` holds something else. Nothing
        has been written.
    ModuleNotFoundError
        The job needs an extra that is not installed. Nothing has been written.
    Superseded
        Another run has finished the folder or started over in it.
    OSError
        `out` cannot be written. Finished outputs stay, and the next run resumes from there.
    """
    _check(job, workers, engine, shard, force)
    for name, asked in (("preview", preview), ("report", report)):
        if asked and job.writes_tars:
            raise ValueError(f"{name} works with file output only, got output in tars")
    _check_extras(job, engine)
    found = Report()
    notes: defaultdict[str, list[str]] = defaultdict(list)
    units = _units(job, found, notes)
    ledger = Ledger(job.out, _settings(job), TARS if job.writes_tars else FILES, force)
    if shard is not None:
        units = units[shard[0] - 1 :: shard[1]]
    # Workers on other machines have other working directories.
    masks = None if job.masks is None else job.masks.absolute()
    there = replace(job, images=job.images.absolute(), masks=masks, out=job.out.absolute())
    tasks = [(unit, ledger.rows_of(*_source(unit))) for unit in units]
    finished = []
    work = partial(_do, there, ledger.workspace, force)
    labels: set[int] = set()
    read = 0
    with closing(ENGINES[engine](work, tasks, workers)) as outcomes:  # no task outlives an error
        for done, (place, outcome) in enumerate(outcomes, start=1):
            if outcome.rows:
                finished.append(units[place])
                if not outcome.earlier:
                    ledger.add(outcome.rows)
            _count(found, notes, outcome)
            labels |= outcome.labels
            read += 0 if outcome.earlier else outcome.cases
            progress(done, len(units))
    _note_labels(job, found, notes, labels, read)
    found.skipped.sort()
    found.notes = {note: sorted(files) for note, files in sorted(notes.items())}
    if shard is not None:
        return found
    if not found.outputs and not ledger.has_outputs():
        ledger.withdraw()
        return found
    rows = ledger.write_manifest()
    cases = [unit for unit in finished if isinstance(unit, Case)]
    try:
        if preview and cases:
            found.preview = write_preview(job, ledger.workspace, cases, rows)
        if report and cases:
            found.report = write_report(job, ledger.workspace, rows)
    except Unusable as error:  # a source or an output that was there a moment ago
        raise ledger.workspace.lost() or OSError(str(error)) from error
    ledger.close()
    return found


def _units(job: Job, report: Report, notes: dict[str, list[str]]) -> Sequence[Case | Tar]:
    """Find the units of work, in a fixed order."""
    if job.reads_tars:
        return find_tars(job.images, job.out)
    assert job.masks is not None  # checked
    found = find(job.images, job.masks, job.mask_pattern, job.each_mask, job.image_pattern, job.out)
    if not found.cases:
        raise ValueError(f"images must hold an image with a mask, got none: {found.reason}")
    report.skipped += found.problems
    for note, file in found.notes:
        notes[note].append(file)
    return found.cases if job.per_tar is None else grouped(found.cases, job.per_tar)


def _do(job: Job, space: Workspace, force: bool, task: tuple[Case | Tar, list[Row]]) -> Outcome:
    """Do one unit; at module level, so that it can be sent to other machines."""
    unit, earlier = task
    if isinstance(unit, Case):
        return expand_case(job, space, unit, earlier, force)
    return expand_tar(job, space, unit, earlier, force)


def _source(unit: Case | Tar) -> tuple[str, ...]:
    """Return the key of a unit in the ledger."""
    return (unit.image, unit.joined_masks) if isinstance(unit, Case) else (unit.name,)


def _count(report: Report, notes: dict[str, list[str]], outcome: Outcome) -> None:
    """Add the outcome of a unit to the report."""
    report.cases += outcome.cases
    report.outputs += outcome.outputs
    report.transformed += outcome.transformed
    if outcome.earlier:
        report.earlier += outcome.cases
    else:
        report.written += outcome.outputs
    report.skipped += outcome.skipped
    for note, file in outcome.notes:
        notes[note].append(file)


def _note_labels(
    job: Job, report: Report, notes: dict[str, list[str]], labels: set[int], read: int
) -> None:
    """Name the labels that none of the masks holds."""
    absent = sorted(set(job.augment.labels or ()) - labels)
    if not absent or not read:
        return
    report.absent_labels, report.mask_labels = absent, sorted(labels)
    values = ", ".join(map(str, report.mask_labels[:SHOWN_LABELS]))
    more = ", ..." if len(labels) > SHOWN_LABELS else ""
    masks = f"in none of {read} masks, which hold" if read > 1 else "not in the mask, which holds"
    notes[f"labels {absent} {masks} {values}{more}"] = []


def _check_extras(job: Job, engine: str) -> None:
    """Import the extras that a job needs, before anything is written."""
    needed = ["webdataset", "braceexpand"] if job.writes_tars else []
    for module in needed + (["ray.data"] if engine == "ray" else []):
        import_module(module)


def _check(
    job: Job, workers: int | None, engine: str, shard: tuple[int, int] | None, force: bool
) -> None:
    """Refuse impossible jobs, before anything is written."""
    if job.copies < 1:
        raise ValueError(f"copies must be at least 1, got {job.copies}")
    if not 0 <= job.seed < 2**64:
        raise ValueError(f"seed must be in [0, 2^64), got {job.seed}")
    if workers is not None and workers < 1:
        raise ValueError(f"jobs must be at least 1, got {workers}")
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}")
    if job.per_tar is not None and job.per_tar < 1:
        raise ValueError(f"per_tar must be at least 1, got {job.per_tar}")
    if job.mask_threshold is not None and not 0 <= job.mask_threshold < 2**16:
        raise ValueError(f"mask_threshold must be in [0, 65535], got {job.mask_threshold}")
    if shard is not None:
        if not 1 <= shard[0] <= shard[1]:
            raise ValueError(f"shard must be i/n with 1 <= i <= n, got {shard[0]}/{shard[1]}")
        if force:
            raise ValueError("force must not be used with shard: it would delete other shares")
    _check_folders(job)


def _check_folders(job: Job) -> None:
    out = job.out.resolve()
    if out.exists() and not out.is_dir():
        raise ValueError(f"out must be a folder, got the file {job.out}")
    if job.reads_tars:
        for name in ("masks", "image_pattern", "per_tar"):
            got = getattr(job, name)
            if got is not None:
                raise ValueError(f"{name} must not be given where images are tars, got {got}")
        return
    if job.masks is None:
        raise ValueError("masks must be given where images are a folder, got None")
    for name, folder in (("images", job.images), ("masks", job.masks)):
        if not folder.is_dir():
            raise ValueError(f"{name} must be a folder, got {folder}")
        inner = folder.resolve()
        if out == inner or out in inner.parents or inner in out.parents:
            raise ValueError(f"out must lie apart from {name} ({folder}), got {job.out}")


def _settings(job: Job) -> dict[str, Any]:
    """Return everything that the outputs depend on, for settings.json."""
    return {
        "version": __version__,
        "stream_version": STREAM_VERSION,
        "seed": job.seed,
        "copies": job.copies,
        "pattern": job.mask_pattern,
        "image_pattern": job.image_pattern,
        "each_mask": job.each_mask,
        "mask_threshold": job.mask_threshold,
        "per_tar": job.per_tar,
        "settings": json.loads(job.augment.to_json()),
    }
