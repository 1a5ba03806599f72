"""Claims about the help of the command line, as a person sees it."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import sasaug

pytest.importorskip("cv2", reason="needs the extra `cli`")
pytest.importorskip("rich", reason="needs the extra `cli`")
pytest.importorskip("typer", reason="needs the extra `cli`")

from typer.testing import CliRunner

from sasaug.cli import app
from sasaug.settings import _descriptions

COMMANDS = ["augment", "demo", "preview"]
EVERY = [[], *([command] for command in COMMANDS)]


def help_of(*command, columns=100):
    result = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": str(columns)})
    assert result.exit_code == 0
    return result.output


def lines_of(*command):
    return help_of(*command).splitlines()


def block(lines, title):
    """Return the indented lines below a title, which is a line of its own."""
    start = lines.index(f"  {title}:") + 1
    end = next(k for k in range(start, len(lines)) if not lines[k].startswith("   "))
    return lines[start:end]


@pytest.mark.parametrize("command", EVERY)
@pytest.mark.parametrize("columns", [60, 80, 120])
def test_help_prints_no_escapes(command, columns):
    text = help_of(*command, columns=columns)
    for mark in ("\\b", "\b", "\\n", "``", "noqa"):
        assert mark not in text


@pytest.mark.parametrize("command", EVERY)
def test_every_example_is_a_line_of_its_own(command):
    """A line is a description or the whole of a command, and never more."""
    lines = block(lines_of(*command), "Examples")
    commands = [line.strip() for line in lines if "python -m sasaug" in line]
    assert len(commands) >= 2
    for line in lines:
        is_command = line.strip().startswith("python -m sasaug ")
        assert line.count("python -m sasaug") == is_command
        assert len(line) - len(line.lstrip()) in (4, 6)
    if command == ["augment"]:
        descriptions = lines[::2]
        assert all("python" not in line for line in descriptions)
        assert [line.strip() for line in lines[1::2]] == commands
    else:
        assert len(commands) == len(lines)


def test_exit_statuses_are_a_table():
    assert block(lines_of("augment"), "Exit status") == [
        "    0    all done",
        "    1    files were skipped, or the output could not be written",
        "    2    an option, a setting or a missing extra: nothing was done",
        "    130  interrupted",
    ]


def test_layouts_are_pairs_of_a_name_and_its_options():
    lines = block(lines_of("augment"), "Layouts")
    page = Path(__file__).parents[1] / "docs/scale-out.md"
    if page.is_file():  # which has one layout more, that of the defaults
        table = page.read_text(encoding="utf-8").split("## Layouts")[1].split("\n\n")[1]
        cells = re.findall(r"\| `(--[^`]+)` \|$", table, re.M)
        assert cells[1:] == [options.strip() for options in lines[1::2]]
    assert len(lines) >= 10 and len(lines) % 2 == 0
    for name, options in zip(lines[::2], lines[1::2], strict=True):
        assert re.match(r"    \S", name) and "--" not in name
        assert re.match(r"      --\S", options) and "--pattern " in options


@pytest.mark.parametrize("command", COMMANDS)
def test_options_of_examples_exist_and_are_described(command):
    text = help_of(command)
    known = set(re.findall(r"^ +(--[a-z-]+)", text, re.M))
    known |= set(re.findall(r"^ +--[a-z-]+ / (--[a-z-]+)", text, re.M))
    used = re.findall(r" (--[a-z-]+)", text[: text.index("Options:")])
    assert used and set(used) <= known


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_says_what_it_is(command):
    """No option without help, and no help that is a fragment beginning with "Of"."""
    options = options_of(command)
    assert len(options) >= 6
    for name, said in options.items():
        assert len(said) > 10 and not said.startswith("Of"), name


def options_of(command):
    """Return the help of each option, without white space, in which lines are broken."""
    entries = re.split(r"^  (?=--)", help_of(command).partition("\nOptions:\n")[2], flags=re.M)[1:]
    form = r"--([\w-]+)(?: / --[\w-]+)?(?: <.*?>(?= |\n))?(.*)"
    matches = [re.fullmatch(form, entry, re.S) for entry in entries]
    return {match[1]: squashed(match[2]) for match in matches}


def squashed(text):
    return "".join(text.split())


def test_every_setting_is_an_option_described_by_its_docstring():
    """A new field of SAS needs no line of the command line's own."""
    section = inspect.getdoc(sasaug.SAS).split("----------\n")[1].partition("\nRaises\n")[0]
    described = _descriptions()
    entries = [f"{name} : {kind} {text}" for name, (kind, text) in described.items()]
    assert squashed("".join(entries)) == squashed(section)
    options = options_of("augment")
    names = [field.name for field in fields(sasaug.SAS)]
    assert names == list(described)
    assert [n for n in names if n.replace("_", "-") not in options] == ["channels"]
    for name in set(names) - {"channels"}:
        text = squashed(described[name][1])
        said = options[name.replace("_", "-")]
        assert said.startswith(text), name
        own = (r"On the command line, [^:;]+[:;][^.]+\.", r"Repeatable\.", r"Default: \S+( \S+)?\.")
        assert re.fullmatch("".join(f"({squashed(o)})?" for o in own), said[len(text) :]), name


