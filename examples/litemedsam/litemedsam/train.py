"""One job: fine-tune a model with clicks or boxes, and keep what a resumed run needs.

Lightning Fabric moves it to GPUs, precisions and machines. The images do not depend on how many
ranks there are: a sample id names each, and every rank takes its share of the epoch's ids.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from lightning.fabric.loggers import TensorBoardLogger
from monai.losses import DiceCELoss
from rich.progress import Progress
from torch import Tensor, nn

from litemedsam.clicks import RULES, bounding_box, next_click
from litemedsam.data.batches import Loaders


@dataclass(frozen=True)
class Recipe:
    """How to train; the defaults are the paper's (section 3)."""

    epochs: int = 100  # at most
    batch_size: int = 8  # over all ranks
    learning_rate: float = 5e-5
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.01
    patience: int = 5  # epochs without a better validation loss
    clicks: int = 8
    rule: str = RULES[0]
    prompt: str = "click"  # or "box"
    box_shift: int = 5  # pixels by which each side of a box may be off in training
    freeze_encoder: bool = False
    seed: int = 0
    precision: str = "32-true"

    def __post_init__(self) -> None:
        if self.prompt not in ("click", "box"):
            raise ValueError(f'prompt must be "click" or "box", got {self.prompt!r}')
        if self.rule not in RULES:
            raise ValueError(f"rule must be one of {RULES}, got {self.rule!r}")
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate must be a finite number > 0, got {self.learning_rate}")
        for name in ("epochs", "batch_size", "patience", "clicks"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


@dataclass
class State:
    """Where a run stands: all that is kept beside weights and optimizer."""

    epoch: int = 0  # the next one
    best_loss: float = float("inf")
    best_dice: float = -1.0
    waited: int = 0  # epochs since the best loss
    history: list[dict[str, float]] = field(default_factory=list)


class Prompted(nn.Module):
    """A model and its user: one forward is the whole dialogue about a batch.

    As one module, so that gradients of several ranks are summed once per batch.
    """

    def __init__(self, model: nn.Module, recipe: Recipe) -> None:
        super().__init__()
        self.model, self.recipe = model, recipe
        self.loss = DiceCELoss(sigmoid=True)

    def train(self, mode: bool = True) -> Prompted:
        super().train(mode)
        if self.recipe.freeze_encoder:
            self.model.image_encoder.eval()  # its batch statistics are frozen too
        return self

    def forward(
        self, images: Tensor, masks: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Loss, the mean over the clicks, and the last prediction [b 1 h w] as logits."""
        target = masks[:, None].float()
        embedding = self.model.encode(images)
        if self.recipe.prompt == "box":
            boxes = self.shifted(bounding_box(masks.bool()), masks.shape[-1], generator)
            logits, _ = self.model.decode(embedding, boxes=boxes)
            return self.loss(logits.float(), target), logits
        losses: list[Tensor] = []
        xys: list[Tensor] = []
        labels: list[Tensor] = []
        prediction = None
        feedback: dict[str, Tensor] = {}
        for _ in range(self.recipe.clicks):
            xy, label = next_click(
                masks.bool(), prediction, rule=self.recipe.rule, generator=generator
            )
            xys.append(xy)
            labels.append(label)
            points = torch.stack(xys, 1), torch.stack(labels, 1)
            logits, _ = self.model.decode(embedding, points=points, **feedback)
            losses.append(self.loss(logits.float(), target))
            prediction = logits.detach()[:, 0] > 0
            if getattr(self.model, "takes_previous_mask", False):
                feedback = {"masks": logits.detach()}
        return torch.stack(losses).mean(), logits

    def shifted(self, boxes: Tensor, size: int, generator: torch.Generator) -> Tensor:
        """Boxes as a hasty user draws them: up to ``box_shift`` pixels too large, in training."""
        if not self.training or self.recipe.box_shift == 0:
            return boxes
        shift = torch.randint(0, self.recipe.box_shift + 1, boxes.shape, generator=generator)
        outward = torch.tensor([-1, -1, 1, 1])
        return (boxes + (shift * outward).to(boxes)).clamp(0, size - 1)


def dice(logits: Tensor, masks: Tensor) -> Tensor:
    """Dice of each prediction [b]; two empty ones agree."""
    prediction, target = logits[:, 0] > 0, masks.bool()
    both = (prediction & target).flatten(1).sum(1)
    sizes = prediction.flatten(1).sum(1) + target.flatten(1).sum(1)
    return torch.where(sizes > 0, 2 * both / sizes.clamp(min=1), 1.0)


def engine(
    precision: str = "32-true", accelerator: str = "auto", devices: int = 1, nodes: int = 1
) -> Fabric:
    """Fabric, launched; under ``torchrun`` it takes its place among the processes."""
    # prompts that are not given leave their parameters without a gradient
    strategy = "ddp_find_unused_parameters_true" if devices * nodes > 1 else "auto"
    fabric = Fabric(
        accelerator=accelerator, devices=devices, num_nodes=nodes, precision=precision,
        strategy=strategy,
    )  # fmt: skip
    fabric.launch()
    return fabric


def train(
    model: nn.Module,
    loaders: Loaders,
    out: Path,
    recipe: Recipe,
    *,
    fabric: Fabric | None = None,
    resume: bool = False,
    describe: dict[str, Any] | None = None,
) -> State:
    """Train until the validation loss has not improved for ``recipe.patience`` epochs.

    ``out`` gets ``best.pt`` (the weights of the best validation Dice), ``last.pt`` (all that
    ``resume=True`` needs to reach the same losses), ``log.csv`` and TensorBoard's files.

    Raises
    ------
    FileExistsError
        If ``out`` holds a run already and is not to be resumed.
    ValueError
        If it is to be resumed with another recipe.
    """
    out = Path(out)
    fabric = fabric or engine(recipe.precision)
    last = out / "last.pt"
    if last.exists() and not resume:
        raise FileExistsError(f"out must be a new folder, or resume=True, got {out}")
    out.mkdir(parents=True, exist_ok=True)
    if recipe.freeze_encoder:
        model.image_encoder.requires_grad_(False)

    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        trained, recipe.learning_rate, recipe.betas, weight_decay=recipe.weight_decay
    )
    dialogue, optimizer = fabric.setup(Prompted(model, recipe), optimizer)
    state = State()
    if last.exists():
        state = restore(fabric, last, dialogue, optimizer, recipe)
    board = TensorBoardLogger(out, name="", version="tensorboard")

    while state.epoch < recipe.epochs and state.waited < recipe.patience:
        epoch = state.epoch
        mean = run_epoch(fabric, dialogue, optimizer, loaders.train(epoch), recipe, epoch)
        val_loss, val_dice = validate(fabric, dialogue, loaders.validation(), recipe)
        row = {"epoch": epoch, "loss": mean, "val_loss": val_loss, "val_dice": val_dice}
        state.history.append(row)
        state.epoch += 1
        state.waited = 0 if val_loss < state.best_loss else state.waited + 1
        state.best_loss = min(val_loss, state.best_loss)
        best = val_dice > state.best_dice
        state.best_dice = max(val_dice, state.best_dice)
        if fabric.is_global_zero:
            if best:
                save(out / "best.pt", {"model": model.state_dict(), **(describe or {}), **row})
            save(
                last,
                {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "state": asdict(state),
                    "recipe": asdict(recipe),
                },
            )
            write_log(out / "log.csv", state.history)
            board.log_metrics({k: v for k, v in row.items() if k != "epoch"}, epoch)
            fabric.print(json.dumps(row))
        fabric.barrier()
    board.finalize("success")
    return state


def run_epoch(
    fabric: Fabric,
    dialogue: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[tuple[Tensor, Tensor, Any]],
    recipe: Recipe,
    epoch: int,
) -> float:
    """One pass; the mean loss over all ranks."""
    dialogue.train()
    total = torch.zeros(2, device=fabric.device)
    # the clicks of an epoch can be drawn again: a resumed run makes the same ones
    generator = torch.Generator().manual_seed(
        (recipe.seed * 1_000_003 + epoch) * 1_009 + fabric.global_rank
    )
    for images, masks, _ in progress(fabric, batches, f"epoch {epoch}"):
        optimizer.zero_grad()
        loss, _ = dialogue(fabric.to_device(images), fabric.to_device(masks), generator)
        fabric.backward(loss)
        optimizer.step()
        total += torch.stack([loss.detach() * len(images), torch.tensor(len(images)).to(loss)])
    return mean_over_ranks(fabric, total)[0]


@torch.no_grad()
def validate(
    fabric: Fabric,
    dialogue: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor, Any]],
    recipe: Recipe,
) -> tuple[float, float]:
    """Mean loss, and mean Dice after the last click, over all ranks."""
    dialogue.eval()
    total = torch.zeros(3, device=fabric.device)
    generator = torch.Generator().manual_seed(recipe.seed)
    for images, masks, _ in batches:
        images, masks = fabric.to_device(images), fabric.to_device(masks)
        loss, logits = dialogue(images, masks, generator)
        n = len(images)
        scores = dice(logits, masks).sum()
        total += torch.stack([loss * n, scores.to(loss), torch.tensor(n).to(loss)])
    mean_loss, mean_dice = mean_over_ranks(fabric, total)
    return mean_loss, mean_dice


def mean_over_ranks(fabric: Fabric, total: Tensor) -> list[float]:
    """Sums, the last of which counts the samples, to means."""
    total = fabric.all_reduce(total, reduce_op="sum")
    if total[-1] == 0:
        raise ValueError("loaders must give at least one batch, got none")
    return (total[:-1] / total[-1]).tolist()


def progress(fabric: Fabric, batches: Iterable[Any], title: str) -> Iterator[Any]:
    """The batches, with a bar on the first rank's terminal."""
    with Progress(disable=not fabric.is_global_zero, transient=True) as bar:
        total = len(batches) if hasattr(batches, "__len__") else None
        yield from bar.track(batches, total=total, description=title)


def save(path: Path, content: dict[str, Any]) -> None:
    """Whole or not at all: a killed run leaves the file that was there."""
    partial = path.with_suffix(".partial")
    torch.save(content, partial)
    os.replace(partial, path)


def restore(
    fabric: Fabric, path: Path, dialogue: nn.Module, optimizer: Any, recipe: Recipe
) -> State:
    content = torch.load(path, map_location="cpu", weights_only=True)
    # a run may be given more epochs, nothing else
    before = {**content["recipe"], "epochs": recipe.epochs}
    now = json.loads(json.dumps(asdict(recipe)))
    if json.loads(json.dumps(before)) != now:
        changed = sorted(
            name for name in now if json.loads(json.dumps(before)).get(name) != now[name]
        )
        raise ValueError(f"recipe must be that of the run to resume, got another {changed}")
    dialogue.module.model.load_state_dict(content["model"])
    optimizer.load_state_dict(content["optimizer"])
    return State(**content["state"])


def write_log(path: Path, history: list[dict[str, float]]) -> None:
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, history[0].keys())
        writer.writeheader()
        writer.writerows(history)
    os.replace(partial, path)
