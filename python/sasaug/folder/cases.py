"""One job: one image with its masks: named, read, decoded and merged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .job import Job, Unusable
from .masks import decode_mask
from .reading import decode_image, header

__all__ = ["Case", "Loaded", "decode", "fingerprint", "read"]

DIM = 8  # 16-bit images whose greatest value is below 1 / DIM of full scale are noted
DIM_NOTE = (
    "16-bit image below an eighth of full scale: noise is relative to 65535; --value-range 0 N "
    "makes it relative to N, such as 4095 for 12-bit data"
)
EMPTY_NOTE = "empty mask: the sample counts as small and is not transformed by default"
FULL_NOTE = "mask covers the whole image"


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


@dataclass(frozen=True)
class Loaded:
    """A case as arrays, upright."""

    image: NDArray[Any]  # uint8 or uint16 [h w] or [h w 3], RGB; of a clip [t h w] or [t h w 3]
    mask: NDArray[Any]  # uint8 or uint16 [h w]; of a clip [t h w]
    notes: tuple[tuple[str, str], ...]  # (what was decided, file)
    orientations: tuple[int, ...]  # EXIF, 1..8, of the image and of each mask as stored


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


def decode(case: Case, contents: Sequence[bytes], job: Job) -> Loaded:
    """Decode an image and its masks, in the case's order.

    Masks of one image are merged: the largest label wins.

    Parameters
    ----------
    case : Case
    contents : sequence of bytes
        The image file, then each mask file.
    job : Job
        Its `mask_threshold`; its value range, without which dim 16-bit images are noted; and
        whether files are clips.

    Raises
    ------
    Unusable
        A file is damaged, or its format, depth or size does not fit.
    """
    notes: list[tuple[str, str]] = []
    frames = job.augment.frames
    about = header(case.image, contents[0], frames)
    image = decode_image(case.image, contents[0], about, frames)
    if image.ndim == 3 + frames and image.shape[-1] == 4:
        notes.append(("alpha channel of an image dropped", case.image))
        image = np.ascontiguousarray(image[..., :3])
    is_dim = image.dtype == np.uint16 and 0 < image.max() < 2**16 // DIM
    if is_dim and job.augment.value_range is None:
        notes.append((DIM_NOTE, f"{case.image} (greatest value {image.max():,})"))
    orientations = [about.orientation]
    merged: NDArray[Any] | None = None
    for path, content in zip(case.masks, contents[1:], strict=True):
        mask, orientation = decode_mask(path, content, job.mask_threshold, notes, frames)
        orientations.append(orientation)
        if frames and len(mask) != len(image):
            raise Unusable(
                f"{path}: a mask must have as many pages as its image, {len(image)}, "
                f"got {len(mask)}"
            )
        if mask.shape != image.shape[: mask.ndim]:
            size = image.shape[mask.ndim - 2 : mask.ndim]
            raise Unusable(_other_size(path, mask.shape[-2:], size, about.orientation))
        merged = mask if merged is None else np.maximum(merged, mask)
    assert merged is not None  # a case has a mask
    for place, (path, orientation) in enumerate(
        zip((case.image, *case.masks), orientations, strict=True)
    ):
        if orientation != 1:
            what = "mask" if place else "image"
            notes.append((f"{what} turned upright from EXIF orientation {orientation}", path))
    if not merged.any():
        notes.append((EMPTY_NOTE, case.masks[0]))
    elif merged.all():
        notes.append((FULL_NOTE, case.masks[0]))
    return Loaded(image, merged, tuple(notes), tuple(orientations))


def _other_size(path: str, mask: tuple[int, ...], image: tuple[int, ...], orientation: int) -> str:
    """Say that a mask (h, w) does not fit its image (h, w), and why that may be."""
    text = f"{path}: a mask must have its image's size, {_size(image)}, got {_size(mask)}"
    if orientation > 4 and mask == image[::-1]:
        text += (
            f"; the image has EXIF orientation {orientation} and the mask was drawn on it as "
            "stored: give the mask the same orientation"
        )
    return text


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]}"
