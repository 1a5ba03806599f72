"""One job: the commands: prepare, train, evaluate, figures, study, demo."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from litemedsam import demo as demonstration
from litemedsam import evaluate as evaluation
from litemedsam import train as training
from litemedsam.clicks import RULES
from litemedsam.data.batches import MODES, Augment, Batches, Cases, Loaders
from litemedsam.data.cases import read_manifest, split
from litemedsam.data.layouts import LAYOUTS
from litemedsam.data.prepare import prepare as prepare_folder
from litemedsam.model import CONFIGS, Lite0, LiteMedSAM, build, load_weights
from litemedsam.report import report
from litemedsam.study import study as run_study

app = typer.Typer(
    help="Fine-tune LiteMedSAM with SAS, as in arXiv 2503.05916.",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain text: errors are lines, not boxes
    pretty_exceptions_enable=False,
)


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Make a command of a function; what a user got wrong is one line, not a traceback."""

    @wraps(function)
    def inner(*arguments: Any, **options: Any) -> None:
        try:
            function(*arguments, **options)
        # our own checks raise these; a fault of the program is another kind, with its traceback
        except (ValueError, OSError, ModuleNotFoundError) as error:
            message = " ".join(str(error).split())
            typer.echo(f"litemedsam {function.__name__}: {message}", err=True)
            raise typer.Exit(2) from error

    app.command()(inner)
    return function


GroupBy = Annotated[
    str,
    typer.Option(
        help="group or image: what stays on one side of a split. image ignores the "
        "manifest's groups, where these are classes rather than patients."
    ),
]
Most = Annotated[int, typer.Option(min=0, help="Use so many of each, spread evenly; 0: all.")]
Seed = Annotated[int, typer.Option(help="Seed of everything that is drawn.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes that read and augment.")]


@command
def prepare(
    source: Annotated[Path, typer.Argument(help="A data set's folder.")],
    out: Annotated[Path, typer.Argument(help="A new folder.")],
    layout: Annotated[
        str,
        typer.Option(
            help=f"auto, {', '.join(LAYOUTS)}. pairs: images/ and masks/ with equal file names, "
            "the images also DICOM; plain: a manifest.csv with the columns image and mask."
        ),
    ] = "auto",
) -> None:
    """Bring a data set into one form: images/, masks/, manifest.csv, longest side 256."""
    prepare_folder(source, layout, out)


@command
def train(
    data: Annotated[list[Path], typer.Argument(help="Prepared folders.")],
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    config: Annotated[str, typer.Option(help=f"{', '.join(CONFIGS)}.")] = "full",
    weights: Annotated[
        Path | None,
        typer.Option(help="lite_medsam.pth, mobile_sam.pt or a run's best.pt."),
    ] = None,
    sas: Annotated[str, typer.Option(help=f"{', '.join(MODES)}.")] = "both",
    scale: Annotated[
        tuple[float, float],
        typer.Option(
            help="Longer side of a thumbnail, from and to, as shares of the largest that fits."
        ),
    ] = (
        0.25,
        1.0,
    ),
    strength: Annotated[float, typer.Option(help="Factor on the default noise.")] = 1.0,
    p: Annotated[float, typer.Option(help="Probability that SAS transforms an image.")] = 0.5,
    gpu_augment: Annotated[
        bool, typer.Option("--gpu-augment", help="Augment after the copy, on the GPU.")
    ] = False,
    validation: Annotated[float, typer.Option(help="Share of the cases to validate on.")] = 0.2,
    group_by: GroupBy = "group",
    most_cases: Most = 0,
    epochs: int = training.Recipe.epochs,
    batch_size: Annotated[int, typer.Option(help="Over all ranks.")] = training.Recipe.batch_size,
    learning_rate: float = training.Recipe.learning_rate,
    patience: Annotated[
        int, typer.Option(help="Epochs without a better validation loss.")
    ] = training.Recipe.patience,
    clicks: int = training.Recipe.clicks,
    rule: Annotated[str, typer.Option(help=f"{', '.join(RULES)}.")] = RULES[0],
    prompt: Annotated[str, typer.Option(help="click or box.")] = "click",
    freeze_encoder: Annotated[bool, typer.Option("--freeze-encoder")] = False,
    precision: Annotated[str, typer.Option(help="32-true, bf16-mixed, 16-mixed.")] = "32-true",
    accelerator: str = "auto",
    devices: Annotated[int, typer.Option(help="Per machine; start them with torchrun.")] = 1,
    nodes: int = 1,
    workers: Workers = 2,
    seed: Seed = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume a run where it stopped.")
    ] = False,
) -> None:
    """Fine-tune with clicks or boxes; the best weights by validation Dice are kept."""
    recipe = training.Recipe(
        epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, patience=patience,
        clicks=clicks, rule=rule, prompt=prompt, freeze_encoder=freeze_encoder, seed=seed,
        precision=precision,
    )  # fmt: skip
    ranks = devices * nodes
    if batch_size % ranks:
        raise ValueError(f"batch-size must be a multiple of the {ranks} ranks, got {batch_size}")
    fabric = training.engine(precision, accelerator, devices, nodes)
    fabric.seed_everything(seed, verbose=False)
    model = build(config)
    if weights is not None:
        fabric.print(load_weights(model, weights))
    size = CONFIGS[config].image_size
    fitting, held_out = split_folders(data, validation, seed, most_cases, group_by)
    augment = Augment(sas, canvas=size, scale=scale, strength=strength, p=p, seed=seed)
    loaders = Loaders(
        fitting, held_out, augment,
        batch_size=batch_size // ranks, workers=workers, seed=seed, rank=fabric.global_rank,
        ranks=ranks, device=fabric.device, defer=gpu_augment,
    )  # fmt: skip
    fabric.print(
        f"{len(fitting)} cases to train on, {len(held_out)} to validate, {sas=}, {config=}"
    )
    describe = {"config": config, "sas": sas, "recipe": asdict(recipe)}
    training.train(model, loaders, out, recipe, fabric=fabric, resume=resume, describe=describe)


