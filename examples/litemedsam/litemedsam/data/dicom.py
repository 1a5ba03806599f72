"""One job: an ultrasound DICOM file as an 8-bit image and the window that holds the ultrasound.

The window is, of SequenceOfUltrasoundRegions (0018,6011), the largest region of tissue in two
dimensions: RegionSpatialFormat 1 (2D) and RegionDataType 1 (tissue). Real files need care:

* Regions are cut to the image, because export programs crop and shrink images and leave the
  regions as they were. One of which less than ``INSIDE`` remains is not believed.
* The standard calls the last corner a pixel of the region; some makers write the one after it
  (X1 = 800 for 800 columns). We take it as inside, then cut: at worst one row or column too many.
* Without a region to believe, the window is a guess: the bounding box of the largest connected
  patch that changes between frames, or, in a single frame, that is not black; labels and logos
  lie apart from it. If that is hardly anything, the whole image. ``Scan.source`` tells which.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

#: Share of a region that must lie inside the image.
INSIDE = 0.5
#: Grey levels of 255 by which a pixel must differ from black, or from another frame, to count.
CONTENT = 12
#: Share of the image that guessed content must fill.
LEAST_CONTENT = 0.05


class BadFile(ValueError):
    """A file that cannot be used, and why; also of ``cases`` and ``layouts``."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = Path(path), reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True)
class Scan:
    """One frame.

    Attributes
    ----------
    image : uint8 [h w], or [h w 3] in RGB where the channels differ
    window : (x, y, width, height) in pixels, inside the image
    source : {"region", "content", "whole"}
        Where the window is from; all but "region" are guesses.
    frame, frames : int
        Which frame this is, from 0, and of how many.
    patient : str
        PatientID, often empty.
    """

    image: NDArray[np.uint8]
    window: tuple[int, int, int, int]
    source: str
    frame: int = 0
    frames: int = 1
    patient: str = ""


def read(path: Path | str, frame: int | None = None) -> Scan:
    """Read one frame; by default the middle one.

    Raises
    ------
    BadFile
        No DICOM file, no image, or one that no installed package can decode.
    """
    scan = _open(path)
    frames = _frames(scan)
    if frame is None:
        frame = frames // 2
    if not 0 <= frame < frames:
        raise BadFile(path, f"frame must be in [0, {frames}), got {frame}")
    window, source = _window(scan, path)
    return Scan(_picture(scan, path, frame), window, source, frame, frames, _patient(scan))


def read_frames(path: Path | str) -> Iterator[Scan]:
    """Read every frame in turn; raises as :func:`read`."""
    scan = _open(path)
    window, source = _window(scan, path)
    frames = _frames(scan)
    for frame in range(frames):
        yield Scan(_picture(scan, path, frame), window, source, frame, frames, _patient(scan))


def convert(
    path: Path | str, folder: Path | str, every_frame: bool = False, grey: bool = True
) -> list[tuple[Path, Scan]]:
    """Write the middle frame, or every one, as 8-bit PNG: ``<name>.png`` or ``<name>_<frame>.png``.

    The whole image is written, not the window alone, so that masks drawn on either fit.
    """
    path, folder = Path(path), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for scan in read_frames(path) if every_frame else [read(path)]:
        name = f"{path.stem}_{scan.frame:04d}" if every_frame else path.stem
        target = folder / f"{name}.png"
        Image.fromarray(to_grey(scan.image) if grey else scan.image).save(target)
        written.append((target, scan))
    return written


def to_grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGB [h w 3] to luma [h w] (ITU-R 601); a grey image [h w] as it is."""
    return image if image.ndim == 2 else np.asarray(Image.fromarray(image).convert("L"))


def without_copies(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[h w 3] of three equal channels as [h w]; anything else as it is."""
    if image.ndim == 3 and (image == image[..., :1]).all():
        return np.ascontiguousarray(image[..., 0])
    return image


def largest_region(
    regions: Sequence[Sequence[int]], width: int, height: int
) -> tuple[int, int, int, int] | None:
    """The window (x, y, width, height) of the largest of (x0, y0, x1, y1), corners included.

    What counts is the part inside the image; None where no region keeps ``INSIDE`` of itself.
    """
    best, most = None, 0
    for x0, y0, x1, y1 in regions:
        left, top = max(x0, 0), max(y0, 0)
        w, h = min(x1 + 1, width) - left, min(y1 + 1, height) - top
        whole = (x1 + 1 - x0) * (y1 + 1 - y0)
        if w > 0 and h > 0 and w * h >= INSIDE * whole and w * h > most:
            best, most = (left, top, w, h), w * h
    return best


