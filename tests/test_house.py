"""The rules of the house: what is public, who may import whom, what a header may include."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sasaug

ROOT = Path(__file__).resolve().parents[1]
CSRC = ROOT / "csrc"
PACKAGE = ROOT / "python" / "sasaug"
HEADERS = ["platform", "philox", "draw", "pixel", "noise", "thumbnail", "plan", "sas"]
HEADERS += ["table", "area", "tile_facts", "tile"]  # of the GPU's loops

needs_sources = pytest.mark.skipif(not CSRC.is_dir(), reason="the sources are not at hand")


def run(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_public_names():
    assert sasaug.NOISES[:4] == ("gaussian", "speckle", "salt_pepper", "poisson")
    assert set(sasaug.__all__) == {
        "NOISES", "PRESETS", "Plan", "SAS", "STREAM_VERSION", "apply", "cuda_available",
        "get_num_threads", "sas", "set_num_threads", "thumbnail", *sasaug.NOISES,
    }  # fmt: skip
    assert all(hasattr(sasaug, name) for name in sasaug.__all__)


def test_import_is_light():
    """Beyond numpy nothing but the standard library, and of that no network."""
    code = "import sys, sasaug; print(*sys.modules)"
    loaded = {name.split(".")[0] for name in run(code).split()}
    site = {name.split(".")[0] for name in run("import sys, numpy; print(*sys.modules)").split()}
    assert "socket" not in loaded - site and "ssl" not in loaded - site
    assert loaded - site <= {"sasaug", *sys.stdlib_module_names}


def test_reference_stands_alone():
    """reference.py imports nothing of the package; nothing in the package imports it."""
    source = (PACKAGE / "reference.py").read_text() if PACKAGE.is_dir() else ""
    imports = re.findall(r"^\s*(?:from|import) (\S+)", source, re.M)
    assert set(imports) <= {"__future__", "collections.abc", "typing", "numpy", "numpy.typing"}
    assert "sasaug.reference" not in run("import sys, sasaug; print(*sys.modules)").split()


@needs_sources
def test_headers_include_only_what_stands_before_them():
    for place, name in enumerate(HEADERS):
        includes = re.findall(r"#include [<\"](\S+)[>\"]", (CSRC / f"{name}.h").read_text())
        allowed = {"cstdint", "cmath", "cstring", *(f"{h}.h" for h in HEADERS[:place])}
        assert set(includes) <= allowed, name


@needs_sources
def test_pybind11_is_in_bindings_alone():
    users = [f.name for f in CSRC.iterdir() if "pybind11/" in f.read_text()]
    assert users == ["bindings.cpp"]


#: Who may import a framework, and which. An adapter is of the library that it is named after.
IMPORTERS = {
    "torch.py": {"torch"},
    "adapters/albumentations.py": {"albumentations"},
    "adapters/batchgenerators.py": {"batchgeneratorsv2", "torch"},
    "adapters/jax.py": {"jax"},
    "adapters/kornia.py": {"kornia", "torch"},
    "adapters/monai.py": {"monai", "torch"},
    "adapters/torchvision.py": {"torchvision", "torch"},
}


@needs_sources
def test_frameworks_are_imported_by_their_own_files_alone():
    frameworks = set().union({"cupy"}, *IMPORTERS.values())
    for file in PACKAGE.rglob("*.py"):
        modules = re.findall(r"^\s*(?:import|from) (\w+)", file.read_text(), re.M)
        allowed = IMPORTERS.get(file.relative_to(PACKAGE).as_posix(), set())
        assert set(modules) & frameworks <= allowed, file
        if file.parent.name != "adapters":
            assert not re.search(r"^\s*(?:import|from) .*adapters", file.read_text(), re.M), file


@needs_sources
def test_ci_runs_the_readmes_test_command():
    command = "pip install '.[test]' && pytest"
    assert command in (ROOT / "README.md").read_text()
    assert command in (ROOT / ".ci" / "run").read_text()


@needs_sources
def test_constants_of_draws_are_the_fitted_ones():
    """Every coefficient of draw.h stands in the reference too, digit for digit."""
    numbers = r"\d+\.\d+(?:e-\d+)?(?=f)"
    source = (CSRC / "draw.h").read_text()
    reference = (PACKAGE / "reference.py").read_text()
    for number in set(re.findall(numbers, source)):
        if len(number) > 6:
            assert number in reference, number


@needs_sources
def test_cuda_runtime_is_in_sas_cuda_alone():
    users = [f.name for f in CSRC.iterdir() if "cuda_runtime" in f.read_text()]
    assert users == ["sas_cuda.cu"]


MODULES = [
    name
    for _, name, _ in pkgutil.walk_packages(sasaug.__path__, "sasaug.")
    if name not in ("sasaug._core", "sasaug.__main__")
    and not name.startswith("sasaug.adapters.")  # tests/adapters has these
]


@pytest.mark.parametrize("name", ["sasaug", *MODULES])
def test_docstring_examples(name):
    results = doctest.testmod(importlib.import_module(name))
    assert results.failed == 0


@pytest.mark.parametrize("kind", sasaug.NOISES)
def test_noise_docstring_examples(kind):
    function = getattr(sasaug, kind)
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner()
    examples = [t for t in finder.find(function, kind, globs={}) if t.examples]
    assert examples
    for example in examples:
        assert runner.run(example).failed == 0
