"""One job: a prepared folder holds what the data set holds, in small, or is not there at all."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sasaug
from litemedsam.data import prepare as module
from litemedsam.data.cases import Case, Skip, read_case, read_manifest
from litemedsam.data.dicom import BadFile
from litemedsam.data.prepare import COLUMNS, prepare, shrink


def made_up(root: Path, shape: tuple[int, int] = (300, 600), colour: bool = False) -> Path:
    """A data set of one image with two masks and one of neither."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    Image.fromarray(image if colour else image[..., 0]).save(root / "images" / "a.png")
    mask = np.zeros(shape, np.uint8)
    mask[20:120, 40:240] = 7
    Image.fromarray(mask).save(root / "masks" / "a_0.png")
    mask[:] = 0
    mask[200:210, 300:340] = 1
    Image.fromarray(mask).save(root / "masks" / "a_1.png")
    (root / "manifest.csv").write_text(
        "image,mask,group\nimages/a.png,masks/a_0.png,p1\nimages/a.png,masks/a_1.png,p1\n"
        "images/b.png,masks/b.png,p2\n"
    )
    return root


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_prepared_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "deep" / "out"
    report = prepare(made_up(tmp_path / "in"), "plain", out)
    assert (report.taken, len(report.empty), len(report.bad)) == (2, 0, 1)
    assert "2 taken, 0 empty, 1 bad" in capsys.readouterr().out
    first, second = rows(out)
    assert tuple(first) == COLUMNS
    assert first == {
        "image": "images/a.png", "mask": "masks/a_0.png", "group": "p1", "label": "",
        "orig_h": "300", "orig_w": "600", "h": "128", "w": "256",
        "area_frac_orig": f"{100 * 200 / 180000:.6f}", "small": "0", "note": "",
    }  # fmt: skip
    assert (second["image"], second["small"]) == ("images/a.png", "1")  # one picture for both
    assert sorted(p.name for p in out.rglob("*.png")) == ["a.png", "a_0.png", "a_1.png"]
    for case in read_manifest(out):
        image, mask = read_case(case)
        assert image.shape == mask.shape == (128, 256)
        assert set(np.unique(np.asarray(Image.open(case.mask)))) == {0, 255}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["deep", "in"]
    assert [p.name for p in out.parent.iterdir()] == ["out"]


