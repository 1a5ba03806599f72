"""One job: list the cases of published ultrasound data sets, as they come from their publishers.

A layout is a function from the unpacked folder to its cases, one per mask; files that make none
come as ``Skip`` with the reason. Masks without a pixel are found on reading (``cases.read_all``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from .cases import Case, Mask, Skip, read_colours, read_labels, read_manifest
from .dicom import BadFile

try:
    from defusedxml.ElementTree import ParseError, parse
except ImportError:  # the files are a publisher's, and expat >= 2.4.1 limits entities by itself
    from xml.etree.ElementTree import ParseError, parse

Found = Iterator[Case | Skip]

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")

#: RGB codes of the abdominal set's organs.
ORGANS = {
    "liver": (100, 0, 100),
    "kidney": (255, 255, 0),
    "pancreas": (0, 0, 255),
    "vessels": (255, 0, 0),
    "adrenals": (0, 255, 255),
    "gallbladder": (0, 255, 0),
    "bones": (255, 255, 255),
    "spleen": (255, 0, 255),
}

#: Images of BUSI that are the same under two names.
BUSI_TWINS = {"malignant (145)": "benign (433)"}


def busi(root: Path) -> Found:
    """BUSI: ``benign/benign (1).png``, ``benign (1)_mask.png``, ``..._mask_1.png``, and so on.

    One case per mask file, as the paper counts them. The patient is not published: the group is
    the image.
    """
    for folder in ("benign", "malignant", "normal"):
        for mask in _pictures(root / folder):
            match = re.fullmatch(r"(.+)_mask(_\d+)?", mask.stem)
            if match:
                stem = match[1]
                image = mask.with_name(stem + mask.suffix)
                yield _pair(image, mask, mask.stem, group=BUSI_TWINS.get(stem, stem))


def breast(root: Path) -> Found:
    """BrEaST: ``case001.png``, ``case001_tumor.png``, ``case001_other1.png``, and a table.

    Tumours alone; the mask is in the alpha channel or in grey. A case is a patient. The table
    (``.xlsx``, optional) may name a tumour's file otherwise: it is believed where it lies in
    the folder or one above.
    """
    folder = _inside(root, "BrEaST-Lesions_USG-images_and_masks")
    listed = _breast_table(folder)
    for image in _pictures(folder):
        if "_" in image.stem:
            continue
        masks = listed.get(image.name) or [
            path.name for path in _pictures(folder) if path.stem.startswith(f"{image.stem}_tumor")
        ]
        if not masks:
            yield Skip(image, "has no tumour mask")
        for mask in masks:
            yield _pair(image, folder / mask, Path(mask).stem, group=image.stem)


def ddti(root: Path) -> Found:
    """DDTI, either as published or as the TN-SCUI challenge repacked it.

    As published, ``1.xml`` and ``1_1.jpg``: one case per image with all its polygons, as the
    repacked form has it; the group is the XML's number. Repacked, ``image/1.PNG`` and
    ``mask/1.PNG``: renumbered, so the patient is lost and the group is the image.
    """
    if (root / "image").is_dir():
        yield from _same_names(root / "image", root / "mask")
        return
    for image in _pictures(root):
        match = re.fullmatch(r"(\d+)_(\d+)\w?", image.stem)
        if not match:
            yield Skip(image, "is not named <xml's number>_<image>")
            continue
        xml = root / f"{match[1]}.xml"
        yield Case(image, xml, image.stem, group=match[1], draw=partial(polygons, number=match[2]))


def nerve(root: Path) -> Found:
    """Kaggle's ultrasound nerve segmentation: ``train/<subject>_<n>.tif``, ``..._mask.tif``."""
    for mask in _pictures(_inside(root, "train")):
        if mask.stem.endswith("_mask"):
            stem = mask.stem.removesuffix("_mask")
            yield _pair(mask.with_name(stem + mask.suffix), mask, stem, group=stem.split("_")[0])


def abdominal(
    root: Path, organs: Iterable[str] = ("kidney", "vessels", "gallbladder"), scans: str = "RUS"
) -> Found:
    """US simulation & segmentation (Kaggle): ``RUS/images/train/*``, ``RUS/annotations/train/*``.

    One case per organ in an image. ``scans``: "RUS", the real ones, or "AUS", the simulated.
    Images without annotation are left out; the patient is not published: the group is the image.
    """
    wanted = tuple(organs)
    if not set(wanted) <= ORGANS.keys():
        raise ValueError(f"organs must be of {list(ORGANS)}, got {wanted}")
    roots = [root] if root.name == scans else sorted(p for p in root.rglob(scans) if p.is_dir())
    if not roots:
        raise BadFile(root, f"holds no folder {scans}")
    for part in ("train", "test"):
        images = {path.stem: path for path in _pictures(roots[0] / "images" / part)}
        for mask in _pictures(roots[0] / "annotations" / part):
            if mask.stem not in images:
                yield Skip(mask, "has no image of the same name")
                continue
            try:
                colours = read_colours(mask)
            except BadFile as error:
                yield Skip(mask, error.reason)
                continue
            seen = [organ for organ in wanted if (colours == ORGANS[organ]).all(axis=2).any()]
            for organ in seen or wanted[:1]:  # one with an empty mask, to be counted as such
                yield Case(
                    images[mask.stem],
                    mask,
                    f"{part}_{mask.stem}_{organ}",
                    group=f"{part}_{mask.stem}",
                    draw=partial(coloured, colour=ORGANS[organ]),
                )


