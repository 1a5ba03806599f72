"""One job: see that the loaders over PNG files run, and what is counted of them."""

from __future__ import annotations

import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from from_png import NAMES, WORKERS, Cost, Files, contenders, run, table
from loading import BATCH, Loading, loading
from torch.utils.data import default_collate


def test_files_hold_the_frames(tmp_path: Path) -> None:
    files = Files(tmp_path, BATCH, None)
    for place in (0, 63):
        image, mask = files.read(place)
        assert np.array_equal(image, files.images[place])
        assert np.array_equal(mask, files.masks[place]) and mask.any()
    assert len(list(tmp_path.iterdir())) == 128


@pytest.mark.parametrize("contender", NAMES)
def test_an_epoch_of_each(contender: str, tmp_path: Path) -> None:
    cost = run(tmp_path, loading(contender), BATCH, 0)
    assert cost.images == BATCH and cost.seconds > 0


def test_no_installed_library_is_left_out() -> None:
    """Torchvision's wheel may not load its operators beside the torch of another build."""
    peers = {"albumentations": "albumentations", "torchvision v2": "torchvision", "MONAI": "monai"}
    assert {name for name, module in peers.items() if find_spec(module)} <= set(contenders())


def test_the_time_of_workers_is_counted(tmp_path: Path) -> None:
    def busy(image: np.ndarray, mask: np.ndarray, index: int) -> tuple[np.ndarray, np.ndarray]:
        end = time.process_time() + 0.01
        while time.process_time() < end:
            pass
        return image, mask

    cost = run(tmp_path, Loading("", busy, default_collate), 2 * BATCH, 2)
    assert cost.cpu >= 2 * BATCH * 0.01


def test_the_table_has_rates_and_cpu_times() -> None:
    runs = {workers: [Cost(100, 0.5 / (1 + workers), 0.6)] for workers in WORKERS}
    assert table({"sasaug": runs}).splitlines()[-1] == (
        "| sasaug | 200 | 6.00 | 400 | 6.00 | 600 | 6.00 |"
    )
