"""Run the data loader of a page as printed, with other workers; print what came out as JSON.

``python page_runner.py FOLDER WORKERS...``: the folder holds page.py, the page up to its loader,
which spawned workers import, and loop.py, the rest. Each WORKERS is the text of some options.
"""

from __future__ import annotations

import hashlib
import json
import sys
import warnings
from pathlib import Path

WORKERS = "num_workers=2"


def main() -> None:
    folder, *variants = sys.argv[1:]
    sys.path.insert(0, folder)
    warnings.filterwarnings("ignore", message=".*worker processes")  # of the machine's cores
    import numpy as np
    import page
    import torch

    loop = (Path(folder) / "loop.py").read_text()
    assert loop.count(WORKERS) <= 1
    if WORKERS not in loop:  # a page that prints none
        loop = loop.replace("))\n", f"), {WORKERS})\n", 1)
    results = {}
    for variant in variants:
        torch.manual_seed(7)
        seen: list = []
        names = dict(vars(page), train_step=lambda x, y, seen=seen: seen.append((x, y)))
        exec(compile(loop.replace(WORKERS, variant), "loop", "exec"), names)
        rows = [
            (np.asarray(a).squeeze(), np.asarray(b).squeeze())
            for x, y in seen
            for a, b in zip(x, y, strict=True)
        ]
        levels = np.concatenate([a.ravel() for a, _ in rows]).astype(float)
        middle = (levels.min() + levels.max()) / 2
        bright = sum(int((a > middle).sum()) for a, _ in rows)
        inside = sum(int(((a > middle) & (b > 0)).sum()) for a, b in rows)
        objects = sum(int((b > 0).sum()) for _, b in rows)
        results[variant] = {
            "images": [hashlib.md5(a.tobytes()).hexdigest() for a, _ in rows],
            "masks": [hashlib.md5(b.tobytes()).hexdigest() for _, b in rows],
            "bright inside": inside / bright,
            "inside bright": inside / objects,
        }
    print(json.dumps(results))


if __name__ == "__main__":
    main()
