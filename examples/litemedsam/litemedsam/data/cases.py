"""One job: what a case is, how its image and mask are read, how cases are split by patient.

The common form of a data set is a plain folder: ``images/``, ``masks/`` and ``manifest.csv`` with a
row per case and the columns ``image, mask, group, label, orig_h, orig_w, h, w, area_frac_orig,
small, note``, of which only the first two must be there.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from . import dicom
from .dicom import BadFile

Mask = NDArray[np.bool_]  # [h w]
Picture = NDArray[np.uint8]  # [h w], or [h w 3] in RGB order
Window = tuple[int, int, int, int]  # (x, y, width, height) in pixels

#: A structure is small when its mask covers no more than this share of its image.
SMALL = 0.03


@dataclass(frozen=True)
class Case:
    """One image with one structure in it.

    Attributes
    ----------
    image, mask : Path
        Files; several cases may share either. The image may be a DICOM file.
    name : str
        Unique in its data set, and fit for a file name.
    group : str
        What must stay on one side of a split: the patient where known, else the image.
    label : int, optional
        The value that is the structure in a label map; None: every value but 0.
    draw : callable, optional
        ``draw(case, (h, w))`` -> bool [h w], for masks that are not stored as an image.
    window : (x, y, width, height), optional
        Where the ultrasound is, in pixels of the image. None: what a DICOM file says, else all.
    area : float, optional
        Share [0, 1] of the original image that the structure covers, from the manifest.
    small : bool, optional
        Whether ``area`` is at most ``SMALL``, from the manifest.
    note : str
        Anything unusual.
    """

    image: Path
    mask: Path
    name: str
    group: str
    label: int | None = None
    draw: Callable[[Case, tuple[int, int]], Mask] | None = None
    window: Window | None = None
    area: float | None = None
    small: bool | None = None
    note: str = ""


@dataclass(frozen=True)
class Skip:
    """A file that makes no case, and why."""

    path: Path
    reason: str


@dataclass
class Report:
    """What became of a data set's cases."""

    taken: int = 0
    empty: list[Path] = field(default_factory=list)  # masks without a pixel
    bad: list[Skip] = field(default_factory=list)

    def __str__(self) -> str:
        head = f"{self.taken} taken, {len(self.empty)} empty, {len(self.bad)} bad"
        return "\n".join([head, *(f"  bad: {skip.path}: {skip.reason}" for skip in self.bad)])


def read_image(path: Path) -> Picture:
    """Read an image as uint8 [h w], or [h w 3] where its channels differ.

    Of 16 bits the upper 8 are kept; an alpha channel is dropped. DICOM: the middle frame.

    Raises
    ------
    BadFile
        The file is not a complete image.
    """
    return _read_image(path)[0]


def read_case(case: Case) -> tuple[Picture, Mask]:
    """Read a case's image, uint8 [h w] or [h w 3], and its mask, bool [h w].

    Raises
    ------
    BadFile
        A file that cannot be read, or a mask that is not of its image's size.
    """
    return read_with_window(case)[:2]


def read_with_window(case: Case) -> tuple[Picture, Mask, Window]:
    """Read a case as :func:`read_case`, and its window: all of the image if none is known.

    A window that was guessed from the image (see ``dicom``) is dropped if it cuts the mask.
    """
    image, scan = _read_image(case.image)
    height, width = image.shape[:2]
    mask = (case.draw or _stored_mask)(case, (height, width))
    if mask.shape != (height, width):
        raise BadFile(
            case.mask,
            f"a mask must have its image's size, {width} x {height}, "
            f"got {mask.shape[1]} x {mask.shape[0]}",
        )
    whole = (0, 0, width, height)
    window = case.window or (scan.window if scan else whole)
    x, y, w, h = window
    if not (0 <= x < x + w <= width and 0 <= y < y + h <= height):
        raise BadFile(case.image, f"window {window} must lie inside {width} x {height}")
    guessed = case.window is None and scan is not None and scan.source != "region"
    if guessed and mask[y : y + h, x : x + w].sum() < mask.sum():
        window = whole
    return image, mask, window


