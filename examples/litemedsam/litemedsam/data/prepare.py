"""One job: a folder of small images from a data set: window cut out, longest side 256.

    python -m litemedsam.data.prepare Dataset_BUSI_with_GT prepared/busi

Cutting and shrinking are one resample, by sasaug: bilinear for images, nearest-exact for masks, as
the paper has it. There is no padding yet: ``batches`` pads, after the brightness is scaled.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

import sasaug

from . import dicom, layouts
from .cases import SMALL, Case, Mask, Picture, Report, Skip, Window, read_all

COLUMNS = (
    "image", "mask", "group", "label", "orig_h", "orig_w", "h", "w", "area_frac_orig", "small",
    "note",
)  # fmt: skip


def prepare(
    source: Path | str | Iterable[Case | Skip],
    layout: str,
    out: Path | str,
    *,
    side: int = 256,
    grey: bool = True,
    **options: object,
) -> Report:
    """Write ``out`` with ``images/``, ``masks/`` (0 and 255) and ``manifest.csv``.

    It appears whole or not at all: an interrupted run leaves nothing under this name.

    Parameters
    ----------
    source : path, or cases
        A data set's folder; or cases that were listed already (``layout`` is not used then).
    layout : str
        A name of ``layouts.LAYOUTS``, or "auto".
    out : path
        A new or empty folder.
    side : int
        Longest side in pixels; smaller images are enlarged.
    grey : bool
        Write one channel; otherwise those with colour keep it.
    **options
        Of the layout, such as ``organs=("kidney",)``.

    Returns
    -------
    Report
        Printed as well: cases taken, empty and bad.

    Raises
    ------
    FileExistsError
        ``out`` holds something.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"out must be a new or empty folder, got {out}")
    found = layouts.find(source, layout, **options) if isinstance(source, (str, Path)) else source
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        report = _write(found, work, side, grey)
        if not report.taken:
            raise ValueError(f"no case can be used: {report}")
        work.chmod(0o755)  # mkdtemp lets nobody else in
        work.replace(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"{out}: {report}")
    return report


def shrink(image: Picture, mask: Mask, window: Window, side: int = 256) -> tuple[Picture, Mask]:
    """Cut the window out, and resize it so that its longer side is ``side``: one resample.

    Parameters
    ----------
    image : uint8 [h w] or [h w 3]
    mask : bool [h w]
    window : (x, y, width, height) in pixels

    Returns
    -------
    image : uint8, bilinear
    mask : bool, nearest-exact
    """
    fit = sasaug.SAS(canvas=side, thumbnail=None, noise=None, position="top_left")
    # a batch of one: an image [h w 3] alone could be three of [h w]
    plan = fit.plan(mask[None], windows=[window])
    images, masks = sasaug.apply(plan, image[None], mask[None])
    _, _, width, height = plan.samples["thumbnail"][0]  # the rest of the canvas is padding
    return images[0, :height, :width], masks[0, :height, :width]


def _write(found: Iterable[Case | Skip], work: Path, side: int, grey: bool) -> Report:
    """Write the images, and last of all the manifest."""
    report = Report()
    rows = []
    image_names: dict[Path, str] = {}
    used: set[str] = set()
    for folder in ("images", "masks"):
        (work / folder).mkdir()
    for case, image, mask, window in read_all(found, report):
        pixels = dicom.to_grey(image) if grey else image
        small_image, small_mask = shrink(pixels, mask, window, side)
        if not small_mask.any():
            report.taken -= 1
            where = "inside its window" if mask.any() else ""
            report.bad.append(Skip(case.mask, f"has no pixel left {where} at {side} pixels"))
            continue
        if case.image not in image_names:  # several cases may share it
            image_names[case.image] = _new(f"images/{case.image.stem}", used)
            Image.fromarray(small_image).save(work / image_names[case.image])
        mask_name = _new(f"masks/{case.name}", used)
        Image.fromarray(small_mask.astype(np.uint8) * 255).save(work / mask_name)
        rows.append(_row(case, image_names[case.image], mask_name, mask, small_mask, window))
    with (work / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return report


def _row(
    case: Case, image_name: str, mask_name: str, mask: Mask, small_mask: Mask, window: Window
) -> dict[str, object]:
    x, y, w, h = window
    inside = int(mask[y : y + h, x : x + w].sum())
    # a prepared folder prepared again keeps what it knows of the original
    area = inside / (w * h) if case.area is None else case.area
    notes = [case.note] if case.note else []
    if (h, w) != mask.shape:
        notes.append(f"window {x} {y} {w} {h}")
    if inside < mask.sum():
        notes.append(f"the window cuts {int(mask.sum()) - inside} pixels off the mask")
    return {
        "image": image_name,
        "mask": mask_name,
        "group": case.group,
        "label": "",  # prepared masks are 0 and 255
        "orig_h": h,
        "orig_w": w,
        "h": small_mask.shape[0],
        "w": small_mask.shape[1],
        "area_frac_orig": f"{area:.6f}",
        "small": int(area <= SMALL),
        "note": "; ".join(notes),
    }


def _new(name: str, used: set[str]) -> str:
    """Return a file name that is not used yet, also where upper and lower case are one."""
    number, candidate = 2, name
    while candidate.lower() in used:
        candidate, number = f"{name}_{number}", number + 1
    used.add(candidate.lower())
    return f"{candidate}.png"


def main() -> None:
    """Prepare a data set from the command line."""
    parser = argparse.ArgumentParser(description="Make a folder of small images of a data set.")
    parser.add_argument("source", type=Path, help="the unpacked data set")
    parser.add_argument("out", type=Path, help="a new folder")
    parser.add_argument("--layout", default="auto", choices=["auto", *layouts.LAYOUTS])
    parser.add_argument("--side", type=int, default=256, help="longest side in pixels")
    parser.add_argument("--colour", action="store_true", help="keep colour where there is any")
    given = parser.parse_args()
    try:
        prepare(given.source, given.layout, given.out, side=given.side, grey=not given.colour)
    except (ValueError, OSError) as error:
        raise SystemExit(f"prepare: {error}") from error


if __name__ == "__main__":
    main()