def test_the_resample_is_that_of_sasaug(tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(made_up(tmp_path / "in"), "plain", out)
    wanted, wanted_mask = sasaug.thumbnail(
        np.asarray(Image.open(tmp_path / "in" / "images" / "a.png")),
        np.asarray(Image.open(tmp_path / "in" / "masks" / "a_0.png")),
        size=256,
        canvas=(128, 256),
    )
    image, mask = read_case(read_manifest(out)[0])
    assert np.array_equal(image, wanted) and np.array_equal(mask, wanted_mask != 0)


@pytest.mark.parametrize(
    "shape, wanted",
    [((300, 600), (128, 256)), ((600, 301), (256, 128)), ((40, 60), (171, 256)),
     ((256, 256), (256, 256)), ((1, 500), (1, 256)), ((3, 3), (256, 256))],
)  # fmt: skip
def test_sizes_round_half_up(shape: tuple[int, int], wanted: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    small, mask = shrink(image, np.ones(shape, bool), (0, 0, shape[1], shape[0]))
    assert small.shape == (*wanted, 3) and mask.shape == wanted and mask.dtype == bool
    if shape == wanted:
        assert np.array_equal(small, image)


def test_the_window_is_cut_out(tmp_path: Path) -> None:
    root = made_up(tmp_path / "in")
    cases = [
        Case(c.image, c.mask, c.name, c.group, window=(30, 100, 320, 200))
        for c in read_manifest(root)[:2]
    ]
    prepare(cases, "", tmp_path / "out")
    first, second = rows(tmp_path / "out")
    assert (first["orig_h"], first["orig_w"], first["h"], first["w"]) == (
        "200",
        "320",
        "160",
        "256",
    )
    assert float(first["area_frac_orig"]) == pytest.approx(20 * 200 / (200 * 320))
    assert first["note"] == ("window 30 100 320 200; the window cuts 16000 pixels off the mask")
    assert second["note"] == "window 30 100 320 200"
    _, mask = read_case(read_manifest(tmp_path / "out")[0])
    assert mask[:16, 8:168].all() and mask.sum() == 16 * 160  # 0.8 times as large


def test_colour_is_kept_on_demand(tmp_path: Path) -> None:
    root = made_up(tmp_path / "in", colour=True)
    prepare(root, "plain", tmp_path / "grey")
    prepare(root, "plain", tmp_path / "colour", grey=False)
    for folder, mode in (("grey", "L"), ("colour", "RGB")):
        with Image.open(tmp_path / folder / "images" / "a.png") as picture:
            assert picture.mode == mode


def test_what_vanishes_is_reported(tmp_path: Path) -> None:
    root = made_up(tmp_path / "in")
    mask = np.zeros((300, 600), np.uint8)
    mask[0, 0] = 1
    Image.fromarray(mask).save(root / "masks" / "a_1.png")
    report = prepare(root, "plain", tmp_path / "out")
    assert report.taken == 1 and len(rows(tmp_path / "out")) == 1
    assert any("a_1.png" in str(b.path) and "no pixel left" in b.reason for b in report.bad)


def test_names_do_not_collide(tmp_path: Path) -> None:
    first, second = (read_manifest(made_up(tmp_path / k))[0] for k in "12")
    prepare([first, second], "", tmp_path / "out")
    assert [row["image"] for row in rows(tmp_path / "out")] == ["images/a.png", "images/a_2.png"]
    assert len(read_manifest(tmp_path / "out")) == 2


def test_an_existing_folder_is_not_touched(tmp_path: Path) -> None:
    root = made_up(tmp_path / "in")
    (tmp_path / "out").mkdir()
    prepare(root, "plain", tmp_path / "out")  # an empty one is filled
    before = (tmp_path / "out" / "manifest.csv").read_bytes()
    with pytest.raises(FileExistsError, match="new or empty folder"):
        prepare(root, "plain", tmp_path / "out")
    assert (tmp_path / "out" / "manifest.csv").read_bytes() == before


def test_an_interrupted_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = made_up(tmp_path / "in")
    calls = []

    def interrupted(*arguments: Any) -> object:
        calls.append(arguments)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return shrink(*arguments)

    monkeypatch.setattr(module, "shrink", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(root, "plain", tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_nothing_to_take_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no case can be used: 0 taken, 0 empty, 1 bad"):
        prepare([Skip(tmp_path / "a.png", "is missing")], "", tmp_path / "out")
    with pytest.raises(BadFile, match="must be a folder"):
        prepare(tmp_path / "nowhere", "auto", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_prepared_again_it_keeps_its_areas(tmp_path: Path) -> None:
    prepare(made_up(tmp_path / "in"), "plain", tmp_path / "once")
    prepare(tmp_path / "once", "auto", tmp_path / "twice", side=64)
    for once, twice in zip(rows(tmp_path / "once"), rows(tmp_path / "twice"), strict=True):
        assert once["area_frac_orig"] == twice["area_frac_orig"]
        assert once["small"] == twice["small"] and twice["w"] == "64"


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = made_up(tmp_path / "in"), tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["prepare", str(root), str(out), "--side", "32"])
    module.main()
    assert rows(out)[0]["w"] == "32"
    with pytest.raises(SystemExit, match="new or empty folder"):
        module.main()


def test_dicom_images_are_cut_to_their_region(real_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    mask = np.zeros((600, 800), np.uint8)
    mask[100:200, 400:500] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    case = Case(real_data / "dicom" / "OBXXXX1A.dcm", tmp_path / "m.png", "scan", "p")
    prepare([case], "", tmp_path / "out")
    (row,) = rows(tmp_path / "out")
    assert (row["orig_h"], row["orig_w"], row["h"], row["w"]) == ("459", "680", "173", "256")
    assert row["note"] == "window 120 60 680 459"


@pytest.mark.parametrize(
    "folder, layout, compact",
    [("Dataset_BUSI_with_GT", "auto", "busi"), ("hc18", "auto", "hc18"),
     ("OTU_2d", "auto", "otu2d"), ("usgra", "usgra", "usgra")],
)  # fmt: skip
def test_real_sets_become_their_compact_copies(
    real_data: Path, tmp_path: Path, folder: str, layout: str, compact: str
) -> None:
    """Which other code made: one grey level, and a few pixels of a mask's edge, may differ."""
    prepare(real_data / "originals" / folder, layout, tmp_path / "out")
    known = {case.name: case for case in read_manifest(real_data / compact)}
    for case in read_manifest(tmp_path / "out"):
        other = known[case.name]
        assert (case.area, case.small) == (other.area, other.small)
        image, mask = read_case(case)
        other_image, other_mask = read_case(other)
        assert np.abs(image.astype(int) - other_image).max() <= 1, case.name
        assert (mask != other_mask).sum() <= 4, case.name