def test_preview_takes_the_settings_that_it_does_not_set_itself():
    names = {field.name for field in fields(sasaug.SAS)} - {"channels"}
    shown = {name for name in names if name.replace("_", "-") in options_of("preview")}
    assert names - shown == {"thumbnail", "p", "small_fraction", "apply_to"}
    assert options_of("preview")["canvas"] == options_of("augment")["canvas"]
    assert options_of("demo")["noise"] == options_of("augment")["noise"]


def test_options_are_there_without_docstrings():
    code = [sys.executable, "-OO", "-m", "sasaug", "augment", "--help"]
    result = subprocess.run(code, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert re.search(r"^  --value-range <low high>$", result.stdout, re.M)
    assert re.search(r"^  --p <float> +Default: 0\.5\.$", result.stdout, re.M)


def test_settings_say_their_defaults():
    """The defaults that the help names are those of SAS and of a job."""
    aug, options = sasaug.SAS(), options_of("augment")
    low, high = aug.thumbnail
    for option, default in {
        "thumbnail": f"{low:g}{high:g}",
        "position": aug.position,
        "noise": "default",
        "p": f"{aug.p:g}",
        "small-fraction": f"{aug.small_fraction:g}",
        "apply-to": aug.apply_to,
        "antialias": "off",
        "salt-vs-pepper": f"{aug.salt_vs_pepper:g}",
        "copies": str(sasaug_job_default("copies")),
        "seed": str(sasaug_job_default("seed")),
    }.items():
        assert options[option].endswith(f"Default:{default}."), option


def sasaug_job_default(name):
    from sasaug.folder import Job

    return getattr(Job, name)


def test_no_arguments_explain_themselves():
    result = CliRunner().invoke(app, [], env={"COLUMNS": "100"})
    assert "\n".join(lines_of()) in result.output
    summaries = [line for line in lines_of() if line.startswith(tuple(f"  {c} " for c in COMMANDS))]
    assert len(summaries) == 3 and all(line.endswith(".") for line in summaries)
    assert not any(line.endswith("...") for line in summaries)


@pytest.mark.parametrize("start", [["-m", "sasaug"]])
def test_version_is_printed(start):
    result = subprocess.run([sys.executable, *start, "--version"], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    expected = f"sasaug {sasaug.__version__} (stream version {sasaug.STREAM_VERSION})\n"
    assert result.stdout == expected


def test_help_imports_no_library_that_works_with_images():
    code = (
        "import sys; sys.argv[1:] = ['augment', '--help']; from sasaug.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: print({'cv2', 'PIL', 'rich', 'ray', 'webdataset', 'torch'} "
        "& set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.endswith("set()\n")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("sasaug ", {"demo", "preview", "augment"}),
        ("sasaug augment --noise ", {*sasaug.PRESETS, "none"}),
        ("sasaug augment --engine r", {"ray"}),
        ("sasaug augment --position ", {"center", "random", "top_left", "top_center"}),
        ("sasaug augment --apply-to ", {"large", "all"}),
        ("sasaug preview --kind s", {"speckle", "salt_pepper"}),
    ],
)
def test_shell_completes_commands_and_values(words, expected):
    code = "import sys; sys.argv = ['sasaug']; from sasaug.__main__ import main; main()"
    shell = {"_SASAUG_COMPLETE": "complete_bash", "COMP_WORDS": words}
    shell["COMP_CWORD"] = str(len(words.split(" ")) - 1)
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | shell
    )
    assert set(result.stdout.split()) == expected, result.stderr


def test_layouts_of_the_help_pair_the_files_that_they_name(tmp_path):
    """Each is made as it is named, and expanded with the options as they are printed."""
    from pictures import disc, picture, write

    trees = {
        "BUSI": [
            "BUSI/benign/b (1).png",
            "BUSI/benign/b (1)_mask.png",
            "BUSI/benign/b (1)_mask_1.png",
        ],
        "img_0.png": ["images/img_0.png", "masks/mask_0.png"],
        "nnU-Net": ["images/c0_0000.png", "masks/c0.png"],
        "A folder": ["data/case_0/image.png", "data/case_0/mask.png"],
        "Parallel": ["data/case_0/images/x.png", "data/case_0/masks/x.png"],
    }
    lines = block(lines_of("augment"), "Layouts")
    assert len(lines) == 2 * len(trees)
    for name, options in zip(lines[::2], lines[1::2], strict=True):
        begin = next(begin for begin in trees if name.strip().startswith(begin))
        root = tmp_path / begin
        for file in trees[begin]:
            write(root / file, disc() if "mask" in file or file == "masks/c0.png" else picture(0))
        words = shlex.split(options)
        if "--images" not in words:
            words = ["--images", "images", "--masks", "masks", *words]
        arguments = [
            str(root / w) if w in ("images", "masks", "data", "BUSI") else w for w in words
        ]
        arguments += ["--out", str(root / "out"), "--copies", "1", "--quiet"]
        result = CliRunner().invoke(app, ["augment", *arguments])
        assert (result.exit_code, result.output) == (0, ""), name
        manifest = (root / "out/manifest.csv").read_text().splitlines()
        assert len(manifest) == 2, name
