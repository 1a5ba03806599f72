"""One job: read a plan of runs from a TOML file.

A plan has named ``data`` (which cases of a prepared folder), ``bases`` (how the weights to start
from are made), ``settings`` (how to fine-tune, and on which cases to test), ``arms`` (what is done
to the training images), and ``blocks``, which cross them: the runs, in the order in which they are
made.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

#: The regime whose runs start from the encoder's ImageNet weights and a new decoder.
NO_BASE = "none"


@dataclass(frozen=True)
class Data:
    """Some cases of a prepared folder.

    Attributes
    ----------
    folder : name of the prepared folder
    part : "all", or "fit" or "held_out", of a split by patient with ``fit_share``
    per_image : at most so many structures of an image, spread evenly; 0: all
    least_area, most_area : share of the original image that a structure covers, in [0, 1]
    number : at most so many cases of each size (small, large), spread evenly; 0: all
    """

    folder: str
    part: str = "all"
    fit_share: float = 0.8
    per_image: int = 0
    least_area: float = 0.0
    most_area: float = 1.0
    number: int = 0


@dataclass(frozen=True)
class Setting:
    """How a model is trained, and on what it is tested.

    Attributes
    ----------
    config : name of the model
    train : names of the data to train on
    test : names of the data to test on; none for a base
    held_out : names of further data to test on, of the kind trained on: no part of an effect
    prompts : "click" or "box", in turn
    test_prompt : "click", or "box": a single prediction
    clicks, test_clicks : of a training step and of a test
    steps, batch_size, learning_rate
    warm_up : share of the steps in which the learning rate rises; it then falls as a cosine to 5 %
    start : name of the base that a base is trained on from; none: the encoder's ImageNet weights
    rehearsal : names of the data that an arm with rehearsal mixes in
    unlabelled : names of the data, without their masks, of an arm with a consistency loss
    """

    config: str
    train: tuple[str, ...]
    test: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ("click",)
    test_prompt: str = "click"
    clicks: int = 3
    test_clicks: int = 8
    steps: int = 200
    batch_size: int = 4
    learning_rate: float = 5e-4
    warm_up: float = 0.1
    start: str = NO_BASE
    rehearsal: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()


@dataclass(frozen=True)
class Arm:
    """What is done to the training images.

    Attributes
    ----------
    sas : mode of ``data.batches.Augment``; scale, strength, p and apply_to are its parameters
    usual : flips, rotation, scale and gamma before it
    grain : side, in pixels of the canvas, over which noise is smoothed; 1: not at all
    rehearsal : share [0, 1] of each batch that comes from the setting's ``rehearsal``
    consistency : mode of ``Augment`` for the strong view of the setting's ``unlabelled``; "": no
        consistency loss
    """

    sas: str = "none"
    scale: tuple[float, float] = (0.25, 1.0)
    strength: float = 1.0
    p: float = 0.5
    apply_to: str = "large"
    usual: bool = False
    grain: int = 1
    rehearsal: float = 0.0
    consistency: str = ""


@dataclass(frozen=True)
class Run:
    """One training and its test, by the names that the plan gives."""

    setting: str
    regime: str
    arm: str
    learning_rate: float
    steps: int
    seed: int

    @property
    def name(self) -> str:
        """Unique, and fit for a file name."""
        strength = f"{self.learning_rate:g}x{self.steps}"
        return f"{self.setting}_{self.regime}_{strength}_{self.arm}_{self.seed}"

    def with_arm(self, arm: str) -> Run:
        """Return the run that differs in its arm alone."""
        return Run(self.setting, self.regime, arm, self.learning_rate, self.steps, self.seed)


@dataclass(frozen=True)
class Figure:
    """What the page's figures show.

    Attributes
    ----------
    setting, arms : of the figure against the learning rate; the first arm is the primary outcome's
    blocks : names of the blocks whose arms the second figure shows; none: there is no such figure
    """

    setting: str
    arms: tuple[str, ...]
    blocks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """All of a plan; ``runs()`` lists its runs in their order, each once."""

    path: Path
    reference: str
    figure: Figure
    data: Mapping[str, Data]
    bases: Mapping[str, Setting]
    settings: Mapping[str, Setting]
    regimes: Mapping[str, str]
    arms: Mapping[str, Arm]
    blocks: Mapping[str, tuple[Run, ...]] = field(default_factory=dict)

    def runs(self) -> list[Run]:
        """Every run once, in the order of the blocks."""
        return list(dict.fromkeys(run for runs in self.blocks.values() for run in runs))


def read_plan(path: Path | str) -> Plan:
    """Read and check a plan.

    Raises
    ------
    ValueError
        A table, key or value that is not right; the message names the file, the place and the rule.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no such plan") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path}: must be a TOML file ({error})") from error
    try:
        return _plan(path, content)
    except (TypeError, KeyError, ValueError) as error:
        reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path}: {reason}") from error


