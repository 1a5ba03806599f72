"""Training: the same losses after a resume, the same pictures for any number of ranks."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from litemedsam import train as training
from litemedsam.data.batches import Augment, Loaders
from litemedsam.data.cases import read_manifest
from litemedsam.demo import write
from litemedsam.model import CONFIGS, LiteMedSAM
from litemedsam.train import Prompted, Recipe, dice

ROOT = Path(__file__).resolve().parents[1]
SIZE = CONFIGS["tiny"].image_size
QUICK = {"epochs": 2, "batch_size": 4, "clicks": 2, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Bright discs on noise: easy enough to be learned in a few steps."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:48, :48]
    cases = []
    for _ in range(12):
        cx, cy, r = *rng.integers(16, 32, 2), rng.integers(7, 14)
        mask = (x - cx) ** 2 + (y - cy) ** 2 < r**2
        image = np.clip(rng.normal(60, 20, mask.shape) + 120 * mask, 0, 255).astype(np.uint8)
        cases.append((image, mask, float(mask.mean())))
    out = tmp_path_factory.mktemp("discs") / "discs"
    write(out, cases)
    return out


def loaders(folder: Path, **options) -> Loaders:
    cases = read_manifest(folder)
    return Loaders(
        cases[:8], cases[8:], Augment("both", canvas=SIZE, p=1.0), batch_size=4, **options
    )


def fit(folder: Path, out: Path, resume: bool = False, **changes) -> tuple[LiteMedSAM, list[dict]]:
    recipe = Recipe(**{**QUICK, **changes})
    torch.manual_seed(0)
    model = LiteMedSAM(CONFIGS["tiny"])
    fabric = training.engine(accelerator="cpu")
    training.train(model, loaders(folder), out, recipe, fabric=fabric, resume=resume)
    with (out / "log.csv").open() as file:
        return model, list(csv.DictReader(file))


def test_a_resumed_run_has_the_same_losses(folder, tmp_path):
    model, whole = fit(folder, tmp_path / "whole")
    fit(folder, tmp_path / "halved", epochs=1)
    resumed, log = fit(folder, tmp_path / "halved", resume=True)
    assert log == whole and len(log) == 2
    for name, value in model.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_training_learns(folder, tmp_path):
    _, log = fit(folder, tmp_path, epochs=12, patience=12, learning_rate=3e-3)
    losses = [float(row["loss"]) for row in log]
    assert min(losses[-3:]) < 0.8 * losses[0]


def test_what_a_run_keeps(folder, tmp_path):
    model, log = fit(folder, tmp_path)
    best = torch.load(tmp_path / "best.pt", weights_only=True)
    assert best["val_dice"] == max(float(row["val_dice"]) for row in log)
    assert best["model"].keys() == model.state_dict().keys()
    assert list((tmp_path / "tensorboard").iterdir()) and not list(tmp_path.glob("*.partial"))
    with pytest.raises(FileExistsError, match="out must be a new folder, or resume=True"):
        fit(folder, tmp_path)
    with pytest.raises(ValueError, match=r"recipe must be that of the run to resume.*clicks"):
        fit(folder, tmp_path, resume=True, clicks=3)


def test_a_killed_save_leaves_the_last_one(tmp_path, monkeypatch):
    path = tmp_path / "last.pt"
    training.save(path, {"epoch": 1})

    def killed(content, file):
        Path(file).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        training.save(path, {"epoch": 2})
    assert torch.load(path, weights_only=True) == {"epoch": 1}


def test_stops_when_validation_gets_no_better(folder, tmp_path):
    _, log = fit(folder, tmp_path, epochs=9, patience=2, learning_rate=1e-12)
    assert len(log) < 9
    losses = [float(row["val_loss"]) for row in log]
    assert min(losses[-2:]) >= min(losses[:-2])


def test_a_frozen_encoder_stays(folder, tmp_path):
    torch.manual_seed(0)
    before = {k: v.clone() for k, v in LiteMedSAM(CONFIGS["tiny"]).state_dict().items()}
    model, _ = fit(folder, tmp_path, epochs=1, freeze_encoder=True)
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert changed and not any(name.startswith("image_encoder") for name in changed)


class TakesAll(torch.nn.Module):
    """A model that predicts the whole image, and notes what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.image_encoder = torch.nn.Identity()
        self.bias = torch.nn.Parameter(torch.ones(()))
        self.asked: list[tuple] = []

    def encode(self, images):
        return images

    def decode(self, embedding, points=None, boxes=None):
        self.asked.append(points)
        return self.bias.expand(len(embedding), 1, *embedding.shape[-2:]), self.bias


