"""One job: the command `augment`: hand the options of an expansion to `sasaug.folder`."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from . import console
from .settings import (
    Config,
    EachMask,
    ImagePattern,
    MaskThreshold,
    Pattern,
    resolve,
    shard_of,
    takes_settings,
)

__all__ = ["augment"]


@takes_settings()
def augment(
    *,
    images: Annotated[
        Path,
        typer.Option(
            help='Folder of images, searched recursively; or WebDataset tars: "x-{000..099}.tar".'
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for images/, masks/ and manifest.csv.")],
    masks: Annotated[
        Path | None, typer.Option(help="Folder of masks; may be the folder of the images.")
    ] = None,
    pattern: Pattern = None,
    image_pattern: ImagePattern = None,
    each_mask: EachMask = None,
    mask_threshold: MaskThreshold = None,
    copies: Annotated[int | None, typer.Option(help="Outputs per image. Default: 20.")] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed. Default: 0.")] = None,
    config: Config = None,
    per_tar: Annotated[
        int | None,
        typer.Option(help="Write WebDataset tars with this many cases each instead of files."),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            help="threads, or ray: a Ray cluster. The outputs are the same.",
            autocompletion=lambda: ["threads", "ray"],
        ),
    ] = "threads",
    jobs: Annotated[
        int | None, typer.Option(help="Cases processed at once. Default: one per core.")
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            help="i/n: do only the i-th of n shares. Afterwards run once without this option, "
            "for the manifest."
        ),
    ] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Write a contact sheet, preview.png.")
    ] = False,
    report: Annotated[
        bool,
        typer.Option(
            "--report", help="Write report.html, with sizes before and after, and samples."
        ),
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Delete the outputs of an earlier run, and start over."),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Print only errors and skipped files.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as one JSON object.")
    ] = False,
    **settings: Any,
) -> None:
    """Write augmented copies of images and their masks.

    Every copy depends on its image, masks, settings and seed alone. Run the same command again to
    resume a killed run; other settings than before are refused.

    \b
    Examples:
      20 copies of every image, with a report to look at
        python -m sasaug augment --images images --masks masks --out out --report
      Every copy transformed, on a canvas of 256 pixels
        python -m sasaug augment ... --p 1 --apply-to all --canvas 256
      The settings of an earlier run, with another seed
        python -m sasaug augment ... --config out/settings.json --seed 1
      A share for each of 8 processes, on any machines; then once without --shard
        python -m sasaug augment ... --shard 3/8
      A Ray cluster
        python -m sasaug augment ... --engine ray

    \b
    Layouts:
      BUSI: one folder, several masks of an image
        --images BUSI --masks BUSI --pattern "{stem}_mask*"
      img_0.png and mask_0.png
        --image-pattern "img_{key}" --pattern "mask_{key}"
      nnU-Net: imagesTr/c0_0000.png and labelsTr/c0.png
        --image-pattern "{key}_0000" --pattern "{key}"
      A folder for each case: case_0/image.png and case_0/mask.png
        --images data --masks data --image-pattern image --pattern mask
      Parallel folders in each case: case_0/images/x.png and case_0/masks/x.png
        --images data --masks data --image-pattern "images/{key}" --pattern "masks/{key}"

    \b
    Exit status:
      0    all done
      1    files were skipped, or the output could not be written
      2    an option, a setting or a missing extra: nothing was done
      130  interrupted
    """  # noqa: D301 - Click reads the escape
    import cv2
    from rich.console import Console

    from ..folder import Job, expand

    if hasattr(cv2, "setLogLevel"):
        cv2.setLogLevel(0)  # files that OpenCV cannot read are named in the report
    start = time.perf_counter()
    stderr = Console(stderr=True)
    with console.errors():
        aug, of_a_run = resolve(
            config,
            {
                **settings,
                "copies": copies,
                "seed": seed,
                "pattern": pattern,
                "image_pattern": image_pattern,
                "each_mask": each_mask,
                "mask_threshold": mask_threshold,
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
