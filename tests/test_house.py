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
from sasaug import _core, _records

ROOT = Path(__file__).resolve().parents[1]
CSRC = ROOT / "csrc"
PACKAGE = ROOT / "python" / "sasaug"
#: The headers of the method, in reading order: each may include those before it.
METHOD = ["platform", "philox", "draw", "pixel", "noise", "thumbnail", "plan", "batch", "value"]
#: The rooms of csrc: which others each may include from.
ROOMS = {"method": set(), "cpu": {"method"}, "cuda": {"method"}}

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


def structures(made):
    """Return a ctypes structure and all those in it."""
    found = [made] if hasattr(made, "_fields_") else []
    inner = [kind for _, kind in made._fields_] if found else [getattr(made, "_type_", None)]
    return found + [s for kind in inner if isinstance(kind, type) for s in structures(kind)]


def test_records_are_laid_out_as_in_cpp():
    """Without `_pack_`, of which Python 3.14 warns at every import."""
    records = {"BATCH": _records.Batch, "INPUTS": _records.Inputs, "SOURCE": _records.Source}
    for name, made in records.items():
        dtype = getattr(_core, name)
        assert {n: getattr(made, n).offset for n in dtype.names} == {
            n: dtype.fields[n][1] for n in dtype.names
        }
        assert not [s for s in structures(made) if hasattr(s, "_pack_")], name
    assert len(structures(_records.Inputs)) > 5


def test_reference_stands_alone():
    """reference.py imports nothing of the package; nothing in the package imports it."""
    source = (PACKAGE / "reference.py").read_text() if PACKAGE.is_dir() else ""
    imports = re.findall(r"^\s*(?:from|import) (\S+)", source, re.M)
    assert set(imports) <= {"__future__", "collections.abc", "typing", "numpy", "numpy.typing"}
    assert "sasaug.reference" not in run("import sys, sasaug; print(*sys.modules)").split()


def includes(file: Path) -> list[str]:
    return re.findall(r'^#include ([<"]\S+[>"])', file.read_text(), re.M)


@needs_sources
def test_the_method_includes_itself_alone_in_reading_order():
    assert {file.stem for file in (CSRC / "method").iterdir()} == set(METHOD)
    for place, name in enumerate(METHOD):
        allowed = {"<cstdint>", "<cmath>", "<cstring>"}
        allowed |= {f'"method/{before}.h"' for before in METHOD[:place]}
        assert set(includes(CSRC / "method" / f"{name}.h")) <= allowed, name


@needs_sources
@pytest.mark.parametrize("room", ROOMS)
def test_a_room_includes_itself_and_the_method(room):
    files = [file for file in (CSRC / room).iterdir() if file.suffix in (".h", ".cpp", ".cu")]
    assert files
    for file in files:
        for name in includes(file):
            folder = name.strip('"').split("/")[0]
            assert name.startswith("<") or folder in {room, *ROOMS[room]}, f"{file}: {name}"


@needs_sources
def test_no_cycles_among_headers():
    """A header of cpu/ or cuda/ never includes, however far, itself."""
    below = {
        f"{room}/{file.name}": {name.strip('"') for name in includes(file) if name[0] == '"'}
        for room in ROOMS
        for file in (CSRC / room).glob("*.h")
    }
    while below:
        leaves = {name for name, included in below.items() if not included & below.keys()}
        assert leaves, f"a cycle among {sorted(below)}"
        below = {name: included for name, included in below.items() if name not in leaves}


@needs_sources
def test_only_the_door_knows_pybind11():
    users = {f.name for f in CSRC.rglob("*") if f.is_file() and "pybind11/" in f.read_text()}
    assert users == {"bindings.cpp", "records.h"}
    assert {f.name for f in CSRC.iterdir() if f.is_file()} == {
        "README.md", "bindings.cpp", "records.h",
    }  # fmt: skip


#: Who may import a framework, and which. An adapter is of the library that it is named after.
IMPORTERS = {
    "_torch_ops.py": {"torch"},
    "torch.py": {"torch"},
    "adapters/_monai_axes.py": {"monai", "torch"},
    "adapters/albumentations.py": {"albumentations"},
    "adapters/batchgenerators.py": {"batchgeneratorsv2", "torch"},
    "adapters/jax.py": {"jax"},
    "adapters/kornia.py": {"kornia", "torch"},
    "adapters/monai.py": {"monai", "torch"},
    "adapters/nnunet.py": {"batchgeneratorsv2", "nnunetv2", "torch"},
    "adapters/torchvision.py": {"torchvision", "torch"},
}


@needs_sources
def test_frameworks_are_imported_by_their_own_files_alone():
    frameworks = set().union({"cupy"}, *IMPORTERS.values())
    for file in PACKAGE.rglob("*.py"):
        modules = re.findall(r"^\s*(?:import|from) (\w+)", file.read_text(), re.M)
        allowed = IMPORTERS.get(file.relative_to(PACKAGE).as_posix(), set())
        assert set(modules) & frameworks <= allowed, file
        if "adapters" not in file.parts:
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
    source = (CSRC / "method" / "draw.h").read_text()
    reference = (PACKAGE / "reference.py").read_text()
    for number in set(re.findall(numbers, source)):
        if len(number) > 6:
            assert number in reference, number


@needs_sources
def test_only_the_kernels_know_the_cuda_runtime():
    users = [f.name for f in CSRC.rglob("*") if f.is_file() and "cuda_runtime" in f.read_text()]
    assert users == ["kernels.cu"]


#: Modules that users import; the others begin with an underscore.
PUBLIC = {
    "adapters", "calls", "cli", "folder", "noise", "phantoms", "plan", "preview", "reference",
    "settings", "torch",
}  # fmt: skip


def test_modules_that_are_not_public_begin_with_an_underscore():
    names = {module.name for module in pkgutil.iter_modules(sasaug.__path__)}
    assert {name for name in names if not name.startswith("_")} == PUBLIC
    assert callable(sasaug.sas)  # a function, and no module of that name
    assert "sas" not in names


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