@command
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run's folder, or a checkpoint.")],
    data: Annotated[list[Path], typer.Argument(help="Prepared folders, the test sets.")],
    out: Annotated[Path, typer.Option(help="Folder for this run's CSV files.")],
    config: Annotated[
        str, typer.Option(help="Configuration of a checkpoint that does not name its own.")
    ] = "full",
    clicks: int = 8,
    rule: Annotated[str, typer.Option(help=f"{', '.join(RULES)}.")] = "deepest",
    prompt: Annotated[str, typer.Option(help="click or box.")] = "click",
    tolerance: Annotated[
        float, typer.Option(help="Tolerance of NSD, in pixels of the canvas.")
    ] = 2.0,
    device: str = "auto",
    batch_size: int = 8,
    workers: Workers = 2,
    most_cases: Most = 0,
    seed: Seed = 0,
    force: Annotated[bool, typer.Option("--force", help="Evaluate again what is there.")] = False,
) -> None:
    """Dice and NSD of every case after each click: one CSV file per test set."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    model, size = load_run(run, config, device)
    sets = {
        folder.name: Labelled(some(read_manifest(folder), most_cases), size, batch_size, workers)
        for folder in data
    }
    evaluation.evaluate_run(
        model, sets, out, force=force, clicks=clicks, rule=rule, prompt=prompt,
        tolerance=tolerance, device=device, seed=seed,
    )  # fmt: skip


@command
def figures(
    runs: Annotated[list[str], typer.Argument(help="NAME=FOLDER of evaluated runs; first SAS.")],
    out: Annotated[Path, typer.Option(help="Folder for tables and figures.")],
    note: Annotated[str, typer.Option(help="A line under every table.")] = "",
) -> None:
    """Tables (CSV, Markdown) and figures from the CSV files of evaluated runs."""
    named = dict(run.split("=", 1) if "=" in run else (Path(run).name, run) for run in runs)
    typer.echo(report({name: Path(folder) for name, folder in named.items()}, out, note=note))


@command
def study(
    plan: Annotated[Path, typer.Argument(help="A TOML file, such as docs/study/plan.toml.")],
    data: Annotated[Path | None, typer.Option(help="Folder of the prepared data sets.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for bases and results; resumed if it is there.")
    ] = None,
    collect: Annotated[
        bool, typer.Option("--collect", help="Make no run: add the finished ones to the tables.")
    ] = False,
    most: Annotated[int | None, typer.Option(help="Stop after so many runs.")] = None,
) -> None:
    """Make a plan's runs, resumably; their tables and page lie beside the plan."""
    run_study(plan, data, out, make=not collect, most=most)


@command
def demo(
    out: Annotated[Path, typer.Argument(help="A new folder.")] = Path("demo"),
    data: Annotated[
        Path | None,
        typer.Option(help="A prepared folder; default: simulated ultrasound."),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Run the whole experiment in small, from prepared images to tables and figures."""
    demonstration.run(out, data, seed)


# ---- parts ---------------------------------------------------------------------------------


def some(cases: list[Any], most: int) -> list[Any]:
    """So many of the cases, spread evenly over their order; 0: all."""
    return cases if most in (0, len(cases)) else cases[:: max(1, len(cases) // most)][:most]


def split_folders(
    folders: list[Path], validation: float, seed: int, most: int, group_by: str = "group"
) -> tuple[list[Any], list[Any]]:
    """Cases to train on and to validate on, no patient in both."""
    fitting: list[Any] = []
    held_out: list[Any] = []
    for folder in folders:
        parts = split(
            some(read_manifest(folder, group_by), most), (1 - validation, validation), seed
        )
        fitting += parts[0]
        held_out += parts[1]
    return fitting, held_out


def load_run(run: Path, config: str, device: str) -> tuple[LiteMedSAM | Lite0, int]:
    """A trained model in evaluation mode, and the side of its input."""
    path = run / "best.pt" if run.is_dir() else run
    if not path.is_file():
        raise FileNotFoundError(
            f"run must be a folder with best.pt, as train writes it, or a checkpoint, got {run}"
        )
    try:
        torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device must be auto, cpu or cuda, got {device!r}") from error
    content = torch.load(path, map_location="cpu", weights_only=True)
    name = content.get("config", config) if isinstance(content, dict) else config
    model = build(name)
    load_weights(model, path)
    return model.to(device).eval(), CONFIGS[name].image_size


class Labelled:
    """A test set's batches with their cases, as ``evaluate`` reads them."""

    def __init__(self, cases: list[Any], size: int, batch_size: int, workers: int) -> None:
        self.dataset = cases
        self.batches = Batches(
            Cases(cases), Augment("none", canvas=size), range(len(cases)),
            batch_size=batch_size, workers=workers,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[Any, Any, list[Any]]]:
        for images, masks, ids in self.batches:
            yield images, masks, [self.dataset[i] for i in ids.tolist()]


if __name__ == "__main__":
    app()