def read_all(
    found: Iterable[Case | Skip], report: Report
) -> Iterator[tuple[Case, Picture, Mask, Window]]:
    """Read case by case; what is empty or bad goes to the report, and reading continues."""
    for case in found:
        if isinstance(case, Skip):
            report.bad.append(case)
            continue
        try:
            image, mask, window = read_with_window(case)
        except BadFile as error:
            report.bad.append(Skip(error.path, error.reason))
            continue
        if mask.any():
            report.taken += 1
            yield case, image, mask, window
        else:
            report.empty.append(case.mask)


def read_labels(path: Path) -> NDArray[Any]:
    """Read a mask file as one number per pixel, [h w] of uint8 or uint16.

    A palette image gives its indices, not its colours. An alpha channel that is not constant is
    the mask; in other colour images every pixel that is not black belongs to it.
    """
    values = _pixels(path)
    if values.ndim == 2:
        return values
    alpha = values[..., -1] if values.shape[2] in (2, 4) else None
    if alpha is not None and alpha.min() < alpha.max():
        return np.ascontiguousarray(alpha)
    colours = values[..., :3] if values.shape[2] > 2 else values[..., :1]
    if (colours == colours[..., :1]).all():
        return np.ascontiguousarray(colours[..., 0])
    return np.asarray(colours.any(axis=2), np.uint8)


def read_colours(path: Path) -> NDArray[np.uint8]:
    """Read a colour-coded mask as RGB, uint8 [h w 3]."""
    with _opened(path) as picture:
        return np.asarray(picture.convert("RGB"))


def read_manifest(folder: Path | str, group_by: str = "group") -> list[Case]:
    """List the cases of a plain folder, or of a folder of label maps (one case per object).

    Parameters
    ----------
    folder : path
        Holds ``manifest.csv``, with a column ``image`` and one ``mask``; or a column ``key``, of
        ``images/<key>.png`` and ``labels/<key>.png``, a label map.
    group_by : {"group", "image"}
        "image" ignores the manifest's groups: some publishers write the class, or their own split,
        where others write the patient.

    Raises
    ------
    BadFile
        The manifest is missing, lacks these columns, or has a value that is not a number.
    """
    folder = Path(folder)
    path = folder / "manifest.csv"
    if group_by not in ("group", "image"):
        raise ValueError(f'group_by must be "group" or "image", got {group_by!r}')
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError as error:
        raise BadFile(
            path,
            "is missing: a data folder holds images, masks and a manifest.csv; make one with "
            f"`python -m litemedsam prepare {folder} NEW_FOLDER`",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(path, f"cannot be read ({error})") from error
    columns = rows[0].keys() if rows else set()
    if {"image", "mask"} <= columns:
        try:
            cases = [_case(folder, row, group_by) for row in rows]
        except ValueError as error:
            raise BadFile(path, f"{error}") from error
    elif "key" in columns:
        cases = [case for row in rows for case in _objects(folder, row["key"])]
    else:
        raise BadFile(path, f"must have a row, and columns image and mask, got {list(columns)}")
    if len({case.name for case in cases}) < len(cases):
        raise BadFile(path, "gives two cases the same name")
    return cases


def split(cases: Sequence[Case], fractions: Sequence[float], seed: int) -> list[list[Case]]:
    """Split cases so that no group is in two parts.

    Groups are put in the order of a hash of the seed and their names, and go to the parts one
    after the other; a group that lies across a border goes where its middle is. The result depends
    on the seed, the names and the numbers of cases alone: not on order, machine or Python version.

    Parameters
    ----------
    cases : sequence of Case
    fractions : sequence of float
        Share of the cases for each part, adding up to 1; of cases, not of groups.
    seed : int

    Returns
    -------
    list of list of Case
        A part per fraction, each in the order of ``cases``.

    Raises
    ------
    ValueError
        Fractions that do not add up; one group with more than half of the cases (a class rather
        than a patient?); a part that would be empty.
    """
    if any(f < 0 for f in fractions) or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"fractions must be >= 0 and add up to 1, got {tuple(fractions)}")
    sizes: dict[str, int] = {}
    for case in cases:
        sizes[case.group] = sizes.get(case.group, 0) + 1
    for group, size in sizes.items():
        if size > len(cases) / 2 and len(cases) > 2 and len(fractions) > 1:
            raise ValueError(
                f"group {group!r} has {size} of {len(cases)} cases: a class rather than a "
                'patient? Split by image instead: --group-by image, or group_by="image" of '
                "read_manifest"
            )
    ends = np.cumsum(fractions) * len(cases)
    parts: dict[str, int] = {}
    before = 0
    for group in sorted(sizes, key=lambda g: (blake2b(f"{seed}:{g}".encode()).digest(), g)):
        middle = before + sizes[group] / 2
        parts[group] = min(int(np.searchsorted(ends, middle, "right")), len(fractions) - 1)
        before += sizes[group]
    result = [[case for case in cases if parts[case.group] == k] for k in range(len(fractions))]
    for part, fraction in zip(result, fractions, strict=True):
        if fraction > 0 and not part:
            raise ValueError(
                f"fractions {tuple(fractions)} must leave no part empty; {len(cases)} cases have "
                f"only {len(sizes)} groups"
            )
    return result