def _plan(path: Path, content: Mapping[str, Any]) -> Plan:
    known = {"reference", "figure", "data", "bases", "settings", "regimes", "arms", "blocks"}
    if content.keys() - known:
        raise ValueError(f"has unknown keys {sorted(content.keys() - known)}; known are {known}")
    plan = Plan(
        path,
        content["reference"],
        _one(content["figure"], "figure", Figure),
        _each(content, "data", Data),
        _each(content, "bases", Setting),
        _each(content, "settings", Setting),
        dict(content["regimes"]),
        _each(content, "arms", Arm),
    )
    for kind, table in (("bases", plan.bases), ("settings", plan.settings)):
        for name, setting in table.items():
            for data in (
                *setting.train,
                *setting.test,
                *setting.held_out,
                *setting.rehearsal,
                *setting.unlabelled,
            ):
                _must_be_in(data, plan.data, f"{kind}.{name}", "data")
            _must_be_in(setting.start, {NO_BASE: None, **plan.bases}, f"{kind}.{name}", "bases")
    for regime, base in plan.regimes.items():
        _must_be_in(base, {NO_BASE: None, **plan.bases}, f"regimes.{regime}", "bases")
    _must_be_in(plan.reference, plan.arms, "reference", "arms")
    _must_be_in(plan.figure.setting, plan.settings, "figure", "settings")
    for arm in plan.figure.arms:
        _must_be_in(arm, plan.arms, "figure", "arms")
    blocks = {block["name"]: tuple(_cross(plan, block)) for block in content["blocks"]}
    for name in plan.figure.blocks:
        _must_be_in(name, blocks, "figure", "blocks")
    return replace(plan, blocks=blocks)


def _cross(plan: Plan, block: Mapping[str, Any]) -> Iterator[Run]:
    """Runs of a block, its seeds outermost: a block cut off has all its cells, with fewer seeds."""
    where = f"block {block['name']!r}"
    for seed in block["seeds"]:
        for cells in block["cells"]:
            _must_be_in(cells["setting"], plan.settings, where, "settings")
            setting = plan.settings[cells["setting"]]
            for learning_rate in cells["learning_rates"]:
                for regime in cells["regimes"]:
                    _must_be_in(regime, plan.regimes, where, "regimes")
                    for arm in cells.get("arms", block.get("arms", ())):
                        _must_be_in(arm, plan.arms, where, "arms")
                        yield Run(
                            cells["setting"], regime, arm, float(learning_rate),
                            cells.get("steps", setting.steps), seed,
                        )  # fmt: skip


def _each(content: Mapping[str, Any], table: str, kind: type[Any]) -> dict[str, Any]:
    """The entries of a table, each a ``kind``, on top of its ``default`` entry if there is one."""
    entries = dict(content.get(table, {}))
    default = entries.pop("default", {})
    return {
        name: _one({**default, **entry}, f"{table}.{name}", kind) for name, entry in entries.items()
    }


def _one(entry: Mapping[str, Any], where: str, kind: type[Any]) -> Any:
    known = {each.name for each in fields(kind)}
    unknown = entry.keys() - known
    if unknown:
        raise ValueError(f"{where} has unknown keys {sorted(unknown)}; known are {sorted(known)}")
    return kind(**{key: tuple(v) if isinstance(v, list) else v for key, v in entry.items()})


def _must_be_in(name: str, table: Mapping[str, Any], where: str, kind: str) -> None:
    if name not in table:
        raise ValueError(f"{where}: {name!r} must be one of the {kind}: {', '.join(table)}")
