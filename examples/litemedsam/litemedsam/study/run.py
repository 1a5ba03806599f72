"""One job: make one base, or one run of a plan: train, test, and return every case's scores."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn

from ..data.batches import Augment
from ..evaluate import interact
from ..model import CONFIGS, build
from ..train import Prompted, Recipe, dice
from .consistency import Consistency
from .plan import Arm, Plan, Run, Setting
from .samples import Samples, Stream, load

TEST_BATCH = 16
LEAST_RATE = 0.05  # of the learning rate, at the end of the cosine
#: Added to a run's seed for the first weights of a decoder, so that images and weights differ.
WEIGHTS_SEED = 1_000_000


@dataclass(frozen=True)
class CaseScore:
    """Dice of one case after 1, 2, ... clicks."""

    test_set: str
    case: str
    small: bool
    dice: tuple[float, ...]


def make_base(
    plan: Plan, name: str, root: Path, before: Mapping[str, Tensor] | None
) -> dict[str, Tensor]:
    """Train a base, from the weights of the one before it if there is one; its state dict."""
    setting = plan.bases[name]
    model = new_model(setting, seed=0)
    if before is not None:
        model.load_state_dict(before)
    fit(model, setting, plan, root, Arm(usual=True), seed=0)
    return model.state_dict()


def start(plan: Plan, run: Run, base: Mapping[str, Tensor] | None) -> nn.Module:
    """Return the model that a run starts from, with the weights of its base if it has one."""
    model = new_model(plan.settings[run.setting], run.seed)
    if base is not None:
        model.load_state_dict(base)
    return model


def make_run(plan: Plan, run: Run, model: nn.Module, root: Path) -> list[CaseScore]:
    """Fine-tune a model from its start, in place, and test it."""
    setting = plan.settings[run.setting]
    fit(
        model, setting, plan, root, plan.arms[run.arm],
        seed=run.seed, learning_rate=run.learning_rate, steps=run.steps,
    )  # fmt: skip
    scores = []
    for name in (*setting.test, *setting.held_out):
        samples = load(root, plan.data[name])
        scores += score_cases(model, name, samples, setting)
    return scores


def new_model(setting: Setting, seed: int) -> nn.Module:
    """Return the setting's model, its decoder's first weights drawn from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + WEIGHTS_SEED)
        return build(setting.config)


def fit(
    model: nn.Module,
    setting: Setting,
    plan: Plan,
    root: Path,
    arm: Arm,
    *,
    seed: int,
    learning_rate: float | None = None,
    steps: int | None = None,
) -> None:
    """Train for so many steps with AdamW: a linear warm-up, then a cosine."""
    steps = setting.steps if steps is None else steps
    peak = setting.learning_rate if learning_rate is None else learning_rate
    samples = merged(root, plan, setting.train)
    rehearsal = merged(root, plan, setting.rehearsal) if arm.rehearsal else None
    stream = Stream(
        samples, arm, canvas=CONFIGS[setting.config].image_size,
        batch_size=setting.batch_size, seed=seed, rehearsal=rehearsal,
    )  # fmt: skip
    dialogues = [
        Prompted(model, Recipe(clicks=setting.clicks, prompt=prompt)) for prompt in setting.prompts
    ]
    consistency = None
    if arm.consistency:
        consistency = Consistency(
            merged(root, plan, setting.unlabelled), arm, canvas=CONFIGS[setting.config].image_size,
            batch_size=setting.batch_size, seed=seed,
        )  # fmt: skip
    optimizer = torch.optim.AdamW(
        model.parameters(), peak, weight_decay=Recipe.weight_decay, fused=True
    )
    generator = torch.Generator().manual_seed(seed)
    model.train()
    for step, (images, masks, _) in enumerate(islice(stream, steps)):
        for group in optimizer.param_groups:
            group["lr"] = peak * rate(step, steps, setting.warm_up)
        optimizer.zero_grad()
        loss, _ = dialogues[step % len(dialogues)](images, masks, generator)
        loss.backward()
        guessed = consistency.batch(model, generator) if consistency else None
        if guessed is not None:
            loss, _ = dialogues[step % len(dialogues)](guessed.images, guessed.masks, generator)
            loss.backward()
        optimizer.step()
    model.eval()


def rate(step: int, steps: int, warm_up: float) -> float:
    """Return the share of the learning rate at a step."""
    rise = max(1, round(warm_up * steps))
    if step < rise:
        return (step + 1) / rise
    turn = (step - rise) / max(1, steps - rise)
    return LEAST_RATE + (1 - LEAST_RATE) * (1 + math.cos(math.pi * turn)) / 2


def merged(root: Path, plan: Plan, names: tuple[str, ...]) -> Samples:
    """Return the samples of several data, one after the other."""
    if not names:
        raise ValueError("an arm with rehearsal or consistency must have data for it, got none")
    return Samples.joined([load(root, plan.data[name]) for name in names])


def score_cases(model: nn.Module, name: str, samples: Samples, setting: Setting) -> list[CaseScore]:
    """Score every case after each click, each at the deepest error, or after its box."""
    augment = Augment("none", canvas=CONFIGS[setting.config].image_size)
    model.eval()
    scores = []
    for first in range(0, len(samples), TEST_BATCH):
        ids = range(first, min(first + TEST_BATCH, len(samples)))
        images, masks, _ = augment.collate([samples[k] for k in ids])
        masks = masks.bool()
        steps = interact(
            model, images, masks, prompt=setting.test_prompt, clicks=setting.test_clicks
        )
        values = torch.stack([dice(step.prediction[:, None].float(), masks) for step in steps], 1)
        for k, row in zip(ids, values.tolist(), strict=True):
            case = samples.cases[k]
            scores.append(CaseScore(name, case.name, bool(case.small), tuple(row)))
    return scores


def digest(state: Mapping[str, Tensor]) -> str:
    """Twelve hexadecimal digits of a state dict's names and bytes."""
    result = blake2b(digest_size=6)
    for name in sorted(state):
        result.update(name.encode())
        result.update(state[name].detach().cpu().contiguous().numpy().tobytes())
    return result.hexdigest()


def machine() -> str:
    """Return what decides the bits of a result: processor, its instructions, and torch."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":", 1)[1].strip() if names else model
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{model}, {capability}, torch {torch.__version__}"
