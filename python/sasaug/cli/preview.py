"""One job: the command `preview`: draw one image at every strength and scale, to choose from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from .. import NOISES, SAS, apply
from . import console
from .settings import Config, ImagePattern, MaskThreshold, Pattern, resolve, takes_settings

if TYPE_CHECKING:
    from ..preview import Tile

__all__ = ["preview"]

PREVIEW = Path("sasaug_preview.png")
SCALES = (1.0, 0.5, 0.25)
PHANTOMS = 4  # to choose from
SHOWN_LABELS = 10  # of the mask, in an error
STEPS = 3  # strengths of a kind, from one end of its range to the other


@takes_settings("thumbnail", "p", "small_fraction", "apply_to")  # which it sets itself
def preview(
    *,
    images: Annotated[
        Path | None, typer.Option(help="Folder of images. Default: simulated ultrasound.")
    ] = None,
    masks: Annotated[Path | None, typer.Option(help="Folder of masks.")] = None,
    pattern: Pattern = None,
    image_pattern: ImagePattern = None,
    mask_threshold: MaskThreshold = None,
    case: Annotated[
        str | None, typer.Option(help="Name of the image without suffix. Default: the first.")
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Noise to show: {', '.join(NOISES)}; repeatable. Default: all of --noise.",
            autocompletion=lambda: list(NOISES),
        ),
    ] = None,
    strength: Annotated[
        list[float] | None,
        typer.Option(help="Strength to show; repeatable. Default: ends and middle of the range."),
    ] = None,
    scale: Annotated[
        list[float] | None,
        typer.Option(
            help="Longer side of the thumbnail as a fraction of the largest that fits; "
            "repeatable. Default: 1, 0.5 and 0.25."
        ),
    ] = None,
    config: Config = None,
    seed: Annotated[int | None, typer.Option(help="Random seed. Default: 0.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help=f"Contact sheet; an existing file is kept. Default: {PREVIEW}, which is "
            "overwritten."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file of --out.")] = False,
    **settings: Any,
) -> None:
    """Draw one image with every noise at several strengths and scales.

    \b
    Examples:
      python -m sasaug preview
      python -m sasaug preview --images images --masks masks --case patient_7
      python -m sasaug preview --kind speckle --strength 0.1 --strength 0.3 --scale 0.5
    """  # noqa: D301 - Click reads the escape
    from ..folder.workspace import write_atomically
    from ..preview import contact_sheet, encode_png

    if out is not None and out.exists() and not force:
        console.refuse(f"out: {out} exists; --force overwrites it")
    path = out or PREVIEW
    with console.errors():
        given = {
            **settings,
            "seed": seed,
            "pattern": pattern,
            "image_pattern": image_pattern,
            "mask_threshold": mask_threshold,
        }
        aug, of_a_run = resolve(config, given)
        number = of_a_run.get("seed", 0)
        source = _source(images, masks, of_a_run, case, number, aug)
        rows = _rows(
            replace(aug, frames=False), source, kind, strength, scale or list(SCALES), number
        )
        note = f"One row per noise and strength, one column per scale · seed {number}"
        write_atomically(path, encode_png(contact_sheet(rows, source.caption, note)))
    typer.echo(f"wrote {path}")


def _source(
    images: Path | None,
    masks: Path | None,
    of_a_run: Mapping[str, Any],
    case: str | None,
    seed: int,
    aug: SAS,
) -> Tile:
    """Return the image to show, or the frame of a clip, with its mask and name."""
    from ..preview import Tile

    if images is None or masks is None:
        if images is not None or masks is not None or case is not None:
            raise ValueError("images and masks must be given together, and case only with them")
        from ..phantoms import phantoms

        several, masks_of = phantoms(PHANTOMS, 256, seed)
        place = int((masks_of != 0).sum(axis=(1, 2)).argmax())  # noise is seen in a large structure
        _check_labels(aug.labels, masks_of[place], "simulated ultrasound")
        return Tile(several[place], masks_of[place], "simulated ultrasound")
    from ..folder.cases import decode, read
    from ..folder.job import Job, Unusable
    from ..folder.pairs import find
    from ..folder.sheet import original

    for name, folder in (("images", images), ("masks", masks)):
        if not folder.is_dir():
            raise ValueError(f"{name} must be a folder, got {folder}")
    job = Job(images, masks, Path(), aug, **of_a_run)
    listed = find(images, masks, job.mask_pattern, False, job.image_pattern)
    if not listed.cases:
        raise ValueError(f"images must hold an image with a mask, got none: {listed.reason}")
    found = listed.cases
    chosen = [one for one in found if case in (None, one.name)]
    if not chosen:
        some = ", ".join(one.name for one in found[:5])
        raise ValueError(f"case must be one of {len(found)} images with masks ({some}), got {case}")
    try:
        one = chosen[0]
        contents = [read(images, one.image), *(read(masks, name) for name in one.masks)]
        loaded = decode(one, contents, job)
    except Unusable as error:
        raise ValueError(str(error)) from error
    for note, file in loaded.notes:
        typer.echo(f"note: {note}: {file}", err=True)
    shown = original(loaded, one.name)
    _check_labels(aug.labels, shown.mask, one.name)
    return shown


def _check_labels(labels: Sequence[int] | None, mask: Any, name: str) -> None:
    """Raise ValueError if the mask holds none of the labels: there would be no noise to see."""
    held = np.unique(mask).tolist()
    if labels is not None and not set(labels) & set(held):
        shown = ", ".join(map(str, held[:SHOWN_LABELS])) + (", ..." * (len(held) > SHOWN_LABELS))
        raise ValueError(
            f"labels must be in the mask of {name}, which holds {shown}, got {list(labels)}"
        )


def _rows(
    aug: SAS,
    source: Tile,
    kinds: list[str] | None,
    strengths: list[float] | None,
    scales: list[float],
    seed: int,
) -> list[list[Tile]]:
    """Return the tiles: the original, and one for each scale, for each kind and strength."""
    from ..preview import Tile, describe

    ranges = aug.noise
    assert isinstance(ranges, Mapping)  # SAS resolves a preset's name
    image = source.image[None]
    mask: Any = source.mask[None] if source.mask is not None else None
    rows = []
    shown: list[str] | list[None] = kinds or list(ranges) or [None]  # no noise: thumbnails alone
    for kind in shown:
        for strength in _strengths(kind, ranges, strengths):
            row = [Tile(source.image, source.mask, "original")]
            for scale in scales:
                noise: Any = {} if kind is None else {kind: (strength, strength)}
                settings = replace(
                    aug, noise=noise, thumbnail=(scale, scale), p=1.0, apply_to="all"
                )
                plan = settings.plan(mask, seed=seed)
                x, y = apply(plan, image, mask)
                row.append(Tile(x[0], y[0], describe(plan.rows()[0], plan.canvas)))
            rows.append(row)
    return rows


def _strengths(
    kind: str | None, ranges: Mapping[str, tuple[float, float]], given: list[float] | None
) -> list[float]:
    """Return the strengths of a kind to show."""
    if kind is None:
        return [0.0]
    if given:
        return given
    if kind not in ranges:
        raise ValueError(f"strength must be given for {kind}, which has no range in noise")
    low, high = ranges[kind]
    steps = STEPS if high > low else 1
    return [low + (high - low) * step / max(steps - 1, 1) for step in range(steps)]
