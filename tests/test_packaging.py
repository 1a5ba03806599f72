"""The release: one version everywhere, everything its tests need, and no job that CI forgets."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

import bare
import sasaug
from processes import missing

ROOT = Path(__file__).resolve().parents[1]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"

pytestmark = pytest.mark.skipif(
    not (ROOT / "pyproject.toml").is_file(), reason="the sources are not at hand"
)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_one_version_everywhere():
    version = sasaug.__version__
    assert re.search(r'^version = "(.+)"$', read("pyproject.toml"), re.M).group(1) == version
    assert re.search(r"^version: (.+)$", read("CITATION.cff"), re.M).group(1) == version
    newest = re.search(r"^## \[(.+?)\].*\n\nStream version (\d+)\.$", read("CHANGELOG.md"), re.M)
    assert newest.groups() == (version, str(sasaug.STREAM_VERSION))


def tracked() -> list[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("git does not say here which files there are")
    command = ["git", "ls-files"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split() if (ROOT / name).exists()]


def test_release_checklist_names_every_file_with_the_version():
    """And every other thing that a release is made of."""
    checklist = read("docs/release.md")
    version = re.escape(sasaug.__version__)
    holds = re.compile(rf"^\W*_*version_*\W{{1,4}}{version}\b|^## \[{version}\]", re.M)
    texts = (".py", ".toml", ".cff", ".md", ".yml", ".yaml", ".txt", ".h", ".cpp", ".cu", ".rst")
    files = [name for name in tracked() if name.endswith(texts) and holds.search(read(name))]
    assert len(files) == 5
    for name in [*files, "tests/test_golden.py", "tests/data/golden.txt", "kStreamVersion"]:
        assert f"`{name}`" in checklist, name
    for name in [".ci/run", ".ci/sanitize", ".ci/gpu", "all-green", "git tag", "sasaug-cuda13"]:
        assert name in checklist, name
    steps = [int(number) for number in re.findall(r"^(\d+)\. ", checklist, re.M)]
    assert steps == list(range(1, len(steps) + 1))


def test_addresses_are_complete_or_the_checklist_asks_for_them():
    table = read("pyproject.toml").partition("[project.urls]\n")[2].partition("\n\n")[0]
    addresses = dict(re.findall(r'^"?(\w+)"? = "(https://\S+)"$', table, re.M))
    assert addresses["Paper"] in read("CITATION.cff")
    asked = re.search(r"^1\. .*?(?=^2\. )", read("docs/release.md"), re.M | re.S).group()
    for name in ("Repository", "Documentation", "Issues", "Changelog"):
        assert (name in addresses) != (f"`{name}`" in asked), name


def test_commands_of_the_readme_are_those_of_ci():
    set_up, start = re.findall(
        r"^    python3 -m venv \.venv && (.+?) && (pip .+)$", read("README.md"), re.M
    )
    assert set_up == (". .venv/bin/activate", "pip install '.[cli]' && python -m sasaug demo")
    assert start == (". .venv/bin/activate", "pip install '.[test]' && pytest")
    assert re.search(rf"^{re.escape(start[1])}$", read(".ci/run"), re.M)
    assert f"run: {start[1]}\n" in WORKFLOW.read_text()


def test_every_public_module_is_listed():
    """Modules without an underscore are public, or named as those that are not."""
    text = read("docs/versions.md")
    for path in sorted((ROOT / "python" / "sasaug").iterdir()):
        module = path.suffix == ".py" or (path / "__init__.py").is_file()
        if module and not path.name.startswith("_"):
            assert re.search(rf"`sasaug\.{path.stem}(?:\.\*)?`", text), path.stem


def test_tools_are_of_one_version_everywhere():
    for pinned in re.findall(r"pip install ([\w-]+==[\d.]+)", WORKFLOW.read_text()):
        assert f'"{pinned}"' in read("pyproject.toml")


def test_ultralytics_is_of_the_version_that_its_page_names():
    page, gate = read("docs/adapters/ultralytics.md"), read(".ci/run")
    (tested,) = re.findall(r"^- Tested with ultralytics ([\d.]+)\.", page, re.M)
    (command,) = re.findall(r"`(pip install [^`]+)`", page)
    assert command.endswith(f"ultralytics=={tested}") and f"  {command}\n" in gate
    assert f"run: {command.removesuffix(f'=={tested}')}\n" in read(".github/workflows/weekly.yml")


def test_weekly_job_replaces_what_is_pinned():
    """Its first command has to fit the line of pyproject.toml that it changes."""
    pattern, replacement = re.search(
        r"sed -i 's/(.+?)/(.+?)/' pyproject.toml", read(".github/workflows/weekly.yml")
    ).groups()
    before = read("pyproject.toml")
    assert re.search(r'^  "torch==', before, re.M)
    assert not re.search(r'"torch==', re.sub(pattern, replacement, before))


def test_pythons_are_the_same_everywhere():
    text = read("pyproject.toml")
    named = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text)
    minors = [int(name.split(".")[1]) for name in named]
    assert minors == list(range(minors[0], minors[-1] + 1))
    assert f'requires-python = ">={named[0]}"' in text
    built = re.search(r'^build = "(.+)"$', text, re.M).group(1)
    threaded = [f"cp3{minor}t-*" for minor in minors if minor >= 14]  # without a GIL
    assert sorted(built.split()) == sorted([f"cp3{minor}-*" for minor in minors] + threaded)
    at_hand = re.search(r"PYTHONS:-(.+)}", read(".ci/wheels")).group(1).split()
    assert [name.replace("python3.", "cp3") + "-*" for name in at_hand] == built.split()
    assert f"CPython {named[0]} to {named[-1]} on" in read("docs/install.md")
    assert f"Python {named[0]} to {named[-1]}," in read("README.md")


def test_conda_recipe_follows_pyproject():
    """Its version, requirements, tests, licence and Pythons, each as a whole line of the recipe."""
    recipe, tables = read(".ci/conda/recipe.yaml"), tomllib.loads(read("pyproject.toml"))
    project, wheels = tables["project"], tables["tool"]["cibuildwheel"]

    def lines(requirements: list[str]) -> list[str]:
        return [re.sub(r"(?<=\w)(?=[<>=!])", " ", line) for line in sorted(requirements)]

    lists = re.findall(r"^ +(host|run):\n((?: +- .+\n)+)", recipe, re.M)
    assert [(name, re.findall(r"- (.+)", text)) for name, text in lists] == [
        ("host", ["python", "pip", *lines(tables["build-system"]["requires"])]),
        ("run", ["python", *lines(project["dependencies"])]),
        ("run", lines(wheels["test-requires"])),
    ]
    tests = "python -m " + wheels["test-command"].replace("{project}/", "")
    assert re.findall(
        r"^  (version|license|summary): (.+)$|^ +script: (python .+)$", recipe, re.M
    ) == [
        ("version", project["version"], ""),
        ("version", "${{ version }}", ""),
        ("", "", tests),
        ("summary", f'"{project["description"]}"', ""),
        ("license", project["license"], ""),
    ]
    pythons = re.findall(r'"(3\.\d+)\.\*"', read(".ci/conda/variants.yaml"))
    assert pythons == re.findall(r"Python :: (3\.\d+)$", "\n".join(project["classifiers"]), re.M)
    stdlib = re.search(r'^c_stdlib_version: \["(.+)"\]$', read(".ci/conda/variants.yaml"), re.M)[1]
    assert wheels["manylinux-x86_64-image"] == f"manylinux_{stdlib.replace('.', '_')}"


def test_page_has_the_size_of_every_wheel():
    """Each Python that is built has its row, with what was measured or the place that builds it."""
    page = read("docs/install.md").partition("| CPython |")[2].partition("\n\n")[0]
    rows = dict(re.findall(r"^\| (3\S+) \| (.+) \|$", page, re.M))
    built = tomllib.loads(read("pyproject.toml"))["tool"]["cibuildwheel"]["build"]
    assert [f"cp{python.replace('.', '')}-*" for python in rows] == built.split()
    for cells in rows.values():
        assert re.fullmatch(r"(?:\d\.\d+ MB|in CI only) \| (?:\d\.\d+ MB|in CI only)", cells), cells


def test_installed_package_is_typed():
    folders = importlib.util.find_spec("sasaug").submodule_search_locations
    for name in ("py.typed", "_core.pyi"):
        assert any((Path(folder) / name).is_file() for folder in folders), name


def test_numpy_is_the_only_requirement():
    for line in importlib.metadata.requires("sasaug"):
        assert line.startswith("numpy") or "extra ==" in line, line


@pytest.mark.parametrize(("command", "options"), [("demo", ["--n", 1]), ("preview", [])])
def test_extra_cli_is_enough_to_try_the_package(command, options, tmp_path):
    """As `uvx 'sasaug[cli]' demo` does; without the extra the way to it is named."""
    tried = bare.run({"cli"}, "sasaug", command, *options, cwd=tmp_path)
    assert (tried.returncode, tried.stderr) == (0, "")
    assert tried.stdout.endswith(f"wrote sasaug_{command}.png\n")
    assert (tmp_path / f"sasaug_{command}.png").is_file()
    refused = bare.run(set(), "sasaug", command, cwd=tmp_path)
    assert (refused.returncode, refused.stderr) == (2, missing("typer", "cli", command))


def test_paper_is_cited():
    text = read("CITATION.cff")
    assert "arXiv:2503.05916" in text and "https://arxiv.org/abs/2503.05916" in text
    assert re.findall(r'family-names: "(\w+)"', text)[0] == "Ferreira"


def test_source_distribution_has_every_file(tmp_path):
    """Whoever unpacks it can build, run every test and build the site."""
    files = tracked()
    code = "import sys; from scikit_build_core.build import build_sdist; build_sdist(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=True, capture_output=True
    )
    (archive,) = tmp_path.iterdir()
    with tarfile.open(archive) as tar:
        packed = {name.partition("/")[2] for name in tar.getnames()}
    assert set(files) <= packed
    assert not [name for name in packed if name.startswith(("build/", "docs/drawn", ".git/"))]


def test_one_job_waits_for_all():
    text = WORKFLOW.read_text().partition("\njobs:\n")[2]
    *jobs, last = re.findall(r"^  ([\w-]+):$", text, re.M)
    needs = re.search(r"needs: \[(.+)\]", text.partition(f"  {last}:\n")[2]).group(1)
    assert last == "all-green" and needs.split(", ") == jobs
