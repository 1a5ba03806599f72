"""One job: the command line, `python -m sasaug`.

Thin: `augment` hands over to `sasaug.folder`, `demo` draws phantoms and times the kernels.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NoReturn

try:
    import cv2
    import typer
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from .folder import Job, Report, expand
    from .folder.ledger import write_atomically
    from .preview import Tile, contact_sheet, describe, encode_png
except ModuleNotFoundError as error:
    if error.name is None or error.name.partition(".")[0] == "sasaug":
        raise
    print(f'{error.name.partition(".")[0]} is missing: pip install "sasaug[cli]"', file=sys.stderr)
    raise SystemExit(2) from None

import numpy as np
from numpy.typing import NDArray

from . import SAS, apply, get_num_threads
from .phantoms import phantoms

DEMO = Path("sasaug_demo.png")
BENCH_BATCH, BENCH_RUNS = 64, 7
NAMED_FILES = 3  # of each note, before "and n more"

app = typer.Typer(
    help="Segment Anything Small: augmentation of ultrasound images and their masks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Noise = Annotated[
    str,
    typer.Option(help="Ranges of strength: default, none, or the preset of a library: see docs."),
]


@app.command()
def demo(
    n: Annotated[int, typer.Option("--n", min=1, max=64, help="Simulated pictures.")] = 4,
    size: Annotated[int, typer.Option(min=16, max=4096, help="Their side in pixels.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="Of pictures and augmentation.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help=f"The contact sheet; a file that exists is kept. Default: {DEMO}."),
    ] = None,
    noise: Noise = "default",
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file of --out.")] = False,
) -> None:
    """Show SAS on simulated ultrasound: a contact sheet, a plan and the speed of this machine."""
    if out is not None and out.exists() and not force:
        _refuse(f"out: {out} exists; --force overwrites it")
    console = Console()
    with _usage_errors():
        aug = SAS(noise=_noise(noise))
        images, masks = phantoms(n, size, seed)
        sheet, plan = _demo_sheet(aug, images, masks, seed)
    path = out or DEMO
    with _write_errors():
        write_atomically(path, encode_png(sheet))
    console.print(f"The plan of the last column, {n} samples by the paper's rule:")
    console.print(str(plan), highlight=False, markup=False, soft_wrap=True)
    every = replace(aug, p=1.0, apply_to="all")
    for name, settings in (("paper's rule", aug), ("every sample transformed", every)):
        console.print(_speed(name, settings, images, masks, seed), highlight=False, soft_wrap=True)
    console.print(f"wrote {path}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def augment(
    images: Annotated[Path, typer.Option(help="Folder of images, searched recursively.")],
    masks: Annotated[Path, typer.Option(help="Folder of masks; may be the same.")],
    out: Annotated[Path, typer.Option(help="Folder for images/, masks/ and manifest.csv.")],
    copies: Annotated[int, typer.Option(help="Outputs per image.")] = 20,
    seed: Annotated[int, typer.Option(help="Of all draws.")] = 0,
    canvas: Annotated[
        str | None, typer.Option(help="Output size, N or HxW. Default: each image's own.")
    ] = None,
    thumbnail: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Range of the longer side: pixels, or fractions of the canvas if <= 1."),
    ] = None,
    position: Annotated[str, typer.Option(help="center, random or top_left.")] = "center",
    noise: Noise = "default",
    p: Annotated[float, typer.Option("--p", help="Probability of a transformed copy.")] = 0.5,
    apply_to: Annotated[
        str, typer.Option(help="large: leave objects of at most 3 % alone; all: do not.")
    ] = "large",
    antialias: Annotated[
        bool, typer.Option("--antialias", help="Widen the filter when shrinking.")
    ] = False,
    labels: Annotated[
        list[int] | None, typer.Option(help="Label that gets noise; repeatable. Default: all.")
    ] = None,
    pattern: Annotated[
        str, typer.Option(help='Name of an image\'s masks, such as "{stem}_mask*".')
    ] = "{stem}",
    each_mask: Annotated[
        bool, typer.Option("--each-mask", help="Several masks of an image are cases of their own.")
    ] = False,
    preview: Annotated[
        bool, typer.Option("--preview", help="Write a contact sheet, preview.png.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Start over, overwrite.")] = False,
    jobs: Annotated[int | None, typer.Option(help="Threads. Default: one per core.")] = None,
) -> None:
    """Write augmented copies of a folder of images and masks.

    A killed run goes on where it was when it is started again. Exit status: 0, or 1 when files
    were skipped, or 2 when nothing could be done.
    """
    console, errors = Console(), Console(stderr=True)
    _silence_opencv()
    start = time.perf_counter()
    with _write_errors(), _usage_errors():
        aug = SAS(
            canvas=_canvas(canvas),
            thumbnail=SAS.thumbnail if thumbnail is None else _thumbnail(thumbnail),
            position=position,
            antialias=antialias,
            noise=_noise(noise),
            p=p,
            apply_to=apply_to,
            labels=tuple(labels) if labels else None,
        )
        job = Job(images, masks, out, aug, copies, seed, pattern, each_mask)
        with _progress(errors) as progress:
            report = expand(job, workers=jobs, force=force, preview=preview, progress=progress)
    _tell_problems(errors, report)
    _tell_summary(console, job, report, time.perf_counter() - start)
    raise typer.Exit(1 if report.skipped else 0)


def main() -> None:
    """Run the command line."""
    app(prog_name="python -m sasaug")


def _refuse(text: object) -> NoReturn:
    """Leave with the status of a usage error."""
    typer.echo(f"error: {text}", err=True)
    raise typer.Exit(2)


@contextmanager
def _usage_errors() -> Iterator[None]:
    """Turn refused settings into a line and exit status 2."""
    try:
        yield
    except (ValueError, TypeError) as error:
        _refuse(error)


@contextmanager
def _write_errors() -> Iterator[None]:
    """Turn a full disk and the like into a line and exit status 1."""
    try:
        yield
    except OSError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error


def _canvas(text: str | None) -> int | tuple[int, int] | None:
    """Read N or HxW."""
    if text is None:
        return None
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() for side in sides):
        raise ValueError(f"canvas must be N or HxW in pixels, such as 256 or 256x320, got {text!r}")
    return int(sides[0]) if len(sides) == 1 else (int(sides[0]), int(sides[1]))


def _thumbnail(pair: tuple[float, float]) -> tuple[float, float] | tuple[int, int]:
    """Tell fractions from pixels, as Python does by type."""
    if max(pair) <= 1:
        return pair
    if any(value != int(value) for value in pair):
        raise ValueError(f"thumbnail must be whole pixels, or fractions up to 1, got {pair}")
    return int(pair[0]), int(pair[1])


def _noise(name: str) -> str | None:
    """Return the value of SAS's argument of that name."""
    return None if name == "none" else name


