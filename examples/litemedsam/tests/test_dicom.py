"""One job: DICOM files become 8-bit pictures with a window that lies inside them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from litemedsam.data import dicom
from litemedsam.data.cases import Case, read_case, read_image, read_with_window

pydicom = pytest.importorskip("pydicom")


def write(path: Path, pixels: np.ndarray, kind: str = "MONOCHROME2", **attributes: Any) -> Path:
    """A DICOM file of [h w], [frames h w] or [h w 3]; the attributes replace what is written."""
    colour = pixels.shape[-1] == 3
    scan = pydicom.Dataset()
    scan.file_meta = pydicom.dataset.FileMetaDataset()
    scan.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    scan.SOPClassUID = scan.SOPInstanceUID = pydicom.uid.generate_uid()
    scan.PatientID = "made up"
    scan.Rows, scan.Columns = pixels.shape[:2] if colour else pixels.shape[-2:]
    scan.SamplesPerPixel = 3 if colour else 1
    if colour:
        scan.PlanarConfiguration = 0
    if pixels.ndim == 3 and not colour:
        scan.NumberOfFrames = len(pixels)
    scan.PhotometricInterpretation = kind
    scan.BitsAllocated = scan.BitsStored = 8 * pixels.dtype.itemsize
    scan.HighBit = scan.BitsStored - 1
    scan.PixelRepresentation = 0
    scan.PixelData = pixels.tobytes()
    for name, value in attributes.items():
        if value is None:
            delattr(scan, name)
        else:
            setattr(scan, name, value)
    scan.save_as(path, enforce_file_format=True)
    return path


def region(x0: int, y0: int, x1: int, y1: int, spatial: int = 1, kind: int = 1) -> Any:
    item = pydicom.Dataset()
    item.RegionSpatialFormat, item.RegionDataType = spatial, kind
    item.RegionLocationMinX0, item.RegionLocationMinY0 = x0, y0
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = x1, y1
    return item


def is_inside(scan: dicom.Scan) -> bool:
    x, y, w, h = scan.window
    height, width = scan.image.shape[:2]
    return 0 <= x < x + w <= width and 0 <= y < y + h <= height


GREY = np.arange(40 * 60, dtype=np.uint16).reshape(40, 60)


# ---- windows -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "regions, window",
    [
        ([(10, 5, 19, 14)], (10, 5, 10, 10)),  # the last corner is inside
        ([(10, 5, 60, 40)], (10, 5, 50, 35)),  # or one further, as some makers write
        ([(0, 0, 9, 9), (20, 0, 39, 19)], (20, 0, 20, 20)),  # the largest
        ([(0, 0, 9, 9), (20, 0, 29, 9)], (0, 0, 10, 10)),  # the first of two alike
        ([(30, 20, 299, 199), (0, 0, 9, 9)], (0, 0, 10, 10)),  # most of the larger is outside
        ([(-10, -5, 19, 14)], (0, 0, 20, 15)),
        ([(30, 20, 299, 199)], None),
        ([(70, 50, 80, 60)], None),
        ([(20, 20, 10, 10)], None),
        ([], None),
    ],
)
def test_largest_region(regions: list[Any], window: Any) -> None:
    assert dicom.largest_region(regions, width=60, height=40) == window


def test_only_regions_of_two_dimensional_tissue_count(tmp_path: Path) -> None:
    regions = [region(0, 0, 59, 39, 4, 10), region(0, 0, 59, 39, 0, 1), region(0, 0, 59, 39, 1, 2)]
    without_corner = region(0, 0, 59, 39)
    del without_corner.RegionLocationMaxX1
    wanted = region(5, 6, 24, 25)
    path = write(
        tmp_path / "a.dcm",
        GREY.astype(np.uint8),
        SequenceOfUltrasoundRegions=[*regions, without_corner, wanted],
    )
    scan = dicom.read(path)
    assert (scan.window, scan.source, scan.patient) == ((5, 6, 20, 20), "region", "made up")


def test_without_region_the_largest_patch_counts(tmp_path: Path) -> None:
    pixels = np.zeros((60, 80), np.uint8)
    pixels[20:50, 10:60] = 100
    pixels[2:6, 2:70] = 200  # a line of text
    pixels[30, 30:33] = 0  # a hole of speckle
    scan = dicom.read(write(tmp_path / "a.dcm", pixels))
    assert (scan.window, scan.source) == ((10, 20, 50, 30), "content")


def test_without_region_what_changes_counts(tmp_path: Path) -> None:
    frames = np.full((3, 60, 80), 90, np.uint8)  # a grey console
    frames[:, 20:50, 10:60] = np.array([0, 40, 80], np.uint8)[:, None, None]
    scan = dicom.read(write(tmp_path / "a.dcm", frames))
    assert (scan.window, scan.source) == ((10, 20, 50, 30), "content")
    assert (scan.frame, scan.frames) == (1, 3)


@pytest.mark.parametrize("value", [0, 5])
def test_without_content_the_window_is_everything(tmp_path: Path, value: int) -> None:
    scan = dicom.read(write(tmp_path / "a.dcm", np.full((20, 30), value, np.uint8)))
    assert (scan.window, scan.source) == ((0, 0, 30, 20), "whole")


def test_a_speck_is_no_content(tmp_path: Path) -> None:
    pixels = np.zeros((60, 80), np.uint8)
    pixels[20:24, 20:24] = 200
    assert dicom.read(write(tmp_path / "a.dcm", pixels)).source == "whole"


# ---- pixels --------------------------------------------------------------------------------------


def test_deep_pixels_are_scaled_by_their_range(tmp_path: Path) -> None:
    twelve = dicom.read(write(tmp_path / "a.dcm", GREY, BitsStored=12, HighBit=11))
    assert np.array_equal(twelve.image, (GREY >> 4).astype(np.uint8))
    sixteen = dicom.read(write(tmp_path / "b.dcm", GREY * 16))
    assert np.array_equal(sixteen.image, (GREY * 16 >> 8).astype(np.uint8))


def test_monochrome1_is_turned_round(tmp_path: Path) -> None:
    grey = (GREY % 256).astype(np.uint8)
    assert np.array_equal(
        dicom.read(write(tmp_path / "a.dcm", grey, "MONOCHROME1")).image, 255 - grey
    )


def test_palettes_are_looked_up(tmp_path: Path) -> None:
    entries = (np.arange(256, dtype=np.uint16)[::-1] * 256).tobytes()
    palette = {}
    for colour in ("Red", "Green", "Blue"):
        palette[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        palette[f"{colour}PaletteColorLookupTableData"] = entries
    grey = (GREY % 256).astype(np.uint8)
    scan = dicom.read(write(tmp_path / "a.dcm", grey, "PALETTE COLOR", **palette))
    assert np.array_equal(scan.image, 255 - grey)


def test_ybr_becomes_rgb(tmp_path: Path) -> None:
    pixels = np.full((20, 30, 3), (76, 85, 255), np.uint8)  # red
    scan = dicom.read(write(tmp_path / "a.dcm", pixels, "YBR_FULL"))
    assert np.abs(scan.image.astype(int) - (254, 0, 0)).max() <= 2


def test_every_frame_keeps_its_place(tmp_path: Path) -> None:
    frames = np.arange(5, dtype=np.uint8)[:, None, None] * np.full((20, 30), 50, np.uint8)
    path = write(tmp_path / "a.dcm", frames)
    assert [scan.image[0, 0] for scan in dicom.read_frames(path)] == [0, 50, 100, 150, 200]
    assert dicom.read(path).image[0, 0] == 100
    assert dicom.read(path, frame=4).image[0, 0] == 200
    with pytest.raises(dicom.BadFile, match=r"frame must be in \[0, 5\), got 5"):
        dicom.read(path, frame=5)
    written = dicom.convert(path, tmp_path / "out", every_frame=True)
    assert [target.name for target, _ in written] == [f"a_{k:04d}.png" for k in range(5)]
    assert np.asarray(Image.open(written[3][0]))[0, 0] == 150


# ---- what cannot be read -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "attributes, message",
    [
        ({"PixelData": None}, "has no PixelData"),
        ({"PixelData": b"\0" * 10}, "cannot be decoded"),
        ({"PixelRepresentation": 1}, "unsigned pixels"),
        ({"Rows": None}, "has no Rows"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, attributes: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "a.dcm", (GREY % 256).astype(np.uint8), **attributes)
    with pytest.raises(dicom.BadFile, match=message) as caught:
        dicom.read(path)
    assert "a.dcm" in str(caught.value)
    with pytest.raises(dicom.BadFile, match=message):
        read_image(path)


@pytest.mark.parametrize("content", [b"", b"no DICOM", None])
def test_other_files_are_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.dcm"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(dicom.BadFile, match=r"a\.dcm: must be a DICOM file"):
        dicom.read(path)


def test_without_pydicom_the_error_tells_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "pydicom"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ImportError, match=r"pip install .*pydicom"):
        dicom.read(tmp_path / "a.dcm")


# ---- as a case's image ---------------------------------------------------------------------------


def test_a_guessed_window_does_not_cut_the_mask(tmp_path: Path) -> None:
    pixels = np.zeros((60, 80), np.uint8)
    pixels[20:50, 10:60] = 100
    image = write(tmp_path / "a.dcm", pixels)
    mask = np.zeros((60, 80), np.uint8)
    mask[25:30, 20:30] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    case = Case(image, tmp_path / "m.png", "a", "a")
    assert read_with_window(case)[2] == (10, 20, 50, 30)
    mask[55] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    assert read_with_window(case)[2] == (0, 0, 80, 60)
    assert read_case(case)[1].sum() == 130


# ---- real files ----------------------------------------------------------------------------------

REAL = {
    "OBXXXX1A.dcm": ((600, 800, 3), (120, 60, 680, 459), "region"),
    "OBXXXX1A_rle.dcm": ((600, 800, 3), (120, 60, 680, 459), "region"),
    "examples_palette.dcm": ((350, 800, 3), (120, 60, 680, 290), "region"),
    "gdcm-US-ALOKA-16.dcm": ((480, 640, 3), (32, 24, 304, 392), "region"),
    "JPGLosslessP14SV1_1s_1f_8b.dcm": ((768, 1024), (14, 38, 997, 721), "region"),
    "examples_ybr_color.dcm": ((240, 320, 3), (87, 25, 159, 177), "content"),
    "examples_rgb_color.dcm": ((240, 320, 3), (0, 12, 317, 157), "content"),
    "US1_UNCR.dcm": ((480, 640, 3), (0, 88, 632, 250), "content"),
}


@pytest.mark.parametrize("name", REAL)
def test_real_files(real_data: Path, tmp_path: Path, name: str) -> None:
    if name.startswith(("JPG", "examples_ybr")):
        pytest.importorskip("libjpeg", reason="JPEG needs pylibjpeg-libjpeg")
    ((target, scan),) = dicom.convert(real_data / "dicom" / name, tmp_path)
    assert (scan.image.shape, scan.window, scan.source) == REAL[name]
    assert is_inside(scan) and scan.image.std() > 5
    assert np.array_equal(np.asarray(Image.open(target)), dicom.to_grey(scan.image))


def test_real_files_are_all_known(real_data: Path) -> None:
    """Whatever else lies there gives a clear error."""
    for path in (real_data / "dicom").iterdir():
        if path.name not in REAL:
            with pytest.raises(dicom.BadFile, match="must be a DICOM file"):
                dicom.read(path)


def test_real_frames_share_their_window(real_data: Path) -> None:
    pytest.importorskip("libjpeg", reason="JPEG needs pylibjpeg-libjpeg")
    scans = list(dicom.read_frames(real_data / "dicom" / "examples_ybr_color.dcm"))
    assert len(scans) == 30 and len({scan.window for scan in scans}) == 1
    assert (scans[0].image != scans[29].image).any()
