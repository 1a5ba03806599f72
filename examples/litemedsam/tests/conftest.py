"""One job: let the tests import the example, and find real data."""

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