def _read_image(path: Path) -> tuple[Picture, dicom.Scan | None]:
    if path.suffix.lower() == ".dcm":
        scan = dicom.read(path)
        return scan.image, scan
    with _opened(path) as picture:
        if picture.mode.startswith("I"):
            deep = np.asarray(picture)
            if deep.min() < 0 or deep.max() > 65535:
                raise BadFile(path, f"must have 8 or 16 bits per pixel, got mode {picture.mode}")
            return (deep >> 8).astype(np.uint8), None
        if picture.mode == "F":
            raise BadFile(path, "must have 8 or 16 bits per pixel, got mode F")
        grey = picture.mode in ("1", "L", "LA")
        return dicom.without_copies(np.asarray(picture.convert("L" if grey else "RGB"))), None


class _opened:
    """``with _opened(path) as picture``: completely read; whatever goes wrong is a BadFile."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Image.Image:
        try:
            with Image.open(self.path) as picture:
                picture.load()
                return picture
        except FileNotFoundError as error:
            raise BadFile(self.path, "is missing") from error
        # PIL raises SyntaxError and others of its own for broken files
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise BadFile(self.path, f"must be a complete image ({error})") from error

    def __exit__(self, *error: object) -> None:
        pass


def _pixels(path: Path) -> NDArray[Any]:
    with _opened(path) as picture:
        values = np.asarray(picture)
    if values.dtype.kind == "f":
        raise BadFile(path, f"a mask must hold whole numbers, got {values.dtype}")
    return values.astype(np.uint8 if values.dtype == bool else values.dtype, copy=False)


def _stored_mask(case: Case, shape: tuple[int, int]) -> Mask:
    labels = read_labels(case.mask)
    mask: Mask = labels != 0 if case.label is None else labels == case.label
    return mask


def _case(folder: Path, row: dict[str, str], group_by: str) -> Case:
    group = (row.get("group") or "") if group_by == "group" else ""
    small, area = row.get("small"), row.get("area_frac_orig")
    window = [int(v) for v in (row.get("window") or "").split()]
    if len(window) not in (0, 4):
        raise ValueError(f"window must be four numbers, got {row['window']!r}")
    label = row.get("label")
    name = Path(row["mask"]).with_suffix("").as_posix().removeprefix("masks/").replace("/", "_")
    return Case(
        image=folder / row["image"],
        mask=folder / row["mask"],
        name=f"{name}_{label}" if label else name,
        group=group or Path(row["image"]).stem,
        label=int(label) if label else None,
        window=(window[0], window[1], window[2], window[3]) if window else None,
        area=float(area) if area else None,
        small=bool(int(small)) if small else None,
        note=row.get("note") or "",
    )


def _objects(folder: Path, key: str) -> Iterator[Case]:
    image, mask = folder / "images" / f"{key}.png", folder / "labels" / f"{key}.png"
    for label in np.unique(read_labels(mask)).tolist():
        if label:
            yield Case(image, mask, f"{key}_{label}", group=key, label=label)
