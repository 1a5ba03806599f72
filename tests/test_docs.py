"""The documents: their Python runs, they name what there is, and the site builds."""

from __future__ import annotations

import importlib.util
import inspect
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sasaug
from cases import disc
from sasaug.noise import KINDS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
# folders last: after the page of JAX a data loader should not fork, as that of the frameworks does
PAGES = sorted(DOCS.rglob("*.md"), key=lambda page: (len(page.parts), page))
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]
DRAWN = re.compile(r"(?:^|/)drawn/([\w-]+)\.png$")  # by docs/site/pictures.py, not committed
#: Libraries that a page may need and a machine may lack; any other import has to work.
OTHERS = {
    "albumentations", "batchgeneratorsv2", "cupy", "jax", "kornia", "lightning", "monai",
    "nnunetv2", "pyspark", "ray", "tensorflow", "torchio", "torchvision", "webdataset",
}  # fmt: skip

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="the sources are not at hand")


def name_of(document: Path) -> str:
    return str(document.relative_to(ROOT))


def run(block: str, names: dict[str, Any], where: str) -> str | None:
    """Run a block; return what it needs and this machine does not have."""
    if re.search(r"^\s*import cupy", block, re.M) and not sasaug.cuda_available():
        return "a GPU"
    try:
        exec(compile(block, where, "exec"), names)
    except ModuleNotFoundError as error:
        if error.name not in OTHERS:
            raise
        return error.name
    return None


# other libraries warn as they like; what sasaug warns of is an error
@pytest.mark.filterwarnings("default", "error:::sasaug")
@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_python_blocks_run(document, tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (4, 256, 256), np.uint8)
    masks = disc(4, 256)
    seen = []
    names = {
        "__name__": document.stem,
        "images": images,
        "masks": masks,
        "dataset": range(4),
        "indices": np.arange(4),
        "epoch": 1,
        "loader": [(np.arange(4), images, masks)],
        "train_step": lambda x, y: seen.append((x, y)),
        "sasaug": sasaug,
    }
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", document.read_text(), re.S | re.M)
    missing = []
    for block in blocks:
        try:
            missing.append(run(block, names, name_of(document)))
        except NameError:
            if not any(missing):
                raise
            missing.append(next(filter(None, missing)))  # it goes on from a block that did not run
    if document.name == "README.md" and document.parent == ROOT:
        assert len(blocks) == 2 and len(seen) == 2
    if any(missing):
        needs = ", ".join(f"block {k + 1} needs {what}" for k, what in enumerate(missing) if what)
        pytest.skip(f"all others ran; {needs}")


def test_api_names_everything():
    """The overview names every public name, and the reference has every docstring."""
    overview = (DOCS / "api.md").read_text()
    further = set(sasaug.NOISES) - set(sasaug.PRESETS["default"])  # docs/noise.md names these
    for name in [*(set(sasaug.__all__) - further), *(f.name for f in fields(sasaug.SAS))]:
        assert re.search(rf"\b{name}\b", overview), name
    pages = "\n".join(page.read_text() for page in (DOCS / "api").glob("*.rst"))
    listed = re.findall(r"^\.\. (?:auto\w+|py:data):: (?:sasaug\.)?(\w+)$", pages, re.M)
    assert set(sasaug.__all__) - further <= set(listed)


@pytest.mark.parametrize("name", [n for n in sasaug.__all__ if inspect.isroutine(vars(sasaug)[n])])
def test_every_call_says_what_it_refuses_and_shows_itself(name):
    call = getattr(sasaug, name)
    if inspect.isbuiltin(call):
        pytest.skip("compiled: it takes nothing")
    text = inspect.getdoc(call)
    assert "Examples\n--------\n>>> " in text
    assert "Raises\n------\n" in text or not inspect.signature(call).parameters


def test_noise_table_has_every_kind_and_its_default():
    text = (DOCS / "noise.md").read_text()
    for name in sasaug.NOISES:
        low, high = KINDS[name]["usual"]
        row = re.search(rf"^\| `{name}` \|.*$", text, re.M)
        assert row and f"{low:g} to {high:g}" in row.group(), name
        assert f"(drawn/noise-{name}.png)" in text, name


def test_preset_table_has_every_range():
    text = (DOCS / "strengths.md").read_text()
    for preset, ranges in sasaug.PRESETS.items():
        cells = re.search(rf'^\| `"{preset}"` \|(.*)$', text, re.M).group(1).split("|")
        for cell, kind in zip(cells, sasaug.PRESETS["default"], strict=False):
            limits = [eval(limit) for limit in cell.split(" to ")] if cell.strip() != "none" else []
            expected = sorted(set(ranges.get(kind, ())))
            assert limits == pytest.approx(expected, rel=2e-3), (preset, kind)


def test_links_lead_somewhere():
    drawn = []
    for document in DOCUMENTS:
        for link in re.findall(r"\]\(([^)#\s]+)", document.read_text()):
            if picture := DRAWN.search(link):
                drawn.append(picture.group(1))
            elif not link.startswith("http"):
                assert (document.parent / link).exists(), (name_of(document), link)
    # by its path: the tests have a module of the same name
    spec = importlib.util.spec_from_file_location("site_pictures", DOCS / "site" / "pictures.py")
    pictures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pictures)
    assert sorted(drawn) == sorted(pictures.SHEETS)


@pytest.mark.skipif(not importlib.util.find_spec("furo"), reason="the extra docs is not installed")
def test_site_builds_without_a_warning(tmp_path):
    """And without anything from elsewhere: no font, style sheet or script."""
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-E"]
    command += ["-d", str(tmp_path / "doctrees"), "-c", str(DOCS / "site"), str(DOCS)]
    result = subprocess.run([*command, str(tmp_path / "site")], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > len(PAGES)
    for page in pages:
        loaded = re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", page.read_text())
        assert not [tag for tag in loaded if re.search(r"(?:src|href)=\"(?:https?:)?//", tag)], page
