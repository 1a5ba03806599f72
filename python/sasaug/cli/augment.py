"""One job: the command `augment`: the options of an expansion, handed over to `sasaug.folder`."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from . import console
from .settings import Canvas, Config, Noise, Pattern, Thumbnail, resolve, shard_of

__all__ = ["augment"]


def augment(
    images: Annotated[
        Path,
        typer.Option(
            help='Folder of images, searched recursively; or WebDataset tars: "x-{000..099}.tar".'
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for images/, masks/ and manifest.csv.")],
    masks: Annotated[
        Path | None, typer.Option(help="Folder of masks; may be that of the images.")
    ] = None,
    pattern: Pattern = None,
    each_mask: Annotated[
        bool | None,
        typer.Option(
            "--each-mask/--merge-masks",
            help="Several masks of an image are cases of their own, or one. Default: one.",
        ),
    ] = None,
    copies: Annotated[int | None, typer.Option(help="Outputs per image. Default: 20.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of all draws. Default: 0.")] = None,
    config: Config = None,
    canvas: Canvas = None,
    thumbnail: Thumbnail = None,
    position: Annotated[
        str | None,
        typer.Option(
            help="center, random or top_left. Default: center.",
            autocompletion=lambda: ["center", "random", "top_left"],
        ),
    ] = None,
    noise: Noise = None,
    p: Annotated[
        float | None, typer.Option("--p", help="Probability of a transformed copy. Default: 0.5.")
    ] = None,
    apply_to: Annotated[
        str | None,
        typer.Option(
            help="large: leave objects of at most 3 % alone; all: do not. Default: large.",
            autocompletion=lambda: ["large", "all"],
        ),
    ] = None,
    antialias: Annotated[
        bool | None,
        typer.Option(help="Widen the filter when shrinking, or do not. Default: do not."),
    ] = None,
    labels: Annotated[
        list[int] | None, typer.Option(help="Label that gets noise; repeatable. Default: all.")
    ] = None,
    per_tar: Annotated[
        int | None,
        typer.Option(help="Write WebDataset tars of so many cases each, in place of files."),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            help="threads, or ray: a Ray cluster. The outputs are the same.",
            autocompletion=lambda: ["threads", "ray"],
        ),
    ] = "threads",
    jobs: Annotated[
        int | None, typer.Option(help="Cases worked on at once. Default: one per core.")
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(help="i/n: do the i-th of n shares. Then run once without, for the manifest."),
    ] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Write a contact sheet, preview.png.")
    ] = False,
    report: Annotated[
        bool,
        typer.Option("--report", help="Write report.html: sizes before and after, and samples."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Start over, overwrite.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Say nothing but errors, and what was skipped.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as one JSON object.")
    ] = False,
) -> None:
    r"""Write augmented copies of images and their masks.

    Every copy follows from its image, masks, settings and seed alone. A killed run goes on where
    it was when it is started again; settings other than before are refused.

    \b
    Examples:
      20 copies of every image, with a report to look at
        python -m sasaug augment --images images --masks masks --out out --report
      The layout of BUSI: one folder, several masks of an image
        python -m sasaug augment --images BUSI --masks BUSI --pattern "{stem}_mask*" --out out
      Transform every copy, on a canvas of 256 pixels
        python -m sasaug augment ... --p 1 --apply-to all --canvas 256
      The settings of an earlier run, with another seed
        python -m sasaug augment ... --config out/settings.json --seed 1
      A share for each of 8 processes, on any machines; then once without --shard
        python -m sasaug augment ... --shard 3/8
      A Ray cluster
        python -m sasaug augment ... --engine ray

    \b
    Exit status:
      0    all done
      1    files were skipped, or the output could not be written
      2    an option, a setting or a missing extra: nothing was done
      130  interrupted
    """
    import cv2
    from rich.console import Console

    from ..folder import Job, expand

    if hasattr(cv2, "setLogLevel"):
        cv2.setLogLevel(0)  # what OpenCV refuses is named in the report
    start = time.perf_counter()
    stderr = Console(stderr=True)
    with console.errors():
        aug, of_a_run = resolve(
            config,
            {
                "canvas": canvas,
                "thumbnail": thumbnail,
                "position": position,
                "noise": noise,
                "p": p,
                "apply_to": apply_to,
                "antialias": antialias,
                "labels": labels or None,
                "copies": copies,
                "seed": seed,
                "pattern": pattern,
                "each_mask": each_mask,
                "per_tar": per_tar,
            },
        )
        job = Job(images, masks, out, aug, **of_a_run)
        share = shard_of(shard)
        unit = "tars" if job.writes_tars else "cases"
        silent = quiet or as_json
        shown = nullcontext(lambda done, total: None) if silent else console.progress(stderr, unit)
        with shown as progress:
            result = expand(
                job,
                workers=jobs,
                engine=engine,
                shard=share,
                force=force,
                preview=preview,
                report=report,
                progress=progress,
            )
    seconds = time.perf_counter() - start
    console.tell_problems(stderr, result, silent)
    if as_json:
        console.tell_as_json(job, result, share, seconds)
    elif not quiet:
        console.tell(Console(), job, result, share, seconds)
    raise typer.Exit(console.SKIPPED if result.skipped else 0)
