"""The adapters' pages: a loader, as printed, gives images all of their own, for any workers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import samples

pytest.importorskip("torch")

ROOT = Path(__file__).resolve().parents[2]
FRAMES = 6  # in the data set, which is seen for two epochs
HOSTS = {
    "albumentations": "albumentations",
    "jax": "jax",
    "kornia": "kornia",
    "monai": "monai",
    "nnunet": "batchgeneratorsv2",
    "torchvision": "torchvision",
}
WORKERS = [
    "num_workers=0",
    "num_workers=2, multiprocessing_context='fork'",
    "num_workers=2, multiprocessing_context='fork', persistent_workers=True",
    "num_workers=2, multiprocessing_context='spawn', persistent_workers=True",
]
#: Four more processes, each of which imports the host: for the one that is imported fastest.
SPAWNED_ANEW = {"nnunet": "num_workers=2, multiprocessing_context='spawn'"}
#: An object that is brighter than all around it, so that an image shows where its mask must be.
DATA = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import samples
samples.name_missing_operators()
import numpy as np
images = np.random.default_rng(0).integers(40, 60, ({FRAMES}, 256, 256), np.uint8)
masks = np.zeros_like(images)
from sasaug.adapters._settings import STEPS
STEPS["sas"][1]["p"] = STEPS["jax"][1]["p"] = 1.0  # or half of the images would be left alone
for k in range({FRAMES}):
    masks[k, 30 + 10 * k : 170 + 10 * k, 20:160] = 1
images[masks > 0] += 150
"""


@pytest.mark.parametrize("page", HOSTS)
def test_the_loader_of_a_page(page, tmp_path):
    samples.host(HOSTS[page])
    file = ROOT / "docs" / "adapters" / f"{page}.md"
    if not file.exists():
        pytest.skip("the sources are not at hand")
    blocks = re.findall(r"^```python\n(.*?)^```", file.read_text(), re.S | re.M)
    code = "\n".join(block for block in blocks if "adapters.nnunet" not in block)
    before, loop = re.split(r"^(?=loader = DataLoader\()", code, flags=re.M)
    loop = loop.split("\n\n")[0]
    if page == "kornia":  # the seed is of the run, and the loader draws from it
        before = before.replace("torch.manual_seed(7)\n", "")
    (tmp_path / "page.py").write_text(DATA + before)
    (tmp_path / "loop.py").write_text(loop)
    runner = Path(__file__).with_name("page_runner.py")
    variants = [*WORKERS, *([SPAWNED_ANEW[page]] if page in SPAWNED_ANEW else [])]
    made = subprocess.run(
        [sys.executable, str(runner), str(tmp_path), *variants], capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    results = json.loads(made.stdout.splitlines()[-1])
    assert list(results) == variants
    for workers, run in results.items():
        assert len(set(run["images"])) == len(run["images"]) == 2 * FRAMES, workers
        assert run["bright inside"] > 0.97 and run["inside bright"] > 0.6, workers
    # the same for any workers. kornia's, which has no ids, is the run's order of draws, and
    # a persistent loader draws once and not at every epoch
    first = {}
    for workers, run in results.items():
        kind = page == "kornia" and "persistent" in workers
        assert run == first.setdefault(kind, run), workers
