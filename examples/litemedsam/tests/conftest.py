"""One job: let the tests import the example, find real data, and share models and a study."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import torch

    from litemedsam.model import LiteMedSAM

EXAMPLE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(EXAMPLE))


@pytest.fixture(scope="session")
def real_data() -> Path:
    repository = EXAMPLE.parents[1]
    folder = Path(os.environ.get("SASAUG_DATA", repository.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("real ultrasound data not found; set SASAUG_DATA to its folder")
    return folder


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of simulated data sets, as ``prepare`` leaves them."""
    from litemedsam import demo

    root = tmp_path_factory.mktemp("prepared")
    demo.folders(root, None, 0, 12)
    return root


@pytest.fixture(scope="session")
def whole_study(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study of four runs that nothing disturbed."""
    from litemedsam.study import study
    from tiny_study import write_plan

    folder = tmp_path_factory.mktemp("whole")
    study(write_plan(folder), prepared, folder / "out")
    return folder


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """On busy cores, threads that wait for each other take longer than one."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tiny() -> LiteMedSAM:
    """A model in eval mode in which no weight is at a neutral value, so that each one counts."""
    import torch

    from litemedsam.model import CONFIGS, LiteMedSAM

    torch.manual_seed(0)
    model = LiteMedSAM(CONFIGS["tiny"]).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.1 * torch.randn(value.shape))
        for value in (b for k, b in model.named_buffers() if "running" in k):
            value.add_(0.1 * torch.rand(value.shape))
    return model


@pytest.fixture
def clicks() -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    xy = torch.tensor([[[5.0, 40.0], [63.0, 0.0], [9.0, 9.0]], [[20.0, 3.0], [1.0, 2.0], [0, 0]]])
    return xy, torch.tensor([[1, 0, 1], [0, 1, -1]])
