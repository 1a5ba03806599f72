"""One job: decide which pixels of a mask file are which label.

Grey values and palette indices are labels, 0 is background. Where compression or smoothing has
blurred two levels, a threshold parts them again; where a file leaves open which of its pixels are
background, it is refused. Everything that is decided here leaves a note.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .job import Unusable
from .reading import Header, decode_image, decode_palette, header

__all__ = ["OBJECT", "decode_mask", "fullest", "is_soft", "looks_like_outline"]

Notes = list[tuple[str, str]]  # (what was decided, file)
VOID = 255  # the index that Pascal VOC and others give to pixels that are not to be judged
VOID_NOTE = "palette mask holds 255, often meant as void: it counts as object unless --labels says"
OBJECT = 255  # the label of masks that a threshold made
MARGIN = 8  # levels within an eighth of an end are not in the middle
LEAST_TOP = 8  # soft edges need room for levels between 0 and the maximum
TINT = 16  # levels between channels that lossy compression adds to grey
FLAT = 0.05  # of the object: a lossy mask with larger flat regions in the middle has labels
RAMP = 0.8  # of the pixels in the middle: those of a soft edge are on a slope


def decode_mask(
    path: str, content: bytes, threshold: int | None, notes: Notes, frames: bool = False
) -> tuple[NDArray[Any], int]:
    """Return a mask [h w] of uint8 or uint16 labels, upright, and its EXIF orientation.

    With `frames`, the mask [t h w] of a clip: its frames are read by one rule, as if they stood
    below one another in one image.

    Parameters
    ----------
    path : str
        Names the file in notes and errors.
    content : bytes
        The file.
    threshold : int, optional
        Least grey value that counts as object; 0: grey values are labels. None: half of the
        maximum for masks with lossy compression or soft edges, 0 for others.
    notes : list
        What was decided is appended.

    Raises
    ------
    Unusable
        The file cannot be read, or leaves open which pixels are the object.
    """
    about = header(path, content, frames)
    colours = None
    if about.mode == "P":
        pixels, colours = decode_palette(path, content, frames)
    else:
        pixels = decode_image(path, content, about, frames)
    shape = pixels.shape[: 2 + frames]
    if frames:
        pixels = pixels.reshape(-1, *pixels.shape[2:])
    labels = _labels(path, pixels, colours, about, threshold, notes).reshape(shape)
    frame = labels[fullest(labels)] if frames else labels
    if looks_like_outline(frame):
        notes.append(("mask looks like an outline, not a filled region: fill it first", path))
    return labels, about.orientation


def fullest(masks: NDArray[Any]) -> int:
    """Return the place of the first frame with the largest object, in masks [t h w]."""
    return int(np.count_nonzero(masks, axis=(1, 2)).argmax())


def _labels(
    path: str,
    pixels: NDArray[Any],
    colours: NDArray[Any] | None,
    about: Header,
    threshold: int | None,
    notes: Notes,
) -> NDArray[Any]:
    """Return the labels [h w] of pixels, which are indices where there are colours."""
    if colours is not None:
        indices = pixels
        greys = _greys(indices, colours, about.format == "GIF")
        if greys is None:
            _check_palette(path, indices, colours)
            notes.append(("palette mask: its indices are the labels", path))
            if (indices == VOID).any():
                notes.append((VOID_NOTE, path))
            return indices
        pixels = greys
    is_lossy = about.is_lossy
    pixels = _opaque(path, pixels, about, notes)
    if pixels.ndim == 3:
        if (pixels == pixels[..., :1]).all():
            grey = np.ascontiguousarray(pixels[..., 0])
        elif is_lossy:
            grey = np.asarray(pixels.max(axis=2))
            if (grey - pixels.min(axis=2) > TINT).any():
                notes.append(("colour-coded mask: all colours but black count as one label", path))
        else:
            notes.append(("colour-coded mask: every colour but black counts as label 1", path))
            return np.asarray(pixels.any(axis=2), np.uint8)
    else:
        grey = pixels
    return _parted(path, grey, threshold, is_lossy, notes)


def is_soft(grey: NDArray[Any]) -> bool:
    """Say whether the values of a mask between 0 and its maximum are edges of one object.

    On a soft edge nearly every pixel has a smaller and a greater neighbour; within a region of a
    label map, and on a thin line, none has both.
    """
    top = int(grey.max(initial=0))
    if top < LEAST_TOP:
        return False
    middle = _middle(grey, top)
    if len(np.unique(grey[middle])) < 2:
        return False
    low, high = _surroundings(grey)
    ramp = np.count_nonzero(middle & (low < grey) & (grey < high))
    return bool(ramp >= RAMP * np.count_nonzero(middle))


def looks_like_outline(mask: NDArray[Any]) -> bool:
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


def _greys(indices: NDArray[Any], colours: NDArray[Any], is_gif: bool) -> NDArray[Any] | None:
    """Return the grey values of a mask that has a palette without need; None for others.

    GIF has no other way to be grey, and nobody draws the labels of a label map as a soft edge.
    """
    shown = colours[np.unique(indices)]
    if (shown[:, :3] != shown[:, :1]).any() or (shown[:, 3] != 255).any():
        return None
    greys = np.asarray(colours[indices, 0])
    return greys if is_gif or np.array_equal(greys, indices) or is_soft(greys) else None


def _check_palette(path: str, indices: NDArray[Any], colours: NDArray[Any]) -> None:
    """Refuse a palette whose colours say that an index other than 0 is the background."""
    used = np.unique(indices).tolist()
    hidden = [index for index in used if colours[index, 3] == 0]
    black = [index for index in used if not colours[index, :3].any()]
    for what, several in (("transparent", hidden), ("black", [] if hidden else black)):
        if several and several[0] != 0:
            raise Unusable(
                f"{path}: index 0 of a palette must be the background, but {what} is index "
                f"{several[0]}; save the mask as grey labels"
            )
        if what == "transparent" and len(several) > 1:
            raise Unusable(
                f"{path}: index 0 of a palette must be the background, but indices "
                f"{', '.join(map(str, several))} are transparent; save the mask as grey labels"
            )


def _opaque(path: str, pixels: NDArray[Any], about: Header, notes: Notes) -> NDArray[Any]:
    """Return a mask without transparency: its colours, or its alpha channel if that is the mask."""
    if pixels.ndim == 2 and about.transparent is not None:
        alpha = np.where(pixels == about.transparent, 0, 255).astype(pixels.dtype)
        colours = pixels[..., None]
    elif pixels.ndim == 3 and pixels.shape[2] == 4:
        colours, alpha = pixels[..., :3], pixels[..., 3]
    else:
        return pixels
    visible = pixels if pixels.ndim == 2 else np.ascontiguousarray(colours)
    if alpha.min() == alpha.max():
        return visible
    if (colours == colours[:1, :1]).all():
        if alpha.all():
            raise Unusable(f"{path}: has one colour and no fully transparent pixel")
        notes.append(("mask taken from the transparency of its file", path))
        return np.ascontiguousarray(alpha)
    if colours[alpha == 0].any():
        raise Unusable(
            f"{path}: its colours and its transparency disagree on the background: transparent "
            "pixels are not black; save the mask without transparency"
        )
    return visible


def _parted(
    path: str, grey: NDArray[Any], threshold: int | None, is_lossy: bool, notes: Notes
) -> NDArray[Any]:
    """Part a grey mask in object and background, if it is no label map."""
    top = int(grey.max(initial=0))
    if threshold == 0 or top == 0:
        return grey
    if threshold is not None:
        what = f"mask threshold: values from {threshold} on count as object"
    elif is_lossy:
        _refuse_levels(path, grey, top)
        threshold = (top + 1) // 2
        what = "mask with lossy compression: values from half its maximum on count as object"
    elif is_soft(grey):
        threshold = (top + 1) // 2
        what = "mask with soft edges: values from half its maximum on count as object"
    else:
        return grey
    inside = grey >= threshold
    count = f"{np.count_nonzero(inside):,} of {np.count_nonzero(grey):,} non-zero pixels"
    notes.append((what, f"{path} ({count})"))
    return np.where(inside, OBJECT, 0).astype(np.uint8)


def _refuse_levels(path: str, grey: NDArray[Any], top: int) -> None:
    """Refuse a mask of several labels that lossy compression has mixed."""
    low, high = _surroundings(grey)
    flat = _middle(grey, top) & (high - low < max(1, top // 32))
    if np.count_nonzero(flat) > FLAT * np.count_nonzero(2 * grey.astype(int) >= top):
        raise Unusable(
            f"{path}: has regions of value {int(np.median(grey[flat]))} between 0 and {top}, and "
            "lossy compression has mixed its labels; save it as PNG, or give --mask-threshold"
        )


def _middle(grey: NDArray[Any], top: int) -> NDArray[Any]:
    """Return where values are far from 0 and from the maximum."""
    margin = -(-top // MARGIN)
    return (grey >= margin) & (grey <= top - margin)


def _surroundings(grey: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the least and the greatest value of each pixel's 3 x 3 neighbourhood."""
    box = np.ones((3, 3), np.uint8)
    return np.asarray(cv2.erode(grey, box)), np.asarray(cv2.dilate(grey, box))
