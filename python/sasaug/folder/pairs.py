"""One job: find images and their masks in folders, and read them.

Read with OpenCV, which comes with `pip install "sasaug[cli]"`. What cannot be used raises
`Unusable` with the file and the reason; what was used, but not quite as it was, leaves a note.
"""

from __future__ import annotations

import glob
import os
import re
import unicodedata
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "SUFFIXES",
    "Case",
    "Found",
    "Loaded",
    "Unusable",
    "cases_of",
    "decode",
    "decode_image",
    "find",
    "fingerprint",
    "read",
]

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


class Unusable(Exception):
    """A picture that cannot be used; the text names the file and the reason."""


@dataclass(frozen=True)
class Case:
    """One image with the masks that belong to it; paths are relative, with forward slashes."""

    name: str  # of the outputs, without copy index and suffix
    image: str
    masks: tuple[str, ...]
    key: str  # what sample ids are made of

    @property
    def joined_masks(self) -> str:
        """The masks as one text: no path on any system holds a vertical bar by accident."""
        return "|".join(self.masks)


@dataclass
class Found:
    """What a folder holds."""

    cases: list[Case] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # each names a file that is left out
    spare_masks: list[str] = field(default_factory=list)  # that belong to no image


@dataclass(frozen=True)
class Loaded:
    """A case as arrays."""

    image: NDArray[Any]  # uint8 or uint16 [h w] or [h w 3], RGB
    mask: NDArray[Any]  # uint8 or uint16 [h w]
    notes: tuple[tuple[str, str], ...]  # (what happened, file)


def find(images: Path, masks: Path, pattern: str, each_mask: bool) -> Found:
    """Find pictures below a folder, and their masks in the same sub-folder of another.

    Parameters
    ----------
    images, masks : Path
        Folders, searched recursively; they may be the same. Hidden files and linked folders are
        left out.
    pattern : str
        The mask's file name, with or without its suffix: "{stem}" stands for the image's name
        without suffix, * and ? are wild.
    each_mask : bool
        Several masks of one image make a case each; without it, one case together.

    Returns
    -------
    Found
        Cases in the order of their names.

    Raises
    ------
    ValueError
        The pattern cannot tell masks from images.
    OSError
        A folder cannot be listed.
    """
    if "{stem}" not in pattern or "/" in pattern or "\\" in pattern:
        raise ValueError(f"pattern must hold {{stem}} and name a file, no folder, got {pattern!r}")
    same = images.resolve() == masks.resolve()
    if same and pattern == "{stem}":
        raise ValueError(
            "images and masks are the same folder: pattern must tell them apart, as in "
            f'"{{stem}}_mask*", got {pattern!r}'
        )
    found = Found()
    mask_paths = _listing(masks, found)
    image_paths = mask_paths if same else _listing(images, found, leave_out=masks)
    folders: defaultdict[str, list[str]] = defaultdict(list)
    for path in mask_paths:
        folder, _, name = path.rpartition("/")
        folders[folder].append(name)

    belonging = {path: _masks_of(path, pattern, folders, same) for path in image_paths}
    used = {mask for matched in belonging.values() for mask in matched}
    for path, matched in belonging.items():
        if same and path in used:
            continue
        if not matched:
            found.problems.append(f"{path}: no mask matches {pattern!r}")
        found.cases.extend(cases_of(path, matched, each_mask))
    if not same:
        found.spare_masks = [path for path in mask_paths if path not in used]
    _leave_out_collisions(found)
    return found


def cases_of(image: str, masks: tuple[str, ...], each_mask: bool) -> list[Case]:
    """Return the cases that an image and its masks make: one, or one for each mask."""
    if not masks:
        return []
    if not each_mask:
        return [Case(_without_suffix(image), image, masks, _normal(image))]
    return [
        Case(_without_suffix(mask), image, (mask,), f"{_normal(image)}|{_normal(mask)}")
        for mask in masks
    ]


def read(root: Path, path: str) -> bytes:
    """Return a file's content; raises `Unusable`."""
    try:
        return (root / path).read_bytes()
    except OSError as error:
        raise Unusable(f"{path}: cannot be read ({error.strerror or error})") from error


def fingerprint(contents: Sequence[bytes]) -> str:
    """Return 16 hexadecimal digits that change when one of the contents does."""
    digest = blake2b(digest_size=8)
    for content in contents:
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.hexdigest()


def decode(case: Case, contents: Sequence[bytes]) -> Loaded:
    """Make arrays of the content of an image and its masks, in the case's order.

    Masks of one image are merged: the largest label wins.

    Raises
    ------
    Unusable
        A file that is no picture, or of a kind, depth or size that does not fit.
    """
    notes: list[tuple[str, str]] = []
    image, dropped = decode_image(case.image, contents[0])
    if dropped:
        notes.append(("alpha channel of an image dropped", case.image))
    merged: NDArray[Any] | None = None
    for path, content in zip(case.masks, contents[1:], strict=True):
        mask = _mask(path, content, notes)
        if mask.shape != image.shape[:2]:
            raise Unusable(
                f"{path}: a mask must have its image's size, {_size(image)}, got {_size(mask)}"
            )
        merged = mask if merged is None else np.maximum(merged, mask)
    assert merged is not None  # a case has a mask
    if not merged.any():
        notes.append(("mask is empty, which makes the sample a small one", case.masks[0]))
    return Loaded(image, merged, tuple(notes))


def decode_image(path: str, content: bytes) -> tuple[NDArray[Any], bool]:
    """Return a picture [h w] or [h w 3] in RGB order, and whether it had an alpha channel.

    Raises
    ------
    Unusable
        No complete picture of 8 or 16 bits.
    """
    picture = _picture(path, content)
    if picture.ndim == 2:
        return picture, False
    return np.ascontiguousarray(picture[..., 2::-1]), picture.shape[2] == 4


