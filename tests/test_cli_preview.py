"""Claims about the command `preview`."""

from __future__ import annotations

import numpy as np
import pytest

import sasaug

pytest.importorskip("cv2", reason="needs the extra `cli`")
pytest.importorskip("typer", reason="needs the extra `cli`")
pytest.importorskip("PIL", reason="needs the extra `cli`")

from typer.testing import CliRunner

from pictures import INCOMPLETE, disc, load, picture, write
from sasaug.cli import app


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "300"})


@pytest.fixture
def data(tmp_path):
    for index in range(4):
        write(tmp_path / f"images/x{index}.png", picture(index))
        write(tmp_path / f"masks/x{index}.png", disc())


def sides(path, tile=256):
    """Return how many columns and rows of tiles a sheet has."""
    height, width, _ = load(path).shape
    return (width - tile // 4) // tile, height // (tile + 40)


def test_preview_shows_every_kind_strength_and_scale(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("preview").exit_code == 0
    kinds = len(sasaug.PRESETS["default"])
    assert sides(tmp_path / "sasaug_preview.png") == (4, 3 * kinds)
    options = ["--kind", "speckle", "--strength", 0.1, "--strength", 0.3, "--scale", 0.5]
    assert run("preview", *options, "--out", "few.png").exit_code == 0
    assert sides(tmp_path / "few.png") == (2, 2)
    assert run("preview", "--noise", "none", "--out", "none.png").exit_code == 0
    assert sides(tmp_path / "none.png") == (4, 1)


def test_preview_shows_what_sas_gives(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "images/big.png", picture(5, (256, 256)))
    write(tmp_path / "masks/big.png", disc((256, 256), 80, 255, (128, 128)))
    folders = ["--images", tmp_path / "images", "--masks", tmp_path / "masks"]
    options = ["--case", "big", "--kind", "gaussian", "--strength", 0.2, "--scale", 0.5]
    assert run("preview", *folders, *options, "--seed", 3).exit_code == 0
    aug = sasaug.SAS(noise={"gaussian": (0.2, 0.2)}, thumbnail=(0.5, 0.5), p=1.0, apply_to="all")
    x, _ = aug(picture(5, (256, 256)), disc((256, 256), 80, 255, (128, 128)), seed=3)
    sheet = load(tmp_path / "sasaug_preview.png")[..., 0]
    inner = x[110:146, 110:146]  # within the outline
    places = np.lib.stride_tricks.sliding_window_view(sheet, inner.shape)
    assert (places == inner).all((2, 3)).sum() == 1


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--case", "nobody"], "images and masks must be given together, and case only with them"),
        (
            ["--images", "images"],
            "images and masks must be given together, and case only with them",
        ),
        (["--images", "images", "--masks", "masks", "--case", "y"], "case must be one of 4 images"),
        (["--images", "nowhere", "--masks", "masks"], "images must be a folder, got nowhere"),
        (["--images", "images", "--masks", "broken"], f"x0.png: {INCOMPLETE}"),
        (["--kind", "loud"], "strength must be given for loud, which has no range in noise"),
        (["--kind", "loud", "--strength", 1], "noise must name kinds of"),
        (
            ["--images", "images", "--masks", "none"],
            "images must hold an image with a",
        ),
        (["--scale", 2], "thumbnail must be"),
        (["--strength", -1], "noise['gaussian']"),
        (
            ["--images", "images", "--masks", "masks", "--labels", 1],
            "labels must be in the mask of x0, which holds 0, 255, got [1]",
        ),
        (
            ["--labels", 9],
            "labels must be in the mask of simulated ultrasound, which holds 0, 1, got [9]",
        ),
    ],
)
def test_refused_previews_have_status_2(data, tmp_path, monkeypatch, options, text):
    monkeypatch.chdir(tmp_path)
    for index in range(4):
        (tmp_path / "broken").mkdir(exist_ok=True)
        (tmp_path / "none").mkdir(exist_ok=True)
        (tmp_path / f"broken/x{index}.png").write_bytes(b"no picture")
    result = run("preview", *options)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ") and text in result.stderr
    assert not (tmp_path / "sasaug_preview.png").exists()


def test_preview_says_what_it_decided_of_a_file(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = ["--images", "images", "--masks", "masks", "--noise", "none", "--scale", 1]
    assert run("preview", *folders, "--labels", 255).stderr == ""
    write(tmp_path / "masks/x0.png", np.full((40, 48), 7, np.uint8))
    assert run("preview", *folders).stderr == "note: mask covers the whole image: x0.png\n"


def test_preview_keeps_a_file_named_by_out(tmp_path):
    mine = tmp_path / "mine.png"
    mine.write_bytes(b"mine")
    result = run("preview", "--kind", "speckle", "--out", mine)
    assert result.exit_code == 2 and f"{mine} exists; --force overwrites it" in result.stderr
    assert mine.read_bytes() == b"mine"
    assert run("preview", "--kind", "speckle", "--out", mine, "--force").exit_code == 0
    assert mine.read_bytes() != b"mine"


def test_preview_reads_layouts_and_thresholds_as_augment_does(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "data/c/image.png", picture(0))
    write(tmp_path / "data/c/mask.png", disc(value=90))
    layout = [
        "--images",
        "data",
        "--masks",
        "data",
        "--image-pattern",
        "image",
        "--pattern",
        "mask",
    ]
    result = run("preview", *layout, "--kind", "speckle", "--case", "c/image")
    assert result.exit_code == 0, result.output
    first = load(tmp_path / "sasaug_preview.png")
    assert run("preview", *layout, "--kind", "speckle", "--mask-threshold", 91).exit_code == 0
    assert not np.array_equal(load(tmp_path / "sasaug_preview.png"), first)


def test_preview_takes_a_value_range(data, tmp_path, monkeypatch):
    """The canvas around a thumbnail is black: the range's lower end."""
    monkeypatch.chdir(tmp_path)
    folders = ["--images", tmp_path / "images", "--masks", tmp_path / "masks"]
    options = ["--noise", "none", "--scale", 0.5, "--value-range", 70, 200]
    assert run("preview", *folders, *options).exit_code == 0
    sheet = load(tmp_path / "sasaug_preview.png")
    assert (sheet == 70).all(axis=2).sum() > 256 * 256 // 3
