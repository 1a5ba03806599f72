"""One job: how the benchmarks are timed: contenders in turn, round after round, on one thread.

Every contender is run in each of TURNS turns, so that a change in the machine's speed meets all.
Without timing (``--benchmark-disable``) each runs once, on small batches.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

# E402: libraries read how many threads they may use when they are imported, the peers' among them
import cv2  # noqa: E402
import pytest  # noqa: E402 as above
from memory import keep_freed  # noqa: E402 as above
from peers import MISSING  # noqa: E402 as above

import sasaug  # noqa: E402 as above

TURNS = 5
SECONDS = 0.08  # about this long for a contender's rounds in a turn
PACKAGES = (
    "sasaug", "numpy", "opencv-python-headless", "scikit-image", "albumentations", "torch",
    "torchvision", "kornia", "monai", "batchgeneratorsv2", "torchio",
)  # fmt: skip

_seconds: dict[tuple[str, ...], float] = {}  # of one call, as far as known


def pytest_configure(config: pytest.Config) -> None:
    cv2.setNumThreads(1)
    keep_freed()
    for library in ("albumentations", "kornia", "monai", "torchio", "torch", "batchgeneratorsv2"):
        config.addinivalue_line("filterwarnings", f"ignore:::{library}")
    for kind in ("DeprecationWarning", "FutureWarning", "UserWarning", "SyntaxWarning"):
        config.addinivalue_line("filterwarnings", f"ignore::{kind}")  # the peers', not ours


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "turn" in metafunc.fixturenames:
        turns = 1 if metafunc.config.getoption("benchmark_disable") else TURNS
        metafunc.parametrize("turn", range(turns))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All contenders of a case, then again, turn after turn."""
    order: dict[tuple[str, str], int] = {}

    def key(item: pytest.Item) -> tuple[int, int]:
        params = item.callspec.params if hasattr(item, "callspec") else {}
        case = (item.location[2].split("[")[0], str(params.get("case")))
        return order.setdefault((item.location[0], *case), len(order)), params.get("turn", 0)

    items.sort(key=key)


def pytest_benchmark_update_machine_info(config: Any, machine_info: dict[str, Any]) -> None:
    machine_info["instruction_set"] = sasaug._core.instruction_set()  # no public name says it
    machine_info["threads"] = sasaug.get_num_threads()
    machine_info["versions"] = {name: installed(name) for name in PACKAGES}
    machine_info["system_version"] = platform.release()


def pytest_benchmark_update_json(config: Any, benchmarks: Any, output_json: dict[str, Any]) -> None:
    output_json["skipped"] = MISSING


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@pytest.fixture
def quick(request: pytest.FixtureRequest) -> bool:
    """Whether only to see that everything runs."""
    return bool(request.config.getoption("benchmark_disable"))


Timed = Callable[..., Any]


@pytest.fixture
def timed(benchmark: Any, quick: bool) -> Timed:
    """`timed(call, table=, case=, contender=, pixels=, bytes=, images=, note=)`: times, returns."""

    def run(call: Callable[[], Any], **row: Any) -> Any:
        benchmark.extra_info.update(row)
        if quick:
            return benchmark.pedantic(call, rounds=1)
        key = (row["table"], row["case"], row["contender"])
        if key not in _seconds or _seconds[key] < SECONDS:  # slow ones are warm for good
            start = time.perf_counter()
            call()
            _seconds[key] = time.perf_counter() - start
        seconds = max(_seconds[key], 1e-7)
        iterations = max(1, int(0.001 / seconds))
        rounds = max(1, min(20, int(SECONDS / (seconds * iterations))))
        return benchmark.pedantic(call, rounds=rounds, iterations=iterations)

    return run
