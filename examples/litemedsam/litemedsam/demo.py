"""One job: the whole experiment in miniature, in minutes on a laptop.

The tiny model is trained from scratch, on large structures only, with and without SAS, and meets
small ones in the test: the paper's question. It shows that every part runs; its figures are not
the paper's, whose model starts from weights trained on a million masks.
"""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import torch

from litemedsam import features, figures
from litemedsam.data.batches import Augment, Batches, Cases
from litemedsam.data.cases import SMALL, read_manifest
from litemedsam.data.prepare import COLUMNS
from litemedsam.model import CONFIGS
from litemedsam.report import report
from sasaug.phantoms import phantoms

SIZE = CONFIGS["tiny"].image_size
NOTE = "Demonstration: a tiny model trained from scratch for minutes."


def run(
    out: Path, data: Path | None = None, seed: int = 0, epochs: int = 20, pictures_of_each: int = 48
) -> str:
    """Prepare, train with and without SAS, evaluate, and report; returns the table.

    Raises
    ------
    FileExistsError
        If ``out`` holds something.
    """
    from litemedsam import __main__ as commands  # which imports this module

    out = Path(out)
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"out must be a new or empty folder, got {out}")
    training, test = folders(out, data, seed, pictures_of_each)
    for name in ("both", "none"):
        commands.train(
            [training], out / name, config="tiny", sas=name, epochs=epochs, learning_rate=2e-3,
            patience=epochs, clicks=3, batch_size=8, workers=0, seed=seed, accelerator="cpu", p=0.8,
        )  # fmt: skip
        for prompt in ("click", "box"):
            commands.evaluate(
                out / name, [test], out / name / "scores", clicks=4, prompt=prompt, workers=0,
                device="cpu", seed=seed,
            )  # fmt: skip
    named = {"SAS": out / "both", "no SAS": out / "none"}
    scores = {name: folder / "scores" for name, folder in named.items()}
    text = report(scores, out / "report", note=NOTE, resamples=1000)
    pictures(named, training, test, out / "report", seed)
    print(text)
    print(f"Tables and figures: {out / 'report'}")
    return text


def folders(out: Path, data: Path | None, seed: int, most: int) -> tuple[Path, Path]:
    """Prepared folders, of ``most`` cases each: large structures to train on; all to test on."""
    training, test = out / "large", out / "test"
    if data is None:
        pairs = zip(*phantoms(4 * most, 128, seed), strict=True)
        cases = [(image, one_structure(mask)) for image, mask in pairs]
        measured = [(image, mask, float(mask.mean())) for image, mask in cases if mask.any()]
    else:
        listed = read_manifest(data)
        measured = [(*Cases([case])[0][:2], case.area) for case in listed[: 4 * most]]
    large = [case for case in measured if case[2] > SMALL]
    small = [case for case in measured if case[2] <= SMALL]
    write(training, large[:most])
    write(test, small[: most // 2] + large[most : most + most // 2])
    return training, test


def one_structure(mask: np.ndarray) -> np.ndarray:
    """The largest connected part of a mask, as the method asks for one structure per case."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if count == 1:
        return mask
    return (labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())).astype(np.uint8)


def write(folder: Path, cases: list) -> None:
    """A prepared folder of images that are at hand."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for number, (image, mask, area) in enumerate(cases):
            name = f"{number:04d}.png"
            image, mask = np.asarray(image).squeeze(), np.asarray(mask)
            cv2.imwrite(str(folder / "images" / name), image)
            cv2.imwrite(str(folder / "masks" / name), mask.astype(np.uint8) * 255)
            h, w = mask.shape
            writer.writerow(
                {
                    "image": f"images/{name}", "mask": f"masks/{name}", "group": f"{number:04d}",
                    "label": "", "orig_h": h, "orig_w": w, "h": h, "w": w, "area_frac_orig": area,
                    "small": int(area <= SMALL), "note": "",
                }
            )  # fmt: skip


def pictures(named: dict[str, Path], training: Path, test: Path, out: Path, seed: int) -> None:
    """Overlays of some cases, small ones first, and t-SNE of originals, SAS's and the test's."""
    from litemedsam import __main__ as commands

    models = {name: commands.load_run(folder, "tiny", "cpu")[0] for name, folder in named.items()}
    cases = sorted(read_manifest(test), key=lambda case: not case.small)
    shown = cases[:2] + cases[-2:]
    batch = next(iter(Batches(Cases(shown), Augment("none", canvas=SIZE), range(len(shown)))))
    with torch.inference_mode():
        overlays = figures.overlays_figure(
            models, batch.images, batch.masks, [case.name for case in shown], clicks=2, note=NOTE
        )
    figures.save(overlays, out / "overlays")

    extractor = features.choose(models["SAS"])
    originals = Cases(read_manifest(training))
    sets = {
        "training": (originals, Augment("none", canvas=SIZE)),
        "training with SAS": (originals, Augment("both", canvas=SIZE, p=1.0, seed=seed)),
        "test": (Cases(cases), Augment("none", canvas=SIZE)),
    }
    found = {
        name: features.extract(extractor, Batches(each, augment, range(len(each))), limit=60)
        for name, (each, augment) in sets.items()
    }
    figures.save(figures.tsne_figure(found, extractor.name, note=NOTE), out / "tsne")