def hc18(root: Path) -> Found:
    """HC18: ``training_set/000_HC.png``, ``000_HC_Annotation.png``, also ``010_2HC.png``.

    The annotation is the outline of an ellipse, filled here. The number is the patient.
    """
    for mask in _pictures(_inside(root, "training_set")):
        if mask.stem.endswith("_Annotation"):
            stem = mask.stem.removesuffix("_Annotation")
            image = mask.with_name(stem + mask.suffix)
            yield _pair(image, mask, stem, group=stem.split("_")[0], draw=filled_outline)


def usgra(root: Path) -> Found:
    """USGRA: ``images/0000.png``, ``masks/0000.png``, palette indices 1 (nerve) and 2 (vessel).

    One case per connected object (pixels that touch at a corner are connected).
    """
    for pair in _same_names(root / "images", root / "masks"):
        if isinstance(pair, Skip):
            yield pair
            continue
        try:
            labels = read_labels(pair.mask)
        except BadFile as error:
            yield Skip(pair.mask, error.reason)
            continue
        if not labels.any():
            yield pair
        for label, kind in ((1, "nerve"), (2, "vessel")):
            for number in range(_objects(labels == label)[1]):
                yield Case(
                    pair.image,
                    pair.mask,
                    f"{pair.name}_{kind}_{number}",
                    group=pair.group,
                    label=label,
                    draw=partial(connected, number=number),
                )


def mmotu(root: Path) -> Found:
    """MMOTU: ``images/1.JPG``, ``annotations/1_binary.PNG`` (0 and 1) or ``1.PNG`` (colours)."""
    masks = {path.stem: path for path in _pictures(root / "annotations")}
    for image in _pictures(root / "images"):
        mask = masks.get(f"{image.stem}_binary") or masks.get(image.stem)
        if mask:
            yield _pair(image, mask, image.stem, group=image.stem)
        else:
            yield Skip(image, "has no mask")


def plain(root: Path, group_by: str = "group") -> Found:
    """A folder with ``manifest.csv``, such as ``prepare`` writes; or one of label maps."""
    yield from read_manifest(root, group_by)


def pairs(root: Path) -> Found:
    """Two folders, ``images`` and ``masks``: files of the same name but for their ending.

    Images may be DICOM files. Every value of a mask but 0 is the structure; the group is the image.
    """
    for folder in (root / "images", root / "masks"):
        if not folder.is_dir():
            raise BadFile(folder, "is missing: layout pairs takes images/ and masks/")
    yield from _same_names(root / "images", root / "masks")


LAYOUTS: dict[str, Callable[..., Found]] = {
    "busi": busi,
    "breast": breast,
    "ddti": ddti,
    "nerve": nerve,
    "abdominal": abdominal,
    "hc18": hc18,
    "usgra": usgra,
    "mmotu": mmotu,
    "plain": plain,
    "pairs": pairs,
}

#: What must be there, as glob patterns; first come, first served.
SIGNS: dict[str, tuple[str, ...]] = {
    "plain": ("manifest.csv",),
    "busi": ("benign/*_mask.png",),
    "abdominal": ("**/[RA]US/annotations",),
    "hc18": ("**/*HC_Annotation.png",),
    "mmotu": ("annotations/*_binary.PNG",),
    "breast": ("**/case*_tumor*.png",),
    "nerve": ("**/*_mask.tif",),
    "ddti": ("*.xml", "*_*.jpg"),
}


def detect(root: Path) -> str:
    """Name the layout of a folder; raises BadFile where that is not plain to see.

    Two folders of the same names, ``images`` and ``masks`` (or ``image`` and ``mask``), may be
    anything and are not guessed.
    """
    if not root.is_dir():
        raise BadFile(root, "must be a folder")
    for name, signs in SIGNS.items():
        if all(any(root.glob(sign)) for sign in signs):
            return name
    raise BadFile(
        root,
        f"is not a layout that its files tell; name one with --layout: {', '.join(LAYOUTS)}. "
        "Your own files: images/ and masks/ with equal file names (pairs), "
        "or a manifest.csv with the columns image and mask (plain)",
    )


def find(source: Path | str, layout: str = "auto", **options: object) -> Found:
    """List the cases of a data set; ``options`` are those of its layout's function."""
    source = Path(source)
    if layout == "auto":
        layout = detect(source)
    if layout not in LAYOUTS:
        raise ValueError(f"layout must be auto or one of {', '.join(LAYOUTS)}, got {layout!r}")
    if not source.is_dir():
        raise BadFile(source, "must be a folder")
    return LAYOUTS[layout](source, **options)


