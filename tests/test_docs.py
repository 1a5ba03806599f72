"""The documents: their Python runs, they name everything, and the site builds."""

from __future__ import annotations

import ast
import html
import importlib.util
import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bare
import sasaug
from cases import disc
from sasaug.noise import KINDS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
# the page of JAX last, and that of the frameworks late: after JAX a data loader should not fork
PAGES = sorted(DOCS.rglob("*.md"), key=lambda page: (page.stem == "jax", -len(page.parts), page))
DOCUMENTS = [*map(ROOT.joinpath, ("README.md", "CONTRIBUTING.md", "SECURITY.md")), *PAGES]
BLOCK = r"^```python\n(.*?)^```(?:\n\n```text\n(.*?)^```)?"  # code, and the output that it promises
DRAWN = re.compile(r"(?:^|/)drawn/([\w-]+)\.png$")  # by docs/site/pictures.py, not committed
#: Libraries that a page may need and a machine may lack; any other import has to work.
OTHERS = {
    "albumentations", "batchgeneratorsv2", "cupy", "datasets", "jax", "kornia", "lightning",
    "monai", "nnunetv2", "pyspark", "ray", "tensorflow", "torchio", "torchvision", "transformers",
    "ultralytics", "webdataset",
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


@pytest.fixture(autouse=True)
def print_options():
    """Ultralytics sets numpy's when it is imported."""
    with np.printoptions():
        yield


# other libraries warn as they like; what sasaug warns of is an error
@pytest.mark.filterwarnings("default", "error:::sasaug")
@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_python_blocks_run(document, tmp_path, monkeypatch, capsys):
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
    blocks = re.findall(BLOCK, document.read_text(), re.S | re.M)
    missing = []
    for block, output in blocks:
        capsys.readouterr()
        try:
            missing.append(run(block, names, name_of(document)))
            if output:
                assert capsys.readouterr().out == output
        except NameError:
            if not any(missing):
                raise
            missing.append(next(filter(None, missing)))  # it continues a block that did not run
    if document.name == "README.md" and document.parent == ROOT:
        assert len(blocks) == 2 and len(seen) == 1
    if any(missing):
        needs = ", ".join(f"block {k + 1} needs {what}" for k, what in enumerate(missing) if what)
        pytest.skip(f"all others ran; {needs}")


def test_api_names_everything():
    """The overview names every public name, and the reference has every docstring."""
    further = set(sasaug.NOISES) - set(sasaug.PRESETS["default"])  # docs/noise.md names these
    overview = (DOCS / "api.md").read_text()
    for name in set(sasaug.__all__) - further:
        assert re.search(rf"\b{name}\b", overview), name
    pages = "\n".join(page.read_text() for page in (DOCS / "api").glob("*.rst"))
    listed = re.findall(r"^\.\. (?:auto\w+|py:data):: (?:sasaug\.)?(\w+)$", pages, re.M)
    assert set(sasaug.__all__) - further <= set(listed)


def test_reference_has_every_class_of_the_adapters():
    """Their libraries may be missing here, so the sources are read."""
    page = (DOCS / "api" / "adapters.rst").read_text()
    listed = set(re.findall(r"^\.\. auto(?:class|function):: (sasaug\.adapters\.\S+)$", page, re.M))
    public = set()
    for path in sorted((ROOT / "python" / "sasaug" / "adapters").glob("[!_]*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                names = ast.literal_eval(node.value)
                public |= {f"sasaug.adapters.{path.stem}.{name}" for name in names}
    assert listed == public


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


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site as ``nox -s docs`` does: with the packages of the extras cli and docs only."""
    folder = tmp_path_factory.mktemp("site")
    options = ["-W", "--keep-going", "-q", "-E", "-d", folder / "doctrees"]
    options += ["-c", DOCS / "site", DOCS, folder / "site"]
    result = bare.run({"cli", "docs"}, "sphinx", *options)
    assert result.returncode == 0, result.stderr
    return folder / "site"


@pytest.mark.skipif(not importlib.util.find_spec("furo"), reason="the extra docs is not installed")
class TestSite:
    def test_loads_nothing_from_elsewhere(self, site):
        pages = list(site.rglob("*.html"))
        assert len(pages) > len(PAGES)
        for page in pages:
            loaded = re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", page.read_text())
            assert not [t for t in loaded if re.search(r"(?:src|href)=\"(?:https?:)?//", t)], page

    def test_menu_is_short(self, site):
        names = re.findall(r'<li class="toctree-l1[^"]*">', (site / "index.html").read_text())
        assert 0 < len(names) <= 20

    def test_menu_leads_to_every_page(self, site):
        menu = (site / "index.html").read_text().partition('class="sidebar-tree"')[2]
        for page in DOCS.rglob("*"):
            if page.suffix in (".md", ".rst") and page.name != "index.md":
                target = page.relative_to(DOCS).with_suffix(".html").as_posix()
                assert f'href="{target}"' in menu, target

    def test_conventions_of_the_sources_do_not_show(self, site):
        for page in site.rglob("*.html"):
            if page.name not in ("contributing.html", "search.html"):
                assert "One job:" not in page.read_text(), page

    def test_signatures_are_readable(self, site):
        text = html.unescape(re.sub(r"<[^>]+>", "", (site / "api/adapters.html").read_text()))
        signatures = re.findall(r"^\s*class\s+(\w+)\s*(\(.*\))", text, re.M)
        assert len(signatures) > 15
        assert not [s for s in signatures if "*args" in s[1]]
        assert ("RandSAS", "(prob=0.5") in [(name, rest[:9]) for name, rest in signatures]

    def test_settings_table_has_every_field_and_its_default(self, site):
        text = (site / "settings.html").read_text()
        for field in fields(sasaug.SAS):
            row = re.search(rf"<tr[^>]*><td>[^\n]*>{field.name}<.*?</tr>", text, re.S)
            assert row, field.name
            cells = re.findall(r"<td>(.*?)</td>", row.group(), re.S)
            default, values, meaning = (html.unescape(re.sub(r"<[^>]+>", "", c)) for c in cells[1:])
            wanted = field.default
            assert default.strip("<p>\n") == (f'"{wanted}"' if type(wanted) is str else str(wanted))
            assert values.strip() and len(meaning) > 20