def _silence_opencv() -> None:
    """Keep OpenCV's own lines off the terminal: what it refuses is named in the report."""
    if hasattr(cv2, "setLogLevel"):
        cv2.setLogLevel(0)


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[int, int], None]]:
    """Give a function that shows progress: a bar on a terminal, ten lines elsewhere."""
    if not console.is_terminal:

        def lines(done: int, total: int) -> None:
            if done * 10 // total > (done - 1) * 10 // total:
                console.print(f"{done} of {total} cases", highlight=False)

        yield lines
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("augment", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _tell_problems(console: Console, report: Report) -> None:
    """Name what was skipped, and what was used but not quite as it was."""
    for text in report.skipped:
        console.print(f"skipped: {text}", markup=False, highlight=False, soft_wrap=True)
    for note, files in report.notes.items():
        names = ", ".join(files[:NAMED_FILES])
        more = f" and {len(files) - NAMED_FILES} more" if len(files) > NAMED_FILES else ""
        console.print(f"note: {note}: {names}{more}", markup=False, highlight=False, soft_wrap=True)


def _tell_summary(console: Console, job: Job, report: Report, seconds: float) -> None:
    """Print the counts as a table, and how to change the share of transformed copies."""
    share = report.transformed / report.outputs if report.outputs else 0.0
    written = report.written
    table = Table(show_header=False)
    table.add_row("cases (image and mask)", f"{report.cases}")
    table.add_row("outputs", f"{report.outputs}")
    table.add_row("of these transformed", f"{report.transformed} ({100 * share:.1f} %)")
    table.add_row("written now", f"{written}")
    table.add_row("skipped", f"{len(report.skipped)}")
    table.add_row("seconds", f"{seconds:.1f} ({written / seconds:.0f} outputs/s)")
    console.print(table)
    if not written and not report.skipped:
        console.print("Nothing to do: all outputs exist.")
    elif report.outputs and share < 1:
        console.print(
            f"A copy is transformed with probability {job.augment.p:g}"
            + (", never where the object is small" if job.augment.apply_to == "large" else "")
            + ": k copies are k epochs of training. --p 1 --apply-to all transforms every copy.",
            highlight=False,
        )
    if report.preview is not None:
        console.print(f"wrote {report.preview}", highlight=False, markup=False, soft_wrap=True)


def _demo_sheet(
    aug: SAS, images: NDArray[Any], masks: NDArray[Any], seed: int
) -> tuple[NDArray[np.uint8], Any]:
    """Return the contact sheet of the demo, and the plan of its last column."""
    n = len(images)
    assert isinstance(aug.noise, Mapping)  # SAS resolves a preset's name
    kinds = aug.noise.items()
    columns = [SAS(noise={kind: limits}, p=1.0, apply_to="all") for kind, limits in kinds]
    columns.append(aug)
    rows = [[Tile(image, mask, "original")] for image, mask in zip(images, masks, strict=True)]
    for index, settings in enumerate(columns):
        ids = np.arange(n, dtype=np.uint64) + np.uint64(index * n)
        plan = settings.plan(masks, seed=seed, ids=ids)
        x, y = apply(plan, images, masks)
        for tiles, planned, image, mask in zip(rows, plan.rows(), x, y, strict=True):
            tiles.append(Tile(image, mask, describe(planned, plan.canvas)))
    note = (
        "Each noise once, forced on every sample; last column: the paper's rule "
        f"(p = {aug.p:g}, objects above {100 * aug.small_fraction:g} % only) · seed {seed}"
    )
    return contact_sheet(rows, "Segment Anything Small, on simulated ultrasound", note), plan


def _speed(name: str, aug: SAS, images: NDArray[Any], masks: NDArray[Any], seed: int) -> str:
    """Time planning and applying on a batch, and say the best of some runs."""
    chosen = np.arange(BENCH_BATCH) % len(images)
    batch, labels = images[chosen], masks[chosen]
    best = float("inf")
    for _ in range(BENCH_RUNS):
        start = time.perf_counter()
        apply(aug.plan(labels, seed=seed), batch, labels)
        best = min(best, time.perf_counter() - start)
    gigabytes = (batch.nbytes + labels.nbytes) / 1e9
    return (
        f"{name}: {len(batch) / best:,.0f} images/s, {gigabytes / best:.2f} GB/s of image and mask"
        f" ({len(batch)} of {batch.shape[2]} x {batch.shape[1]}, {get_num_threads()} threads)"
    )


if __name__ == "__main__":
    main()
