"""Claims about settings from a file, from the command line, and from both."""

from __future__ import annotations

import json

import pytest

import sasaug

pytest.importorskip("cv2", reason="needs the extra `cli`")
pytest.importorskip("PIL", reason="needs the extra `cli`")
pytest.importorskip("typer", reason="needs the extra `cli`")

from typer.testing import CliRunner

from pictures import disc, picture, tree, write
from sasaug.cli import app

TOML = """
copies = 2
seed = 5
canvas = [32, 64]
thumbnail = [8, 16]
p = 0.75
small_fraction = 0.01
salt_vs_pepper = 0.25
per_channel = true
labels = [255, 7]
value_range = [0, 200]
check_values = false

[noise]
speckle = [0.1, 0.2]
poisson = [32, 64]
"""
SETTINGS = sasaug.SAS(
    canvas=(32, 64),
    thumbnail=(8, 16),
    p=0.75,
    small_fraction=0.01,
    salt_vs_pepper=0.25,
    per_channel=True,
    labels=(255, 7),
    value_range=(0, 200),
    check_values=False,
    noise={"speckle": (0.1, 0.2), "poisson": (32, 64)},
)


@pytest.fixture
def root(tmp_path):
    for index in range(2):
        write(tmp_path / f"images/x{index}.png", picture(index))
        write(tmp_path / f"masks/x{index}.png", disc())
    return tmp_path


def augment(root, out, *options):
    folders = ["--images", root / "images", "--masks", root / "masks", "--out", root / out]
    arguments = [str(argument) for argument in ("augment", *folders, *options)]
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "300"})


def settings_of(root, out):
    return json.loads((root / out / "settings.json").read_text())


def test_toml_reaches_sas_and_the_run(root):
    (root / "a.toml").write_text(TOML)
    assert augment(root, "out", "--config", root / "a.toml").exit_code == 0
    found = settings_of(root, "out")
    assert sasaug.SAS.from_json(json.dumps(found["settings"])) == SETTINGS
    assert (found["copies"], found["seed"]) == (2, 5)


def test_settings_as_sas_writes_them_are_a_configuration(root):
    (root / "a.json").write_text(SETTINGS.to_json())
    assert augment(root, "out", "--config", root / "a.json", "--copies", 1).exit_code == 0
    found = settings_of(root, "out")
    assert sasaug.SAS.from_json(json.dumps(found["settings"])) == SETTINGS


def test_settings_of_an_earlier_run_repeat_it(root):
    (root / "a.toml").write_text(TOML)
    assert augment(root, "out", "--config", root / "a.toml", "--merge-masks").exit_code == 0
    config = root / "out/settings.json"
    assert augment(root, "again", "--config", config).exit_code == 0
    assert tree(root / "again") == tree(root / "out")


def test_command_line_wins(root):
    (root / "a.toml").write_text(TOML)
    options = ["--canvas", 48, "--p", 1, "--noise", "none", "--seed", 6, "--copies", 1]
    options += ["--thumbnail", 0.5, 1, "--labels", 3, "--apply-to", "all"]
    options += ["--small-fraction", 0.5, "--no-per-channel", "--position", "random"]
    options += ["--value-range", 1, 99, "--check-values", "--salt-vs-pepper", 1, "--antialias"]
    assert augment(root, "out", "--config", root / "a.toml", *options).exit_code == 0
    found = settings_of(root, "out")
    expected = sasaug.SAS(
        canvas=48,
        thumbnail=(0.5, 1.0),
        p=1.0,
        small_fraction=0.5,
        position="random",
        salt_vs_pepper=1.0,
        per_channel=False,
        antialias=True,
        value_range=(1.0, 99.0),
        check_values=True,
        labels=(3,),
        noise={},
        apply_to="all",
    )
    assert sasaug.SAS.from_json(json.dumps(found["settings"])) == expected
    assert (found["seed"], found["copies"]) == (6, 1)


@pytest.mark.parametrize("option", [True, False])
def test_switches_of_a_file_can_be_turned_off_and_on(root, option):
    (root / "a.json").write_text(json.dumps({"antialias": not option, "each_mask": not option}))
    switches = ["--antialias" if option else "--no-antialias"]
    switches += ["--each-mask" if option else "--merge-masks"]
    assert augment(root, "out", "--config", root / "a.json", *switches).exit_code == 0
    found = settings_of(root, "out")
    assert (found["settings"]["antialias"], found["each_mask"]) == (option, option)


def test_nothing_is_said_as_none_where_there_is_no_null(root):
    nothing = ("thumbnail", "noise", "value_range", "labels", "check_values")
    lines = [f'{name} = "none"' for name in nothing]
    (root / "a.toml").write_text("\n".join([*lines, 'canvas = "64x32"', ""]))
    assert augment(root, "out", "--config", root / "a.toml").exit_code == 0
    found = sasaug.SAS.from_json(json.dumps(settings_of(root, "out")["settings"]))
    assert found == sasaug.SAS(thumbnail=None, noise=None, canvas=(64, 32))


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.toml", "colour = 3", "got colour in "),
        ("a.toml", "[noise]\nloud = [1, 2]", "noise must name kinds of"),
        ("a.toml", "noise = 3", "noise must be"),
        ("a.toml", "p = 2", "p must be"),
        ("a.toml", "p = 2026-01-01", "p must be"),
        ("a.toml", "canvas = 0", "canvas must be N or HxW in pixels, each at least 1"),
        ("a.toml", "canvas = [64, -1]", "canvas must be N or HxW in pixels, each at least 1"),
        ("a.toml", "p = ", "config must be TOML (*.toml) or JSON, got "),
        ("a.json", "{", "config must be TOML (*.toml) or JSON, got "),
        ("a.json", "\ud800", "config must be TOML (*.toml) or JSON, got "),
        ("a.json", "[1]", "config must hold settings by name, got "),
        ("a.json", '{"settings": 3}', "settings must be a table, got 3 in "),
        ("a.json", '{"copies": "many"}', "copies must be of type int, got 'many' in "),
        ("a.json", '{"copies": true}', "copies must be of type int, got True in "),
        ("a.json", '{"seed": 1.5}', "seed must be of type int, got 1.5 in "),
        ("a.json", '{"stream_version": 1}', "config must be of stream version 2"),
        ("a.yaml", "p: 1", "config must be TOML (*.toml) or JSON, got "),
        ("nowhere.toml", None, "config must be a file that can be read, got "),
    ],
)
def test_refused_files_have_status_2_and_are_named(root, name, content, text):
    if content is not None:
        (root / name).write_bytes(content.encode("utf-8", "surrogatepass"))
    result = augment(root, "out", "--config", root / name)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ") and text in result.stderr
    assert not (root / "out").exists()
