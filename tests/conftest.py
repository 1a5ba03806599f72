"""Shared by all tests: hypothesis profiles, array libraries, instruction sets, real data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from libraries import Face, Played, faces
from sasaug import _core

settings.register_profile("quick", deadline=None, max_examples=60, derandomize=True)
settings.register_profile("long", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    skip = pytest.mark.skip(reason="more pixels or samples than the played GPU has the time for")
    for item in items:
        if "[ptx" in item.name and item.get_closest_marker("large"):
            item.add_marker(skip)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """The played GPU takes a share of hypothesis's examples, unless the profile is the long one."""
    test = getattr(item, "function", None)
    before = getattr(test, "_hypothesis_internal_use_settings", None)
    if before is None or "[ptx" not in item.name or before.max_examples > 60:
        return (yield)
    test._hypothesis_internal_use_settings = settings(before, max_examples=8)
    try:
        return (yield)
    finally:
        test._hypothesis_internal_use_settings = before


@pytest.fixture(scope="session", autouse=True)
def build_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ.setdefault("YOLO_CONFIG_DIR", str(tmp_path_factory.mktemp("yolo")))  # not the user's
    cache = getattr(request.config, "cache", None)
    Played.cache = cache.mkdir("sasaug") if cache else tmp_path_factory.mktemp("played")


@pytest.fixture(scope="module", params=faces())
def face(request: pytest.FixtureRequest) -> Face:
    """The public names for each library."""
    return request.param


@pytest.fixture(scope="module", params=faces(only_gpu=True))
def gpu(request: pytest.FixtureRequest) -> Face:
    """The public names for each library whose arrays lie on a GPU."""
    return request.param


@pytest.fixture(params=_core.instruction_sets())
def instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    before = _core.instruction_set()
    _core.use_instruction_set(request.param)
    yield request.param
    _core.use_instruction_set(before)


@pytest.fixture(scope="session")
def real_data() -> Path:
    root = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("SASAUG_DATA", root.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("real ultrasound data not found; set SASAUG_DATA to its folder")
    return folder
