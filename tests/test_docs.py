"""The documents: their Python runs, and they name what there is."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

import sasaug
from cases import disc
from sasaug.noise import KINDS

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

pytestmark = pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="the sources are not at hand")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_python_blocks_run(document):
    images = np.random.default_rng(0).integers(0, 256, (4, 256, 256), np.uint8)
    masks = disc(4, 256)
    seen = []
    names = {
        "images": images,
        "masks": masks,
        "dataset": range(4),
        "indices": np.arange(4),
        "epoch": 1,
        "loader": [(np.arange(4), images, masks)],
        "train_step": lambda x, y: seen.append((x, y)),
        "sasaug": sasaug,
    }
    blocks = re.findall(r"```python\n(.*?)```", document.read_text(), re.S)
    for block in blocks:
        modules = re.findall(r"^import (\w+)", block, re.M)
        if all(importlib.util.find_spec(module) for module in modules):
            exec(compile(block, document.name, "exec"), names)
    assert document.name != "README.md" or (len(blocks) == 2 and len(seen) == 2)


def test_api_names_everything():
    text = (ROOT / "docs" / "api.md").read_text()
    further = set(sasaug.NOISES) - set(sasaug.PRESETS["default"])  # docs/noise.md names these
    for name in [*(set(sasaug.__all__) - further), *(f.name for f in fields(sasaug.SAS))]:
        assert re.search(rf"\b{name}\b", text), name


def test_noise_table_has_every_kind_and_its_default():
    text = (ROOT / "docs" / "noise.md").read_text()
    for name in sasaug.NOISES:
        low, high = KINDS[name]["usual"]
        row = re.search(rf"^\| `{name}` \|.*$", text, re.M)
        assert row and f"{low:g} to {high:g}" in row.group(), name


def test_links_lead_somewhere():
    for document in [*DOCUMENTS, ROOT / "CONTRIBUTING.md"]:
        for link in re.findall(r"\]\(([^)#]+)", document.read_text()):
            if not link.startswith("http"):
                assert (document.parent / link).exists(), (document.name, link)