# ---- masks that are not stored as an image; all are ``Case.draw`` ------------------------------


def filled_outline(case: Case, shape: tuple[int, int]) -> Mask:
    """Fill a closed outline; of one that is open at the image's border, the ellipse that fits."""
    outline = read_labels(case.mask) != 0
    filled: Mask = ndimage.binary_fill_holes(outline)
    if not outline.any() or filled.sum() > 2 * outline.sum():
        return filled
    import cv2

    y, x = np.nonzero(outline)
    if len(x) < 5:
        raise BadFile(case.mask, f"must be an outline, got {len(x)} pixels")
    ellipse = cv2.fitEllipse(np.stack([x, y], 1).astype(np.float32))
    drawn: Mask = cv2.ellipse(outline.astype(np.uint8), ellipse, 1, thickness=-1) != 0
    return drawn


def coloured(case: Case, shape: tuple[int, int], colour: tuple[int, int, int]) -> Mask:
    """Take the pixels of exactly this colour."""
    mask: Mask = (read_colours(case.mask) == colour).all(axis=2)
    return mask


def connected(case: Case, shape: tuple[int, int], number: int) -> Mask:
    """Take one connected object of the case's label, counted from 0 as it begins from the top."""
    parts, _ = _objects(read_labels(case.mask) == case.label)
    mask: Mask = parts == number + 1
    return mask


def polygons(case: Case, shape: tuple[int, int], number: str) -> Mask:
    """Fill the polygons of image ``number`` in a DDTI file; without any the mask is empty."""
    try:
        marks = parse(case.mask).getroot().iter("mark")
    except (OSError, ParseError, ValueError) as error:
        raise BadFile(case.mask, f"cannot be read as XML ({error})") from error
    canvas = Image.new("1", (shape[1], shape[0]))
    for mark in marks:
        text = (mark.findtext("svg") or "").strip()
        if (mark.findtext("image") or "").strip() != number or not text:
            continue
        try:
            outlines = [
                [(float(point["x"]), float(point["y"])) for point in figure["points"]]
                for figure in json.loads(text)
            ]
        except (ValueError, KeyError, TypeError) as error:
            raise BadFile(case.mask, f"image {number} has a broken polygon ({error})") from error
        for outline in outlines:
            if len(outline) > 2:
                ImageDraw.Draw(canvas).polygon(outline, fill=1, outline=1)
    return np.asarray(canvas)


# ---- small helpers -------------------------------------------------------------------------------


def _pictures(folder: Path, endings: tuple[str, ...] = PICTURES) -> list[Path]:
    """Sort as people count: 2 before 10."""
    if not folder.is_dir():
        return []
    found = [p for p in folder.iterdir() if p.suffix.lower() in endings and p.name[0] != "."]
    return sorted(found, key=lambda p: [(not t.isdigit(), int(t) if t.isdigit() else 0, t)
                                        for t in re.split(r"(\d+)", p.name)])  # fmt: skip


def _inside(root: Path, name: str) -> Path:
    return root / name if (root / name).is_dir() else root


def _pair(
    image: Path,
    mask: Path,
    name: str,
    group: str,
    draw: Callable[[Case, tuple[int, int]], Mask] | None = None,
) -> Case | Skip:
    for path in (image, mask):
        if not path.is_file():
            return Skip(path, "is missing")
    return Case(image, mask, name, group, draw=draw)


def _same_names(images: Path, masks: Path) -> Found:
    """Pair the files of two folders by their stems."""
    by_stem = {path.stem: path for path in _pictures(masks)}
    for image in _pictures(images, (*PICTURES, ".dcm")):
        if image.stem in by_stem:
            yield Case(image, by_stem[image.stem], image.stem, group=image.stem)
        else:
            yield Skip(image, "has no mask of the same name")


def _objects(mask: Mask) -> tuple[np.ndarray, int]:
    """Number the connected objects from 1, and count them."""
    parts, count = ndimage.label(mask, np.ones((3, 3)))
    return parts, count


def _breast_table(folder: Path) -> dict[str, list[str]]:
    """Read which tumour masks the table gives an image; nothing without table or reader."""
    tables = [*sorted(folder.glob("*.xlsx")), *sorted(folder.parent.glob("BrEaST*.xlsx"))]
    if not tables:
        return {}
    try:
        import openpyxl
    except ImportError:
        return {}
    rows = openpyxl.load_workbook(tables[0], read_only=True).active.iter_rows(values_only=True)
    head = [str(cell) for cell in next(rows, ())]
    wanted = ("Image_filename", "Mask_tumor_filename")
    if not set(wanted) <= set(head):
        raise BadFile(tables[0], f"must have columns {wanted}, got {head}")
    image, masks = (head.index(column) for column in wanted)
    return {
        str(row[image]): [name.strip() for name in str(row[masks]).split("&")]
        for row in rows
        if row[image] and row[masks]
    }
