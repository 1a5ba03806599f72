"""One job: cases are read whole or refused, and split by patient."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from litemedsam.data import cases
from litemedsam.data.cases import Case, read_case, read_manifest, split
from litemedsam.data.dicom import BadFile
from test_layouts import SHAPE, box, colours, save

# ---- reading -------------------------------------------------------------------------------------


def test_a_mask_of_another_size_is_bad(tmp_path: Path) -> None:
    image = save(tmp_path / "a.png")
    mask = save(tmp_path / "m.png", np.ones((10, 20), np.uint8))
    with pytest.raises(BadFile, match=r"m\.png: .* 60 x 40, got 20 x 10"):
        read_case(Case(image, mask, "a", "a"))


def test_a_window_outside_is_bad(tmp_path: Path) -> None:
    image = save(tmp_path / "a.png")
    with pytest.raises(BadFile, match=r"window .* must lie inside 60 x 40"):
        read_case(Case(image, image, "a", "a", window=(0, 0, 61, 40)))


def test_half_a_picture_is_bad(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    path = save(tmp_path / "a.png", noise)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(BadFile, match=r"a\.png: must be a complete image"):
        cases.read_image(path)


def test_deep_pictures_keep_their_upper_bits(tmp_path: Path) -> None:
    deep = np.array([[0, 255, 256, 65535]], np.uint16)
    assert cases.read_image(save(tmp_path / "a.png", deep)).tolist() == [[0, 0, 1, 255]]
    with pytest.raises(BadFile, match="mode F"):
        cases.read_image(save(tmp_path / "a.tif", deep.astype(np.float32)))


def test_colour_is_kept_where_there_is_some(tmp_path: Path) -> None:
    grey = cases.read_image(save(tmp_path / "a.png", np.full((*SHAPE, 3), 7, np.uint8)))
    colour = cases.read_image(save(tmp_path / "b.png", colours((box(1, 1, 2, 2), (200, 0, 0)))))
    assert grey.shape == SHAPE
    assert colour.shape == (*SHAPE, 3) and colour[1, 1].tolist() == [200, 0, 0]


# ---- splits --------------------------------------------------------------------------------------


def patients(sizes: list[int]) -> list[Case]:
    return [
        Case(Path("a"), Path("b"), f"{patient}_{k}", group=f"p{patient}")
        for patient, size in enumerate(sizes)
        for k in range(size)
    ]


@pytest.mark.parametrize("seed", range(20))
def test_no_patient_is_in_two_parts(seed: int) -> None:
    sizes = np.random.default_rng(seed).integers(1, 9, 60).tolist()
    all_cases = patients(sizes)
    parts = split(all_cases, (0.7, 0.2, 0.1), seed)
    groups = [{case.group for case in part} for part in parts]
    assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])
    assert Counter(c.name for part in parts for c in part) == Counter(c.name for c in all_cases)
    for part, fraction in zip(parts, (0.7, 0.2, 0.1), strict=True):
        assert abs(len(part) - fraction * len(all_cases)) <= 8  # one patient more or less


def test_splits_depend_on_the_seed_and_the_names_alone() -> None:
    all_cases = patients([2] * 30)
    first = split(all_cases, (0.5, 0.5), 1)
    again = split(all_cases[::-1], (0.5, 0.5), 1)
    assert {c.name for c in first[0]} == {c.name for c in again[0]}
    assert {c.name for c in first[0]} != {c.name for c in split(all_cases, (0.5, 0.5), 2)[0]}
    # as it was when this was written: a split that moves lets test cases into training
    few = split(patients([1] * 8), (0.5, 0.5), 0)
    assert [c.group for c in few[0]] == ["p1", "p3", "p4", "p5"]


def test_splits_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="add up to 1"):
        split(patients([1, 1]), (0.5, 0.4), 0)
    with pytest.raises(
        ValueError, match=r"class rather than a patient\? Split by image instead: --group-by image"
    ):
        split(patients([60, 40]), (0.8, 0.2), 0)
    with pytest.raises(ValueError, match="no part empty"):
        split(patients([1, 1, 1]), (0.98, 0.01, 0.01), 0)


def test_real_patients_stay_together(real_data: Path) -> None:
    parts = split(read_manifest(real_data / "hc18"), (0.8, 0.1, 0.1), seed=0)
    groups = [{case.group for case in part} for part in parts]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 806
    assert [len(part) for part in parts] == [799, 100, 100]


@pytest.mark.parametrize("folder", ["busi", "usgra"])
def test_real_classes_are_no_patients(real_data: Path, folder: str) -> None:
    with pytest.raises(ValueError, match="a class rather than a patient"):
        split(read_manifest(real_data / folder), (0.8, 0.2), seed=0)
    parts = split(read_manifest(real_data / folder, group_by="image"), (0.8, 0.2), seed=0)
    images = [{case.image for case in part} for part in parts]
    assert not images[0] & images[1]
