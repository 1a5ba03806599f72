"""One job: what SAS costs in a loader, from PNG files to batches: images/s, CPU time per image.

    python benchmarks/from_png.py

prints a table in Markdown, for 0, 1 and 2 workers. CPU time is that of the process and of its
workers, their start included. Loaders run in turn, round after round; figures are medians.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

# E402: libraries read how many threads they may use when they are imported
import cv2  # noqa: E402
import pytest  # noqa: E402 as above
import torch  # noqa: E402 as above
from loading import BATCH, Frames, Loading, epoch, loading, one_thread  # noqa: E402 as above
from peers import MISSING  # noqa: E402 as above

WORKERS = (0, 1, 2)
NAMES = {
    "copy": "decode and collate alone",
    "sasaug": "sasaug, in the collate function",
    "sasaug, per sample": "sasaug, per sample",
    "albumentations": "albumentations",
    "torchvision v2": "torchvision v2",
    "MONAI": "MONAI",
}


class Files(Frames):
    """The same frames and masks, each read from a PNG file."""

    def __init__(
        self, folder: Path, length: int, augment: Callable[[Any, Any, int], Any] | None
    ) -> None:
        super().__init__(length, augment)
        self.folder = folder
        for kind, arrays in (("image", self.images), ("mask", self.masks)):
            for place, array in enumerate(arrays):
                if not (path := self.path(kind, place)).exists():
                    cv2.imwrite(str(path), array)

    def path(self, kind: str, place: int) -> Path:
        return self.folder / f"{kind}-{place:02}.png"

    def read(self, place: int) -> tuple[Any, Any]:
        image, mask = (
            cv2.imread(str(self.path(kind, place)), cv2.IMREAD_GRAYSCALE)
            for kind in ("image", "mask")
        )
        return image, mask


@dataclass(frozen=True)
class Cost:
    """Of one epoch."""

    images: int
    seconds: float
    cpu: float  # seconds of this process and its workers


def cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def run(folder: Path, how: Loading, length: int, workers: int) -> Cost:
    """One epoch with workers of its own: only those that have ended are counted."""
    loader = torch.utils.data.DataLoader(
        Files(folder, length, how.sample), BATCH, num_workers=workers, collate_fn=how.collate,
        worker_init_fn=one_thread,
    )  # fmt: skip
    start, before = time.perf_counter(), cpu()
    images = sum(len(x) for x, _ in epoch(loader, how))
    return Cost(images, time.perf_counter() - start, cpu() - before)


def contenders() -> dict[str, Loading]:
    """By the name in the table, those whose library can be imported here."""
    found = {}
    for name, title in NAMES.items():
        try:
            found[title] = loading(name)
        except pytest.skip.Exception:
            print(f"not run: {title}: {MISSING[name]}")
    return found


def measure(seconds: float, turns: int) -> dict[str, dict[int, list[Cost]]]:
    """Epochs of about `seconds`, `turns` of each contender and number of workers."""
    costs: dict[str, dict[int, list[Cost]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        lengths = {}
        for title, how in contenders().items():
            run(Path(folder), how, BATCH, 0)  # reads the files once, and warms up
            first = run(Path(folder), how, 4 * BATCH, 0)
            lengths[title] = how, BATCH * max(2, round(4 * seconds / first.seconds))
        for _ in range(turns):
            for workers in WORKERS:
                for title, (how, length) in lengths.items():
                    cost = run(Path(folder), how, length, workers)
                    costs.setdefault(title, {}).setdefault(workers, []).append(cost)
    return costs


def table(costs: dict[str, dict[int, list[Cost]]]) -> str:
    heads = [f"{w} workers: images/s | CPU ms per image" for w in WORKERS]
    lines = [f"| | {' | '.join(heads)} |", "|---" * (1 + 2 * len(WORKERS)) + "|"]
    for title, runs in costs.items():
        cells = [title]
        for workers in WORKERS:
            cells.append(f"{median(c.images / c.seconds for c in runs[workers]):,.0f}")
            cells.append(f"{1e3 * median(c.cpu / c.images for c in runs[workers]):.2f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0].removeprefix("One job: "))
    parser.add_argument("--seconds", type=float, default=1.5, help="of an epoch, about")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    print(table(measure(options.seconds, options.turns)))


if __name__ == "__main__":
    main()