def _listing(root: Path, found: Found, leave_out: Path | None = None) -> list[str]:
    """Return the relative paths of all pictures below a folder, sorted."""

    def refuse(error: OSError) -> None:
        raise error

    skipped = leave_out.resolve() if leave_out is not None else None
    paths = []
    for folder, inner, names in os.walk(root, onerror=refuse):
        here = Path(folder)
        inner[:] = [d for d in inner if d[0] != "." and (here / d).resolve() != skipped]
        for name in names:
            if name[0] == "." or not name.lower().endswith(SUFFIXES):
                continue
            path = (here / name).relative_to(root).as_posix()
            try:
                path.encode()
            except UnicodeEncodeError:
                found.problems.append(f"{path!a}: its name is not valid UTF-8")
            else:
                paths.append(path)
    return sorted(paths)


def _masks_of(
    image: str, pattern: str, folders: dict[str, list[str]], same: bool
) -> tuple[str, ...]:
    """Return the paths of an image's masks, sorted."""
    folder, _, own = image.rpartition("/")
    names = folders.get(folder, [])
    stem = PurePosixPath(own).stem
    wanted = pattern.replace("{stem}", glob.escape(stem))
    # Names are sorted: those that share the literal head of the pattern are neighbours.
    head = re.split(r"[*?[]", pattern, maxsplit=1)[0].replace("{stem}", stem)
    matched = []
    for index in range(bisect_left(names, head), len(names)):
        name = names[index]
        if not name.startswith(head):
            break
        fits = fnmatchcase(name, wanted) or fnmatchcase(PurePosixPath(name).stem, wanted)
        if fits and not (same and name == own):
            matched.append(f"{folder}/{name}" if folder else name)
    return tuple(matched)


def _leave_out_collisions(found: Found) -> None:
    """Move cases that would be written to the same files to the problems."""
    named: defaultdict[str, list[Case]] = defaultdict(list)
    for case in found.cases:
        named[case.name].append(case)
    for name, cases in named.items():
        if len(cases) > 1:
            several = " and ".join(sorted({case.image for case in cases}))
            found.problems.append(f"{several}: would both be written as {name}_*.png; rename one")
    found.cases = sorted((c[0] for c in named.values() if len(c) == 1), key=lambda c: c.name)


def _without_suffix(path: str) -> str:
    return PurePosixPath(path).with_suffix("").as_posix()


def _normal(path: str) -> str:
    """Return one spelling of accented letters: file systems differ in theirs."""
    return unicodedata.normalize("NFC", path)


def _size(array: NDArray[Any]) -> str:
    return f"{array.shape[1]} x {array.shape[0]}"


def _picture(path: str, content: bytes) -> NDArray[Any]:
    """Return a picture as OpenCV has it: [h w], or [h w c] with channels BGR or BGRA."""
    data = np.frombuffer(content, np.uint8)
    try:
        pages = (
            list(cv2.imdecodemulti(data, cv2.IMREAD_UNCHANGED)[1])
            if _is_tiff(content)
            else [cv2.imdecode(data, cv2.IMREAD_UNCHANGED)]
        )
    except cv2.error:
        pages = []
    # Some versions of OpenCV fill the missing rest of a JPEG with grey, and say nothing.
    cut = content[:2] == b"\xff\xd8" and b"\xff\xd9" not in content[len(content) // 2 :]
    if not pages or pages[0] is None or cut:
        raise Unusable(f"{path}: is no complete PNG, JPEG, TIFF or BMP picture")
    if len(pages) > 1:
        raise Unusable(f"{path}: must hold one picture, got {len(pages)} pages")
    picture = np.asarray(pages[0])
    if picture.dtype not in (np.uint8, np.uint16):
        raise Unusable(f"{path}: must have unsigned 8 or 16 bits, got {picture.dtype}")
    return picture


def _is_tiff(content: bytes) -> bool:
    return content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _mask(path: str, content: bytes, notes: list[tuple[str, str]]) -> NDArray[Any]:
    """Return a mask [h w]."""
    picture = _picture(path, content)
    if picture.ndim == 3:
        colours = picture[..., :3]
        if (colours == colours[..., :1]).all():
            picture = np.ascontiguousarray(colours[..., 0])
        else:
            notes.append(("colour-coded mask: every colour but black counts as label 1", path))
            picture = np.asarray(colours.any(axis=2), np.uint8)
    if content[:2] == b"\xff\xd8" and len(np.unique(picture)) > 2:
        notes.append(("mask is a JPEG: what compression left of 0 counts as object", path))
    if _looks_like_outline(picture):
        notes.append(("mask looks like an outline, not a filled region: fill it first", path))
    return picture


def _looks_like_outline(mask: NDArray[Any]) -> bool:
    """Say whether the widest object of a mask is a thin curve around much more than itself."""
    inside = (mask != 0).astype(np.uint8)
    count, parts, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    if count < 2:
        return False
    extent = stats[1:, cv2.CC_STAT_WIDTH] * stats[1:, cv2.CC_STAT_HEIGHT]
    widest = 1 + int(np.argmax(extent))
    if extent.max() < 64:  # a few pixels have no shape
        return False
    part = (parts == widest).astype(np.uint8)
    corners = cv2.convexHull(cv2.findNonZero(part))
    hull = max(float(cv2.contourArea(corners)), 1.0)
    half_width = float(cv2.distanceTransform(np.pad(part, 1), cv2.DIST_L2, 3).max())
    return bool(part.sum() < 0.25 * hull and half_width < 0.04 * hull**0.5 + 1.0)
