"""One job: expand a folder, or WebDataset tars, into augmented copies on disk.

What is written follows from images, masks, settings and seed: not from the order of the listing,
from the engine, from how the work was shared, or from how often a run was killed.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from .. import STREAM_VERSION, __version__
from .engines import ENGINES
from .files import expand_case
from .job import Job, Outcome, Report, Row
from .ledger import FILES, TARS, Ledger
from .pairs import Case, find
from .report import write_report
from .sheet import write_preview
from .tars import Tar, expand_tar, find_tars, grouped

__all__ = ["expand"]


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
    """Write the augmented copies of a data set, or what earlier runs left to do.

    Several processes, on any machines that share the folders, may each do a shard; afterwards a
    run without one makes up for what they left, and writes the manifest.

    Parameters
    ----------
    job : Job
        What to do.
    workers : int, optional
        Threads or Ray tasks at once, at least 1; default: one per core. Results do not depend
        on it.
    engine : {"threads", "ray"}
        Who does it. Results do not depend on it.
    shard : (int, int), optional
        (i, n) with 1 <= i <= n: do the i-th of n shares, and no more.
    force : bool
        Delete what an earlier run wrote and start over; overwrite files that are in the way.
        Not together with `shard`.
    preview : bool
        Write a contact sheet of some cases as well; of files only. A shard leaves it to the run
        that writes the manifest.
    report : bool
        Write report.html as well: sizes before and after, and samples. The same holds.
    progress : callable
        Called with the numbers of finished units, cases or tars, and of all.

    Returns
    -------
    Report
        Counts, and what was skipped and why; those of a shard are of its own share.

    Raises
    ------
    ValueError
        A setting is out of range, a folder is missing, or `out` holds something else.
    OSError
        `out` cannot be written. What is finished stays, and the next run goes on from there.
    """
    _check(job, workers, engine, shard, force)
    for name, asked in (("preview", preview), ("report", report)):
        if asked and job.writes_tars:
            raise ValueError(f"{name} must be of files, got outputs in tars")
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
    outcomes = ENGINES[engine](partial(_do, there, force), tasks, workers)
    for done, (place, outcome) in enumerate(outcomes, start=1):
        if outcome.rows:
            finished.append(units[place])
            if not outcome.earlier:
                ledger.add(outcome.rows)
        _count(found, notes, outcome)
        progress(done, len(units))
    found.skipped.sort()
    found.notes = {note: sorted(files) for note, files in sorted(notes.items())}
    if shard is not None:
        return found
    rows = ledger.write_manifest()
    cases = [unit for unit in finished if isinstance(unit, Case)]
    if preview and cases:
        found.preview = write_preview(job, cases, rows)
    if report and cases:
        found.report = write_report(job, rows)
    ledger.close()
    return found


def _units(job: Job, report: Report, notes: dict[str, list[str]]) -> Sequence[Case | Tar]:
    """Find what there is to do, in a fixed order."""
    if job.reads_tars:
        return find_tars(job.images, job.out)
    assert job.masks is not None  # checked
    found = find(job.images, job.masks, job.mask_pattern, job.each_mask)
    if not found.cases:
        first = found.problems[0] if found.problems else "no PNG, JPEG, TIFF or BMP file"
        more = f" ({len(found.problems)} in all)" if len(found.problems) > 1 else ""
        raise ValueError(f"images must hold an image with a mask, got none: {first}{more}")
    report.skipped += found.problems
    if found.spare_masks:
        notes["mask belongs to no image"] = found.spare_masks
    return found.cases if job.per_tar is None else grouped(found.cases, job.per_tar)


def _do(job: Job, force: bool, task: tuple[Case | Tar, list[Row]]) -> Outcome:
    """Do one unit; a function of its own, so that it can be sent to other machines."""
    unit, earlier = task
    if isinstance(unit, Case):
        return expand_case(job, unit, earlier, force)
    return expand_tar(job, unit, earlier, force)


def _source(unit: Case | Tar) -> tuple[str, ...]:
    """Return what the ledger knows a unit by."""
    return (unit.image, unit.joined_masks) if isinstance(unit, Case) else (unit.name,)


def _count(report: Report, notes: dict[str, list[str]], outcome: Outcome) -> None:
    """Add what became of a unit to the report."""
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


def _check(
    job: Job, workers: int | None, engine: str, shard: tuple[int, int] | None, force: bool
) -> None:
    """Refuse what cannot work, before anything is written."""
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
    if shard is not None:
        if not 1 <= shard[0] <= shard[1]:
            raise ValueError(f"shard must be i/n with 1 <= i <= n, got {shard[0]}/{shard[1]}")
        if force:
            raise ValueError("force must not be used with shard: it would delete other shards'")
    _check_folders(job)


def _check_folders(job: Job) -> None:
    out = job.out.resolve()
    if out.exists() and not out.is_dir():
        raise ValueError(f"out must be a folder, got the file {job.out}")
    if job.reads_tars:
        for name, got in (("masks", job.masks), ("per_tar", job.per_tar)):
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
    """Return what the outputs depend on, for settings.json."""
    return {
        "version": __version__,
        "stream_version": STREAM_VERSION,
        "seed": job.seed,
        "copies": job.copies,
        "pattern": job.mask_pattern,
        "each_mask": job.each_mask,
        "per_tar": job.per_tar,
        "settings": json.loads(job.augment.to_json()),
    }