def test_a_dialogue_keeps_its_clicks_and_answers_the_prediction():
    model, masks = TakesAll(), torch.zeros(2, 32, 32, dtype=torch.uint8)
    masks[:, 8:20, 8:20] = 1
    dialogue = Prompted(model, Recipe(clicks=3))
    dialogue(torch.zeros(2, 3, 32, 32), masks, torch.Generator().manual_seed(0))
    (first, _), (second, _), (third, labels) = model.asked
    assert [points.shape for points in (first, second, third)] == [(2, k, 2) for k in (1, 2, 3)]
    assert torch.equal(third[:, :1], first) and torch.equal(third[:, :2], second)
    assert labels.tolist() == [[1, 0, 0]] * 2  # all was predicted: what is left is too much
    for k, label in enumerate((1, 0, 0)):
        x, y = third[:, k].long().T
        assert (masks[range(2), y, x] == label).all()


@pytest.mark.parametrize("prompt", ["click", "box"])
def test_gradients_reach_the_whole_model(folder, prompt):
    model = LiteMedSAM(CONFIGS["tiny"])
    dialogue = Prompted(model, Recipe(**QUICK, prompt=prompt))
    images, masks, _ = next(iter(loaders(folder).train(0)))
    loss, _ = dialogue(images, masks, torch.Generator())
    loss.backward()
    for part in (model.image_encoder, model.prompt_encoder, model.mask_decoder):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())


def test_shifted_boxes_hold_the_structure():
    dialogue = Prompted(LiteMedSAM(CONFIGS["tiny"]), Recipe(prompt="box", box_shift=5))
    boxes = torch.tensor([[20.0, 21.0, 30.0, 32.0]]).repeat(500, 1)
    shifted = dialogue.shifted(boxes, 64, torch.Generator().manual_seed(0))
    delta = (shifted - boxes) * torch.tensor([-1, -1, 1, 1])
    assert delta.min() == 0 and delta.max() == 5
    assert torch.equal(dialogue.eval().shifted(boxes, 64, torch.Generator()), boxes)
    assert dialogue.train().shifted(
        torch.tensor([[0.0, 0, 63, 63]]), 64, torch.Generator()
    ).tolist() == [[0, 0, 63, 63]]


def test_dice():
    masks = torch.zeros(3, 4, 4, dtype=torch.bool)
    masks[0, :2] = masks[1, :2] = True
    logits = torch.full((3, 1, 4, 4), -1.0)
    logits[0, 0, 1:3] = 1.0
    assert dice(logits, masks).tolist() == [0.5, 0.0, 1.0]


def test_ranks_share_an_epochs_pictures(folder):
    def pictures(**share):
        batches = loaders(folder, **share).train(3)
        return {
            id: image.numpy().tobytes()
            for images, _, ids in batches
            for image, id in zip(images, ids.tolist(), strict=True)
        }

    alone = pictures()
    parts = [pictures(rank=rank, ranks=2) for rank in range(2)]
    assert parts[0] | parts[1] == alone and not parts[0].keys() & parts[1].keys()


def test_two_processes(folder, tmp_path):
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"),
        *("-m", "litemedsam", "train", str(folder), "--out", str(tmp_path / "run")),
        *("--config", "tiny", "--epochs", "1", "--clicks", "2", "--batch-size", "4"),
        *("--accelerator", "cpu", "--devices", "2", "--workers", "0", "--validation", "0.35"),
    ]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert run.returncode == 0, run.stderr[-2000:]
    with (tmp_path / "run" / "log.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert all(np.isfinite(float(value)) for value in row.values())


@pytest.mark.parametrize(
    "wrong", [{"prompt": "text"}, {"rule": "any"}, {"clicks": 0}, {"batch_size": 0}]
)
def test_recipes_are_checked(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        Recipe(**wrong)
