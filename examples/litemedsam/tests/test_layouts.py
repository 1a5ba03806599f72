"""One job: every published layout, made up in a few pixels and real where there is data."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from litemedsam.data import cases, layouts
from litemedsam.data.cases import (
    Case,
    Report,
    read_all,
    read_case,
    read_image,
    read_manifest,
)  # fmt: skip
from litemedsam.data.dicom import BadFile

SHAPE = (40, 60)


def save(path: Path, values: np.ndarray | None = None, palette: bool = False) -> Path:
    """A picture of these values, by default a grey one with content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if values is None:
        values = np.arange(SHAPE[0] * SHAPE[1], dtype=np.uint8).reshape(SHAPE)
    picture = Image.fromarray(values)
    if palette:
        picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    picture.save(path)
    return path


def box(y: int, x: int, h: int, w: int, value: int = 255) -> np.ndarray:
    mask = np.zeros(SHAPE, np.uint8)
    mask[y : y + h, x : x + w] = value
    return mask


def colours(*parts: tuple[np.ndarray, tuple[int, int, int]]) -> np.ndarray:
    picture = np.full((*SHAPE, 3), 10, np.uint8)
    for mask, colour in parts:
        picture[mask != 0] = colour
    return picture


def rgba(mask: np.ndarray, in_alpha: bool) -> np.ndarray:
    picture = np.full((*SHAPE, 4), 255, np.uint8)
    picture[..., 3 if in_alpha else slice(0, 3)] = mask if in_alpha else mask[..., None]
    return picture


def taken(
    root: Path, layout: str = "auto", **options: object
) -> tuple[dict[str, tuple[Case, np.ndarray]], Report]:
    """What a layout gives: name -> (case, mask), and the report."""
    report = Report()
    found = {}
    for case, image, mask, _ in read_all(layouts.find(root, layout, **options), report):
        assert mask.dtype == bool and image.dtype == np.uint8 and image.shape[:2] == mask.shape
        assert case.name not in found
        found[case.name] = case, mask
    assert report.taken == len(found)
    return found, report


def reasons(report: Report) -> str:
    return " | ".join(f"{skip.path.name}: {skip.reason}" for skip in report.bad)


# ---- layouts -------------------------------------------------------------------------------------


def test_busi_has_a_case_per_mask_file(tmp_path: Path) -> None:
    benign = tmp_path / "benign"
    save(benign / "benign (2).png", colours())
    save(benign / "benign (2)_mask.png", box(5, 5, 4, 6) != 0)  # 1 bit
    save(benign / "benign (2)_mask_1.png", rgba(box(20, 5, 2, 2), in_alpha=False))
    save(benign / "benign (2)_mask_2.png", box(30, 5, 2, 3))
    save(benign / "benign (10).png")
    (benign / "benign (10)_mask.png").write_bytes(b"\x89PNG no more")
    save(tmp_path / "normal" / "normal (1).png")
    save(tmp_path / "normal" / "normal (1)_mask.png", np.zeros((*SHAPE, 3), np.uint8))
    save(tmp_path / "malignant" / "malignant (1)_mask.png", box(0, 0, 1, 1))

    found, report = taken(tmp_path)
    stem = "benign (2)_mask"
    assert {name: mask.sum() for name, (_, mask) in found.items()} == {
        stem: 24, f"{stem}_1": 4, f"{stem}_2": 6,
    }  # fmt: skip
    assert {case.group for case, _ in found.values()} == {"benign (2)"}
    assert [path.name for path in report.empty] == ["normal (1)_mask.png"]
    assert "benign (10)_mask.png: must be a complete image" in reasons(report)
    assert "malignant (1).png: is missing" in reasons(report)
    assert str(report).startswith("3 taken, 1 empty, 2 bad\n  bad: ")


def test_busi_keeps_twins_together(tmp_path: Path) -> None:
    for stem in ("benign (433)", "malignant (145)"):
        folder = tmp_path / stem.split()[0]
        save(folder / f"{stem}.png")
        save(folder / f"{stem}_mask.png", box(1, 1, 5, 5))
    found, _ = taken(tmp_path, "busi")
    assert len(found) == 2
    assert {case.group for case, _ in found.values()} == {"benign (433)"}


@pytest.mark.parametrize("in_alpha", [True, False])
def test_breast_reads_alpha_and_grey(tmp_path: Path, in_alpha: bool) -> None:
    folder = tmp_path / "BrEaST-Lesions_USG-images_and_masks"
    save(folder / "case001.png")
    save(folder / "case001_tumor.png", rgba(box(3, 3, 5, 5), in_alpha))
    save(folder / "case001_other1.png", rgba(box(9, 9, 5, 5), in_alpha))
    save(folder / "case002.png")
    found, report = taken(tmp_path)
    assert list(found) == ["case001_tumor"]
    assert found["case001_tumor"][1].sum() == 25
    assert found["case001_tumor"][0].group == "case001"
    assert reasons(report) == "case002.png: has no tumour mask"


