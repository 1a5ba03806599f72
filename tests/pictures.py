"""One job: pictures, masks and folders for the tests of the command line."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

DATA = Path(os.environ.get("SASAUG_DATA", Path(__file__).parents[1] / "../shared/data"))
INCOMPLETE = "is not a complete PNG, JPEG, TIFF, BMP, WebP or GIF file"
EMPTY = "empty mask: the sample counts as small and is not transformed by default"
needs_data = pytest.mark.skipif(not (DATA / "originals").is_dir(), reason="needs SASAUG_DATA")


def write(path, array, *parameters):
    """Write a picture, RGB or grey, whatever its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.ascontiguousarray(array[..., ::-1]) if array.ndim == 3 else array
    path.write_bytes(cv2.imencode(path.suffix, array, list(parameters))[1])


def write_clip(path, frames):
    """Write frames [t h w] or [t h w 3] as the pages of a TIFF file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pages = [np.ascontiguousarray(f[..., ::-1]) if f.ndim == 3 else f for f in frames]
    path.write_bytes(cv2.imencodemulti(".tif", pages)[1])


def load_clip(path):
    pages = cv2.imdecodemulti(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)[1]
    return np.stack([page if page.ndim == 2 else page[..., ::-1] for page in pages])


def load(path):
    picture = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    return picture if picture.ndim == 2 else picture[..., ::-1]


def picture(seed, shape=(40, 48), dtype=np.uint8):
    high = np.iinfo(dtype).max + 1
    return np.random.default_rng(seed).integers(0, high, shape, dtype)


def disc(shape=(40, 48), radius=12, value=255, centre=(20, 24)):
    y, x = np.ogrid[: shape[0], : shape[1]]
    inside = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2
    return (inside * value).astype(np.uint8)


def tree(root):
    """Return the hash of every file below a folder."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
