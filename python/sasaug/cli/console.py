"""One job: the output of the commands: errors with their exit status, progress, summaries."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from ..folder import Job, Report

__all__ = ["errors", "progress", "refuse", "tell", "tell_as_json", "tell_problems"]

SKIPPED, REFUSED, INTERRUPTED = 1, 2, 130  # exit status; 130 is the shells' own
NAMED_FILES = 3  # of each note, before "and n more"


def refuse(text: object, status: int = REFUSED) -> NoReturn:
    """Print a line on the error stream, and exit with a status."""
    typer.echo(f"error: {text}", err=True)
    raise typer.Exit(status)


@contextmanager
def errors() -> Iterator[None]:
    """Turn refusals, a full disk and an interrupt into one line and an exit status."""
    try:
        yield
    except (ValueError, TypeError) as error:
        refuse(error)
    except OSError as error:
        name = "" if error.filename is None else f"{error.filename}: "
        refuse(f"{name}{error.strerror or error}", SKIPPED)
    except KeyboardInterrupt:
        refuse("interrupted; run the same command again to resume", INTERRUPTED)


@contextmanager
def progress(console: Console, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Give a function that shows progress: a bar on a terminal, ten lines elsewhere."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    start = time.perf_counter()

    def pace(done: int, total: int) -> str:
        rate = done / (time.perf_counter() - start)
        seconds = round((total - done) / rate)
        return f"{rate:.3g} {unit}/s, {seconds // 60}:{seconds % 60:02} left"

    if not console.is_terminal:

        def lines(done: int, total: int) -> None:
            if done * 10 // total > (done - 1) * 10 // total:
                console.print(f"{done} of {total} {unit}, {pace(done, total)}", highlight=False)

        yield lines
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(unit, total=None)
        yield lambda done, total: bar.update(
            task, completed=done, total=total, description=pace(done, total)
        )


def tell_problems(console: Console, report: Report, quiet: bool) -> None:
    """Name the files that were skipped, and those that were not used as they are."""
    for text in report.skipped:
        _say(console, f"skipped: {text}")
    for note, files in () if quiet else report.notes.items():
        names = f": {', '.join(files[:NAMED_FILES])}" if files else ""
        more = f" and {len(files) - NAMED_FILES} more" if len(files) > NAMED_FILES else ""
        _say(console, f"note: {note}{names}{more}")


def tell(
    console: Console, job: Job, report: Report, shard: tuple[int, int] | None, seconds: float
) -> None:
    """Print the counts as a table, and the next step."""
    from rich.table import Table

    share = report.transformed / report.outputs if report.outputs else 0.0
    table = Table(show_header=False)
    table.add_row("cases (image and mask)", f"{report.cases}")
    table.add_row("outputs", f"{report.outputs}")
    table.add_row("transformed outputs", f"{report.transformed} ({100 * share:.1f} %)")
    table.add_row("written now", f"{report.written}")
    table.add_row("skipped", f"{len(report.skipped)}")
    table.add_row("seconds", f"{seconds:.1f} ({report.written / seconds:.0f} outputs/s)")
    console.print(table)
    if not report.written and not report.skipped:
        _say(console, "Nothing to do: all outputs exist.")
    elif report.outputs and set(report.absent_labels) == set(job.augment.labels or (0,)):
        held = [label for label in report.mask_labels if label]
        advice = f"give one that they hold, such as --labels {held[-1]}, or " if held else ""
        _say(console, f"No mask holds a label of --labels: {advice}leave the option out.")
    elif report.outputs and share < 1:
        _say(
            console,
            f"A copy is transformed with probability {job.augment.p:g}"
            + (", but never if its object is small" if job.augment.apply_to == "large" else "")
            + ", so k copies are like k epochs of training. --p 1 --apply-to all transforms "
            "every copy.",
        )
    for path in (report.preview, report.report):
        if path is not None:
            _say(console, f"wrote {path}")
    if shard is not None:
        _say(
            console,
            f"This was shard {shard[0]} of {shard[1]}. After all shards, run the command without "
            "--shard: it does what is missing, and writes the manifest.",
        )


def tell_as_json(job: Job, report: Report, shard: tuple[int, int] | None, seconds: float) -> None:
    """Print one JSON object for scripts."""
    facts: dict[str, Any] = asdict(report)
    facts["out"] = job.out
    facts["shard"] = None if shard is None else f"{shard[0]}/{shard[1]}"
    facts["seconds"] = round(seconds, 3)
    typer.echo(json.dumps(facts, default=_text))


def _text(path: Path) -> str:
    return str(path)


def _say(console: Console, text: str) -> None:
    """Print a line as it is, without wrapping."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)
