"""What is released: one version everywhere, all that its tests need, and no job that CI forgets."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

import sasaug

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


def test_pythons_are_the_same_everywhere():
    text = read("pyproject.toml")
    named = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text)
    minors = [int(name.split(".")[1]) for name in named]
    assert minors == list(range(minors[0], minors[-1] + 1))
    assert f'requires-python = ">={named[0]}"' in text
    built = re.search(r'^build = "(.+)"$', text, re.M).group(1)
    assert built.split() == [f"cp3{minor}-*" for minor in minors]
    assert f"CPython {named[0]} to {named[-1]} on" in read("docs/install.md")
    assert f"Python {named[0]} to {named[-1]}," in read("README.md")


def test_installed_package_is_typed():
    folders = importlib.util.find_spec("sasaug").submodule_search_locations
    for name in ("py.typed", "_core.pyi"):
        assert any((Path(folder) / name).is_file() for folder in folders), name


def test_numpy_is_the_only_requirement():
    for line in importlib.metadata.requires("sasaug"):
        assert line.startswith("numpy") or "extra ==" in line, line


def test_paper_is_cited():
    text = read("CITATION.cff")
    assert "arXiv:2503.05916" in text and "https://arxiv.org/abs/2503.05916" in text
    assert re.findall(r'family-names: "(\w+)"', text)[0] == "Ferreira"


def test_source_distribution_has_every_file(tmp_path):
    """Whoever unpacks it can build, run every test and build the site."""
    if not (ROOT / ".git").exists():
        pytest.skip("git does not say here which files there are")
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    code = "import sys; from scikit_build_core.build import build_sdist; build_sdist(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=True, capture_output=True
    )
    (archive,) = tmp_path.iterdir()
    with tarfile.open(archive) as tar:
        packed = {name.partition("/")[2] for name in tar.getnames()}
    assert {name for name in tracked if (ROOT / name).exists()} <= packed
    assert not [name for name in packed if name.startswith(("build/", "docs/drawn", ".git/"))]


def test_one_job_waits_for_all():
    text = WORKFLOW.read_text().partition("\njobs:\n")[2]
    *jobs, last = re.findall(r"^  ([\w-]+):$", text, re.M)
    needs = re.search(r"needs: \[(.+)\]", text.partition(f"  {last}:\n")[2]).group(1)
    assert last == "all-green" and needs.split(", ") == jobs
