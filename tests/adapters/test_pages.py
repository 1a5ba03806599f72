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
#: Spawned again for the second epoch: the host that is imported fastest, for all of them.
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


def run_variants(before, loop, variants, folder):
    """What page_runner.py prints of each; all images must differ, and masks lie on objects."""
    (folder / "page.py").write_text(DATA + before)
    (folder / "loop.py").write_text(loop)
    runner = Path(__file__).with_name("page_runner.py")
    made = subprocess.run(
        [sys.executable, str(runner), str(folder), *variants], capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    results = json.loads(made.stdout.splitlines()[-1])
    assert list(results) == variants
    for workers, run in results.items():
        assert len(set(run["images"])) == len(run["images"]) == 2 * FRAMES, workers
        assert run["bright inside"] > 0.97 and run["inside bright"] > 0.6, workers
    return results


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
    variants = [*WORKERS[:-1], SPAWNED_ANEW.get(page, WORKERS[-1])]
    results = run_variants(before, loop, variants, tmp_path)
    # the same for any workers. kornia's, which has no ids, is the run's order of draws, and
    # a persistent loader draws once and not at every epoch
    first = {}
    for workers, run in results.items():
        kind = page == "kornia" and "persistent" in workers
        assert run == first.setdefault(kind, run), workers


#: Where ``sasaug.torch`` augments: in a collator of the workers, or where the batch arrives. Of
#: each page: its file, its loader for the ids of one run, and what becomes of a batch.
OF_TORCH = {
    "torch": ("frameworks.md", "Frames(), collate_fn=collate", "batch"),
    "sam": ("adapters/sam.md", "Frames(), collate_fn=collate", "(batch[0][:, :1], batch[1])"),
    "huggingface": (
        "adapters/huggingface.md",
        "Frames(), collate_fn=collate",
        "(batch['pixel_values'], batch['labels'])",
    ),
    "lightning": ("adapters/lightning.md", "Frames()", "module.on_after_batch_transfer(batch, 0)"),
}


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=() if page == "huggingface" else pytest.mark.no_host)
        for page in OF_TORCH
    ],
)
def test_the_data_sets_and_collators_of_the_pages_of_torch(page, tmp_path):
    """Lightning and the Trainer make their loaders themselves, of these data sets and ids."""
    if page == "huggingface":
        samples.host("datasets")
    name, made_of, pair = OF_TORCH[page]
    file = ROOT / "docs" / name
    if not file.exists():
        pytest.skip("the sources are not at hand")
    code = re.findall(r"^```python\n(.*?)^```", file.read_text(), re.S | re.M)
    code = "\n".join(block for block in code if page != "torch" or "def collate" in block)
    code = re.split(r"^(?:loader|small|trainer) = ", code, flags=re.M)[0]
    # workers need nothing of these two, which take long to import
    code = re.sub(r"^(import lightning|from transformers .*)\n", "", code, flags=re.M)
    code = code.replace("lightning.LightningModule", "torch.nn.Module")
    code = re.sub(r"^class SASTrainer.*?\n\n\n", "", code, flags=re.S | re.M)
    before, count = re.subn(r"SAS\(canvas=\d+", "SAS(canvas=256, p=1.0", code)
    assert count == 1
    lines = [
        "module = Segmentation()" if page == "lightning" else "",
        f"loader = torch.utils.data.DataLoader({made_of}, batch_size=2,",
        "    sampler=SampleIds(len(images)), num_workers=2)",
        "for epoch in range(2):",
        "    for batch in loader:",
        f"        train_step(*{pair})",
    ]
    variants = [WORKERS[0], WORKERS[1], WORKERS[-1]]
    results = run_variants(before, "\n".join(lines), variants, tmp_path)
    assert all(run == results[variants[0]] for run in results.values())
