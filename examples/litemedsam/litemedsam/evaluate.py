"""One job: score a model on test sets, click by click.

The paper's protocol (section 2.3): each image is encoded once; every further click lies where the
prediction so far is most wrong, and the mask is decoded again from all clicks so far.
"""

from __future__ import annotations

import csv
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from monai.metrics import compute_dice, compute_surface_dice
from rich.progress import track
from torch import Tensor

from .clicks import bounding_box, next_click

PROMPTS = ("click", "box")


class Model(Protocol):
    """What is scored."""

    def encode(self, images: Tensor) -> Tensor:
        """Embedding [b c e e] of images float32 [b 3 s s] in [0, 1]."""

    def decode(
        self, embedding: Tensor, points: tuple[Tensor, Tensor] | None, boxes: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Logits [b 1 s s] and expected IoU [b 1], from points, boxes [b 4] or both.

        A model whose ``takes_previous_mask`` is true is also given ``masks``, its last logits.
        """


class Case(Protocol):
    """What is read of a ``data.Case``; area and small are of the original image."""

    name: str
    group: str
    small: bool | None
    area: float | None


Batch = tuple[Tensor, Tensor, Sequence[Case]]


@dataclass(frozen=True)
class Row:
    """One case after so many clicks, or after its box (0 clicks).

    Area is a share [0, 1] of the original image; tolerance, of NSD, is in pixels of the canvas;
    Dice and NSD are in [0, 1].
    """

    test_set: str
    case: str
    group: str
    small: bool
    area: float
    prompt: str
    rule: str
    clicks: int
    tolerance: float
    dice: float
    nsd: float


class Step(NamedTuple):
    """A prediction, bool [b h w], and the clicks it was made from: xy [b k 2], labels [b k]."""

    prediction: Tensor
    xy: Tensor
    labels: Tensor


@torch.inference_mode()
def interact(
    model: Model,
    images: Tensor,
    masks: Tensor,
    *,
    prompt: str = "click",
    clicks: int = 8,
    rule: str = "deepest",
    generator: torch.Generator | None = None,
    border_is_boundary: bool = True,
) -> Iterator[Step]:
    """Play the user: one step per click, or a single one for the box of the true mask.

    Parameters
    ----------
    images : float32 [b 3 h w] in [0, 1]
    masks : bool [b h w], on the images' device
    prompt : one of ``PROMPTS``
    rule, generator, border_is_boundary : of ``clicks.next_click``
    """
    if prompt not in PROMPTS:
        raise ValueError(f"prompt must be one of {PROMPTS}, got {prompt!r}")
    if clicks < 1:
        raise ValueError(f"clicks must be at least 1, got {clicks}")
    embedding = model.encode(images)
    xy = torch.zeros(len(masks), 0, 2, device=masks.device)
    labels = torch.zeros(len(masks), 0, dtype=torch.int64, device=masks.device)
    if prompt == "box":
        logits, _ = model.decode(embedding, points=None, boxes=bounding_box(masks))
        yield Step(logits[:, 0] > 0, xy, labels)
        return
    prediction = torch.zeros_like(masks)
    feedback: dict[str, Tensor] = {}
    how = {"rule": rule, "generator": generator, "border_is_boundary": border_is_boundary}
    for _ in range(clicks):
        place, label = next_click(masks, prediction, **how)
        xy, labels = torch.cat([xy, place[:, None]], 1), torch.cat([labels, label[:, None]], 1)
        logits, _ = model.decode(embedding, points=(xy, labels), boxes=None, **feedback)
        if getattr(model, "takes_previous_mask", False):
            feedback = {"masks": logits}
        # a user who finds nothing wrong does not click, and keeps what is there
        finished = (label == -1)[:, None, None]
        prediction = torch.where(finished, prediction, logits[:, 0] > 0)
        yield Step(prediction, xy, labels)


def score(prediction: Tensor, mask: Tensor, tolerance: float = 2.0) -> tuple[Tensor, Tensor]:
    """Dice and normalised surface Dice (NSD) of each sample: float32 [b] in [0, 1], on the CPU.

    NSD is MONAI's: of the boundary pixels of both masks together, the share that lies within
    ``tolerance`` of the other mask's boundary. Boundary pixels belong to the mask and touch, by an
    edge, a pixel outside it or the border of the canvas; distances are Euclidean, between centres.
    An empty prediction has Dice 0 and NSD 0, an empty mask has none: it is an error.

    Parameters
    ----------
    prediction, mask : bool [b h w]
    tolerance : in pixels of the canvas, >= 0
    """
    if not mask.flatten(1).any(1).all():
        raise ValueError("an empty mask has neither Dice nor NSD")
    prediction, mask = prediction[:, None].cpu(), mask[:, None].cpu()
    dice = compute_dice(prediction, mask, include_background=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the prediction of class .* is all 0")
        warnings.filterwarnings("ignore", ".*always_return_as_numpy", FutureWarning)  # MONAI's own
        nsd = compute_surface_dice(prediction, mask, [tolerance], include_background=True)
    return dice[:, 0], nsd[:, 0]


def evaluate(
    model: Model,
    batches: Iterable[Batch],
    test_set: str,
    *,
    clicks: int = 8,
    rule: str = "deepest",
    prompt: str = "click",
    tolerance: float = 2.0,
    device: str | torch.device = "cpu",
    border_is_boundary: bool = True,
    seed: int = 0,
    progress: bool = True,
) -> list[Row]:
    """Rows of every case after 1, 2, ... ``clicks`` clicks, or of every case after its box.

    Parameters
    ----------
    model : in evaluation mode, on ``device``
    batches : of (images float32 [b 3 s s] in [0, 1], masks uint8 [b s s] of 0 and 1, cases)
    test_set : its name, in every row
    tolerance : of NSD, in pixels of the canvas
    seed : for the rules that draw their clicks; "deepest" draws nothing
    """
    generator = torch.Generator().manual_seed(seed)
    how = {
        "prompt": prompt,
        "clicks": clicks,
        "rule": rule,
        "generator": generator,
        "border_is_boundary": border_is_boundary,
    }
    shared = {"test_set": test_set, "prompt": prompt, "tolerance": tolerance}
    shared["rule"] = rule if prompt == "click" else ""
    rows = []
    for images, masks, cases in track(batches, f"{test_set}, {prompt}", disable=not progress):
        masks = masks.bool()
        _check_batch(test_set, masks, cases)
        for step in interact(model, images.to(device), masks.to(device), **how):
            scores = score(step.prediction, masks, tolerance)
            for case, dice, nsd in zip(cases, *(each.tolist() for each in scores), strict=True):
                rows.append(
                    Row(
                        case=case.name,
                        group=case.group,
                        small=case.small,
                        area=case.area,
                        clicks=step.labels.shape[1],
                        dice=dice,
                        nsd=nsd,
                        **shared,
                    )
                )
    return rows


def _check_batch(test_set: str, masks: Tensor, cases: Sequence[Case]) -> None:
    for case, full in zip(cases, masks.flatten(1).any(1).tolist(), strict=True):
        if not full:
            raise ValueError(
                f"{test_set}: {case.name}: an empty mask can be neither hit nor scored"
            )
        if case.small is None or case.area is None:
            raise ValueError(
                f"{test_set}: {case.name}: area and small must be known: prepare first"
            )


def evaluate_run(
    model: Model,
    test_sets: Mapping[str, Iterable[Batch]],
    folder: str | Path,
    *,
    force: bool = False,
    **options: Any,
) -> list[Path]:
    """Evaluate one run on several test sets: one CSV file each, ``<test set>_<prompt>.csv``.

    A file appears only when it is complete; one that exists is kept unless ``force``, so that a run
    that was cut off is resumed where it stopped. A folder belongs to one model.

    Parameters
    ----------
    test_sets : batches by name
    options : of ``evaluate``
    """
    prompt = options.get("prompt", "click")
    paths = []
    for test_set, batches in test_sets.items():
        path = Path(folder) / f"{test_set}_{prompt}.csv"
        if force or not path.exists():
            write_csv(evaluate(model, batches, test_set, **options), path)
        else:
            _check_kept(path, len(getattr(batches, "dataset", ())), **options)
        paths.append(path)
    return paths


def _check_kept(
    path: Path,
    cases: int,
    *,
    clicks: int = 8,
    rule: str = "deepest",
    prompt: str = "click",
    tolerance: float = 2.0,
    **_: Any,
) -> None:
    """A kept file must answer what is asked now: other settings would be mixed unseen."""
    rows = read_rows(path)
    held = {
        "clicks": max(row.clicks for row in rows),
        "rule": rows[0].rule,
        "tolerance": rows[0].tolerance,
        "cases": len({row.case for row in rows}),
    }
    asked = {"clicks": clicks, "rule": rule, "tolerance": tolerance, "cases": cases}
    if prompt == "box":
        asked |= {"clicks": 0, "rule": ""}
    if not cases:  # only a loader with a data set knows
        asked["cases"] = held["cases"]
    if held != asked:
        raise ValueError(
            f"{path} holds {held}, asked for {asked}: evaluate with force, or elsewhere"
        )


def write_csv(records: Sequence[Any], path: str | Path) -> None:
    """Write records of one dataclass, so that the file is either complete or not there."""
    if not records:
        raise ValueError(f"nothing to write to {path}")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(unfinished, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(records[0])])
            writer.writeheader()
            writer.writerows({name: _text(v) for name, v in asdict(r).items()} for r in records)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _text(value: object) -> object:
    if isinstance(value, bool):
        return int(value)
    return f"{value:.6g}" if isinstance(value, float) else value


def read_rows(path: str | Path) -> list[Row]:
    """Rows of one CSV file, or of every CSV file of a run's folder."""
    path = Path(path)
    files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    rows = []
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"no results at {file}: evaluate this run first")
        with open(file, newline="", encoding="utf-8") as lines:
            reader = csv.DictReader(lines)
            if reader.fieldnames != [field.name for field in fields(Row)]:
                raise ValueError(
                    f"{file} must be a table of this evaluation, got columns {reader.fieldnames}"
                )
            rows += [_row(record) for record in reader]
    if not rows:
        raise FileNotFoundError(f"no results in {path}: evaluate this run first")
    return rows


def _row(record: Mapping[str, str]) -> Row:
    parsed: dict[str, Any] = dict(record)
    parsed |= {name: float(record[name]) for name in ("area", "tolerance", "dice", "nsd")}
    parsed |= {"small": record["small"] == "1", "clicks": int(record["clicks"])}
    return Row(**parsed)
