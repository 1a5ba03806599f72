"""One job: the command `demo`: SAS on simulated ultrasound, and the speed of this machine."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import SAS, apply, get_num_threads
from . import console
from .settings import option, resolve

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["demo"]

DEMO = Path("sasaug_demo.png")
BENCH_BATCH, BENCH_RUNS = 64, 7


def demo(
    n: Annotated[int, typer.Option("--n", min=1, max=64, help="Number of simulated images.")] = 4,
    size: Annotated[
        int, typer.Option(min=16, max=4096, help="Side of the images in pixels.")
    ] = 256,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed for the simulated images and the augmentation.")
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            help=f"Contact sheet; an existing file is kept. Default: {DEMO}, which is overwritten."
        ),
    ] = None,
    noise: Annotated[str | None, option("noise")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file of --out.")] = False,
) -> None:
    """Show SAS on simulated ultrasound.

    Writes a contact sheet, and prints a plan and the speed of this machine.

    \b
    Examples:
      python -m sasaug demo
      python -m sasaug demo --n 2 --size 512 --noise scikit-image --out sheet.png
    """  # noqa: D301 - Click reads the escape
    from ..folder.workspace import write_atomically
    from ..phantoms import phantoms
    from ..preview import encode_png

    if out is not None and out.exists() and not force:
        console.refuse(f"out: {out} exists; --force overwrites it")
    path = out or DEMO
    with console.errors():
        aug, _ = resolve(None, {"noise": noise})
        images, masks = phantoms(n, size, seed)
        sheet, plan = _sheet(aug, images, masks, seed)
        write_atomically(path, encode_png(sheet))
    typer.echo(f"The plan of the last column, {n} samples by the paper's rule:")
    typer.echo(str(plan))
    every = replace(aug, p=1.0, apply_to="all")
    for name, settings in (("paper's rule", aug), ("every sample transformed", every)):
        typer.echo(_speed(name, settings, images, masks, seed))
    typer.echo(f"wrote {path}")


def _sheet(
    aug: SAS, images: NDArray[Any], masks: NDArray[Any], seed: int
) -> tuple[NDArray[np.uint8], Any]:
    """Return the contact sheet of the demo and the plan of its last column."""
    import numpy as np

    from ..preview import Tile, contact_sheet, describe

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
    """Time planning and applying on a batch; describe the best of some runs."""
    import numpy as np

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
