"""One job: let the tests import the example, find real data, and make a tiny study."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

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