def test_breast_believes_its_table(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    save(tmp_path / "case001.png")
    save(tmp_path / "case001_first.png", box(3, 3, 5, 5))
    save(tmp_path / "case001_second.png", box(3, 3, 1, 2))
    book = openpyxl.Workbook()
    book.active.append(["CaseID", "Image_filename", "Mask_tumor_filename", "Mask_other_filename"])
    book.active.append([1, "case001.png", "case001_first.png& case001_second.png", None])
    book.save(tmp_path / "BrEaST-Lesions-USG-clinical-data-Dec-15-2023.xlsx")
    found, _ = taken(tmp_path, "breast")
    assert {name: mask.sum() for name, (_, mask) in found.items()} == {
        "case001_first": 25,
        "case001_second": 2,
    }


def svg(*corners: tuple[int, int]) -> str:
    points = ", ".join(f'{{"x": {x}, "y": {y}}}' for x, y in corners)
    return f'{{"points": [{points}], "annotation": null}}'


def test_ddti_fills_polygons(tmp_path: Path) -> None:
    square = svg((10, 5), (19, 5), (19, 14), (10, 14))
    other = svg((30, 20), (34, 20), (34, 24), (30, 24))
    (tmp_path / "1.xml").write_text(
        "<case><number>1</number>"
        f"<mark><image>1</image><svg>[{square}, {other}]</svg></mark>"
        f"<mark><image>2</image><svg>[{other}]</svg></mark>"
        "<mark><image>3</image><svg></svg></mark>"
        '<mark><image>4</image><svg>[{"points": [{"x"</svg></mark></case>'
    )
    (tmp_path / "2.xml").write_text("<case><mark></case>")
    for stem in ("1_1", "1_2", "1_3", "1_4", "2_1", "3_1"):
        save(tmp_path / f"{stem}.jpg")
    save(tmp_path / "cover.jpg")
    found, report = taken(tmp_path)
    assert {name: mask.sum() for name, (_, mask) in found.items()} == {"1_1": 125, "1_2": 25}
    assert found["1_1"][1][5:15, 10:20].all()  # corners belong to the structure
    assert {case.group for case, _ in found.values()} == {"1"}
    assert len(report.empty) == 1
    assert "1.xml: image 4 has a broken polygon" in reasons(report)
    assert "2.xml: cannot be read as XML" in reasons(report)
    assert "3.xml: cannot be read as XML" in reasons(report)
    assert "cover.jpg: is not named" in reasons(report)


def test_ddti_as_repacked(tmp_path: Path) -> None:
    save(tmp_path / "image" / "1.PNG")
    save(tmp_path / "mask" / "1.PNG", box(2, 2, 3, 3))
    save(tmp_path / "image" / "2.PNG")
    found, report = taken(tmp_path, "ddti")
    assert found["1"][1].sum() == 9
    assert "2.PNG: has no mask of the same name" in reasons(report)


def test_nerve_groups_by_subject_and_drops_empty(tmp_path: Path) -> None:
    for stem, side in {"1_1": 4, "1_2": 0, "12_1": 3}.items():
        save(tmp_path / "train" / f"{stem}.tif")
        save(tmp_path / "train" / f"{stem}_mask.tif", box(1, 1, side, side))
    found, report = taken(tmp_path)
    assert {name: case.group for name, (case, _) in found.items()} == {"1_1": "1", "12_1": "12"}
    assert [path.name for path in report.empty] == ["1_2_mask.tif"]


def test_abdominal_has_a_case_per_organ(tmp_path: Path) -> None:
    root = tmp_path / "abdominal_US" / "abdominal_US" / "RUS"
    for part, stem in (("train", "a"), ("train", "b"), ("test", "a"), ("test", "unannotated")):
        save(root / "images" / part / f"{stem}.jpg", colours())
    organs = layouts.ORGANS
    save(
        root / "annotations" / "train" / "a.png",
        colours((box(1, 1, 4, 4), organs["kidney"]), (box(20, 20, 3, 3), organs["liver"])),
    )
    save(root / "annotations" / "train" / "b.png", colours((box(1, 1, 4, 4), organs["liver"])))
    save(
        root / "annotations" / "test" / "a.png",
        colours((box(1, 1, 5, 4), organs["kidney"]), (box(9, 9, 2, 2), organs["vessels"])),
    )
    save(root / "annotations" / "test" / "lost.png", colours())
    (root / "annotations" / "test" / "torn.png").write_bytes(b"")
    save(root / "images" / "test" / "torn.jpg", colours())

    found, report = taken(tmp_path)
    assert {name: mask.sum() for name, (_, mask) in found.items()} == {
        "train_a_kidney": 16, "test_a_kidney": 20, "test_a_vessels": 4,
    }  # fmt: skip
    assert found["train_a_kidney"][0].group != found["test_a_kidney"][0].group
    assert len(report.empty) == 1
    assert "lost.png: has no image" in reasons(report)
    assert "torn.png: " in reasons(report)
    found, _ = taken(tmp_path, "abdominal", organs=["liver"])
    assert list(found) == ["train_a_liver", "train_b_liver"]
    with pytest.raises(ValueError, match="organs must be of"):
        taken(tmp_path, "abdominal", organs=["nose"])
    with pytest.raises(BadFile, match="holds no folder AUS"):
        taken(tmp_path, "abdominal", scans="AUS")


@pytest.mark.parametrize("shift, ratio", [(0, 0.99), (-16, 0.95)])
def test_hc18_fills_outlines(tmp_path: Path, shift: int, ratio: float) -> None:
    """Also one that the picture's border cuts open."""
    outline, filled = (Image.new("L", (200, 100)) for _ in range(2))
    where = (30, 20 + shift, 150, 80 + shift)
    ImageDraw.Draw(outline).ellipse(where, outline=255, width=2)
    ImageDraw.Draw(filled).ellipse(where, fill=255)
    cut = np.asarray(outline).copy()
    if shift:
        cut[:6] = 0
    save(tmp_path / "training_set" / "010_2HC.png", np.asarray(filled))
    save(tmp_path / "training_set" / "010_2HC_Annotation.png", cut)
    found, _ = taken(tmp_path)
    case, mask = found["010_2HC"]
    assert case.group == "010"
    wanted = np.asarray(filled) != 0
    assert (mask & wanted).sum() / (mask | wanted).sum() > ratio


def test_hc18_tells_a_dot_from_an_outline(tmp_path: Path) -> None:
    save(tmp_path / "1_HC.png")
    save(tmp_path / "1_HC_Annotation.png", box(3, 3, 1, 2))
    _, report = taken(tmp_path)
    assert "must be an outline, got 2 pixels" in reasons(report)


def test_usgra_has_a_case_per_object_and_class(tmp_path: Path) -> None:
    labels = box(2, 2, 3, 3, 1) + box(5, 5, 2, 2, 1)  # they touch at a corner
    labels += box(20, 20, 4, 4, 1) + box(24, 20, 5, 5, 2)
    for number, values in enumerate([labels, labels * 0]):
        save(tmp_path / "images" / f"000{number}.png")
        save(tmp_path / "masks" / f"000{number}.png", values, palette=True)
    save(tmp_path / "images" / "0002.png")
    (tmp_path / "masks" / "0002.png").write_bytes(b"no picture")
    found, report = taken(tmp_path, "usgra")
    assert {name: mask.sum() for name, (_, mask) in found.items()} == {
        "0000_nerve_0": 13, "0000_nerve_1": 16, "0000_vessel_0": 25,
    }  # fmt: skip
    assert {case.group for case, _ in found.values()} == {"0000"}
    assert [path.name for path in report.empty] == ["0001.png"]
    assert "0002.png" in reasons(report)


def test_pairs_takes_files_of_equal_names(tmp_path: Path, real_data: Path) -> None:
    save(tmp_path / "images" / "b.jpg")
    save(tmp_path / "masks" / "b.png", box(2, 2, 9, 9))
    save(tmp_path / "images" / "c.png")
    dicom = real_data / "dicom" / "examples_palette.dcm"
    shutil.copy(dicom, tmp_path / "images" / "a.dcm")
    height, width = read_image(dicom).shape[:2]
    mask = np.zeros((height, width), np.uint8)
    mask[height // 3 : height // 2, width // 3 : width // 2] = 7
    save(tmp_path / "masks" / "a.png", mask)
    found, report = taken(tmp_path, "pairs")
    assert {name: case.group for name, (case, _) in found.items()} == {"a": "a", "b": "b"}
    assert (found["a"][1] == (mask == 7)).all() and found["b"][1].sum() == 81
    assert reasons(report) == "c.png: has no mask of the same name"


def test_mmotu_takes_binary_before_colours(tmp_path: Path) -> None:
    for stem in "123":
        save(tmp_path / "images" / f"{stem}.JPG")
    save(tmp_path / "annotations" / "1_binary.PNG", box(2, 2, 5, 5, 1))
    black = np.zeros((*SHAPE, 3), np.uint8)
    save(tmp_path / "annotations" / "1.PNG", black)
    black[2:4, 2:4] = (64, 0, 128)
    save(tmp_path / "annotations" / "2.PNG", black)
    found, report = taken(tmp_path)
    assert {name: mask.sum() for name, (_, mask) in found.items()} == {"1": 25, "2": 4}
    assert "3.JPG: has no mask" in reasons(report)


def test_plain_reads_every_column(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png")
    save(tmp_path / "masks" / "a_0.png", box(2, 2, 5, 5))
    save(tmp_path / "masks" / "b.png", box(2, 2, 5, 5, 3) + box(20, 20, 2, 2, 4))
    (tmp_path / "manifest.csv").write_text(
        "image,mask,group,label,window,orig_h,orig_w,h,w,area_frac_orig,small,note\n"
        "images/a.png,masks/a_0.png,p7,,,400,600,40,60,0.0104,1,\n"
        'images/a.png,masks/b.png,,4,10 5 30 30,400,600,40,60,0.5,0,"odd, but fine"\n'
    )
    found, _ = taken(tmp_path)
    first, second = (case for case, _ in found.values())
    assert (first.name, first.group, first.label, first.area, first.small) == (
        "a_0", "p7", None, 0.0104, True,
    )  # fmt: skip
    assert (second.name, second.group, second.label, second.small) == ("b_4", "a", 4, False)
    assert (second.window, second.note) == ((10, 5, 30, 30), "odd, but fine")
    assert found["b_4"][1].sum() == 4
    assert {case.group for case in read_manifest(tmp_path, group_by="image")} == {"a"}


def test_plain_has_a_case_per_labelled_object(tmp_path: Path) -> None:
    save(tmp_path / "images" / "k.png")
    save(
        tmp_path / "labels" / "k.png", (box(2, 2, 5, 5, 1) + box(20, 20, 2, 2, 9)).astype(np.uint16)
    )
    (tmp_path / "manifest.csv").write_text("key,orig_h,orig_w,objects\nk,40,60,2\n")
    found, _ = taken(tmp_path)
    assert {name: (case.label, mask.sum()) for name, (case, mask) in found.items()} == {
        "k_1": (1, 25), "k_9": (9, 4),
    }  # fmt: skip


@pytest.mark.parametrize(
    "text, message",
    [
        (None, "is missing: a data folder holds"),
        ("a,b\n1,2\n", "columns image and mask"),
        ("image,mask\n", "must have a row"),
        ("image,mask,area_frac_orig\nx.png,y.png,much\n", "could not convert"),
        ("image,mask,window\nx.png,y.png,1 2 3\n", "window must be four numbers"),
        ("image,mask\nx.png,y.png\nz.png,y.png\n", "gives two cases the same name"),
    ],
)
def test_bad_manifests_are_named(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(BadFile, match=message) as caught:
        read_manifest(tmp_path)
    assert "manifest.csv" in str(caught.value)


# ---- telling layouts apart -----------------------------------------------------------------------


def test_what_cannot_be_told_is_not_guessed(tmp_path: Path) -> None:
    save(tmp_path / "images" / "1.png")
    save(tmp_path / "masks" / "1.png")
    with pytest.raises(BadFile, match="name one"):
        layouts.detect(tmp_path)
    with pytest.raises(BadFile, match="must be a folder"):
        layouts.detect(tmp_path / "nowhere")
    with pytest.raises(BadFile, match="must be a folder"):
        list(layouts.find(tmp_path / "nowhere", "busi"))
    with pytest.raises(ValueError, match="layout must be auto or one of"):
        layouts.find(tmp_path, "dicom")


# ---- real data -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "folder, layout, counts",
    [
        ("Dataset_BUSI_with_GT", "auto", (19, 2, 0)),
        ("hc18", "auto", (5, 0, 0)),
        ("OTU_2d", "auto", (3, 0, 0)),
        ("usgra", "usgra", (12, 0, 0)),
    ],
)
def test_real_originals(
    real_data: Path, folder: str, layout: str, counts: tuple[int, int, int]
) -> None:
    """As many cases, of the same areas, as the compact copies that were made by other code."""
    found, report = taken(real_data / "originals" / folder, layout)
    assert (report.taken, len(report.empty), len(report.bad)) == counts
    compact = {"Dataset_BUSI_with_GT": "busi", "OTU_2d": "otu2d"}.get(folder, folder)
    known = {case.name: case for case in read_manifest(real_data / compact)}
    for name, (_, mask) in found.items():
        assert mask.mean() == pytest.approx(known[name].area, abs=1e-6), name
        assert (mask.mean() <= cases.SMALL) == known[name].small


@pytest.mark.parametrize(
    "folder, count, groups",
    [("busi", 665, 2), ("usgra", 616, 2), ("hc18", 999, 806), ("otu2d", 1469, 1469),
     ("dsb2018", 28_982, 664)],
)  # fmt: skip
def test_real_compact_copies(real_data: Path, folder: str, count: int, groups: int) -> None:
    listed = read_manifest(real_data / folder)
    assert (len(listed), len({case.group for case in listed})) == (count, groups)
    for case in listed[:: count // 5]:
        image, mask = read_case(case)
        assert max(image.shape) == 256 and mask.any()