def _pydicom() -> Any:
    try:
        import pydicom.pixels
    except ImportError as error:
        raise ImportError(
            'DICOM files need pydicom >= 3: pip install "pydicom>=3" pylibjpeg pylibjpeg-libjpeg'
        ) from error
    return pydicom


def _open(path: Path | str) -> Any:
    pydicom = _pydicom()
    try:
        scan = pydicom.dcmread(path)
    except (OSError, EOFError, pydicom.errors.InvalidDicomError) as error:
        raise BadFile(path, f"must be a DICOM file ({error})") from error
    for name in ("Rows", "Columns", "PhotometricInterpretation", "BitsStored", "PixelData"):
        if name not in scan:
            raise BadFile(path, f"must hold an image, but has no {name}")
    return scan


def _frames(scan: Any) -> int:
    return int(scan.get("NumberOfFrames") or 1)


def _patient(scan: Any) -> str:
    return str(scan.get("PatientID") or "")


def _picture(scan: Any, path: Path | str, frame: int) -> NDArray[np.uint8]:
    """One frame, uint8 [h w] or [h w 3]."""
    pixels = _pydicom().pixels
    kind = scan.PhotometricInterpretation
    try:
        values = pixels.pixel_array(scan, index=frame)  # YBR becomes RGB here
        if kind == "PALETTE COLOR":
            values = pixels.apply_color_lut(values, scan)
    # pydicom and its plugins raise errors of a dozen types for pixels that they cannot decode
    except Exception as error:
        raise BadFile(
            path,
            f"frame {frame} cannot be decoded ({type(error).__name__}: {error}); for JPEG install "
            "pylibjpeg and pylibjpeg-libjpeg",
        ) from error
    bits = int(scan.BitsStored)
    if kind == "PALETTE COLOR":
        bits = 8 * values.dtype.itemsize  # of the palette's entries, not of the indices
    if values.dtype.kind != "u" or bits < 8:
        raise BadFile(path, f"must have unsigned pixels of 8 or more bits, got {values.dtype}")
    # the full range, not this frame's own: frames of one file keep their brightness
    picture = np.minimum(values >> (bits - 8), 255).astype(np.uint8)
    return without_copies(255 - picture if kind == "MONOCHROME1" else picture)


def _window(scan: Any, path: Path | str) -> tuple[tuple[int, int, int, int], str]:
    height, width = int(scan.Rows), int(scan.Columns)
    corners = (
        "RegionLocationMinX0", "RegionLocationMinY0", "RegionLocationMaxX1", "RegionLocationMaxY1",
    )  # fmt: skip
    regions = [
        tuple(int(region[corner].value) for corner in corners)
        for region in scan.get("SequenceOfUltrasoundRegions") or []
        if region.get("RegionSpatialFormat") == 1 and region.get("RegionDataType") == 1
        and all(corner in region for corner in corners)
    ]  # fmt: skip
    window = largest_region(regions, width, height)
    if window:
        return window, "region"
    window = _content(scan, path)
    return (window, "content") if window else ((0, 0, width, height), "whole")


def _content(scan: Any, path: Path | str) -> tuple[int, int, int, int] | None:
    """The box around the largest patch that changes, or is not black; None if there is none."""
    frames = _frames(scan)
    darkest = brightest = to_grey(_picture(scan, path, 0))
    for frame in range(1, frames):
        grey = to_grey(_picture(scan, path, frame))
        darkest, brightest = np.minimum(darkest, grey), np.maximum(brightest, grey)
    content = brightest >= CONTENT if frames == 1 else brightest - darkest >= CONTENT
    # speckle leaves holes and islands: join what is less than some pixels apart
    content = ndimage.binary_closing(np.pad(content, 4), iterations=3)[4:-4, 4:-4]
    patches, count = ndimage.label(content)
    if not count:
        return None
    largest = 1 + int(np.argmax(np.bincount(patches.ravel())[1:]))
    rows, columns = ndimage.find_objects(patches)[largest - 1]
    w, h = columns.stop - columns.start, rows.stop - rows.start
    if w * h < LEAST_CONTENT * content.size:
        return None
    return columns.start, rows.start, w, h
