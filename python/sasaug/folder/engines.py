"""One job: run units of work in parallel, by threads or by a Ray cluster.

An engine takes a function, its tasks and the number that may run at once, and yields the index of
each task with its outcome, in any order. Outcomes do not depend on the engine.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Any

from .job import Outcome

__all__ = ["ENGINES", "on_ray", "on_threads"]

Work = Callable[[Any], Outcome]
Outcomes = Generator[tuple[int, Outcome], None, None]
BLOCK = 16  # most tasks that are sent to a Ray worker together
BLOCKS_PER_CPU = 4  # so that workers finish at about the same time


def on_threads(work: Work, tasks: Sequence[Any], workers: int | None) -> Outcomes:
    """Use threads of this process, by default one per core."""
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        pending = {pool.submit(work, task): place for place, task in enumerate(tasks)}
        try:
            for future in as_completed(pending):
                yield pending[future], future.result()
        finally:  # after a full disk or an interrupt, start no further task
            pool.shutdown(cancel_futures=True)


def on_ray(work: Work, tasks: Sequence[Any], workers: int | None) -> Outcomes:
    """Use Ray Data: the cluster that Ray is connected to or finds, or else this machine.

    Workers write their own files, so only small records are sent. Ray repeats the tasks of a
    worker that died; it does no harm if they were already done.
    """
    import ray
    from ray.data import DataContext, TaskPoolStrategy, from_items

    with _cluster(ray):
        DataContext.get_current().enable_progress_bars = False
        cpus = workers or int(ray.cluster_resources().get("CPU", 1))
        block = min(BLOCK, max(1, len(tasks) // (BLOCKS_PER_CPU * cpus)))
        items = [{"place": place, "task": pickle.dumps(task)} for place, task in enumerate(tasks)]
        done = from_items(items, override_num_blocks=-(-len(items) // block)).map(
            _task_of(work), compute=TaskPoolStrategy(size=workers)
        )
        for item in done.iter_rows():
            outcome = pickle.loads(item["outcome"])
            if isinstance(outcome, OSError):
                raise outcome
            yield item["place"], outcome


ENGINES = {"threads": on_threads, "ray": on_ray}


def _task_of(work: Work) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return the function that a Ray worker applies to one item."""

    def do(item: dict[str, Any]) -> dict[str, Any]:
        outcome: Outcome | OSError
        try:
            outcome = work(pickle.loads(item["task"]))
        except OSError as error:  # a full disk ends the run with its own error
            outcome = error
        return {"place": item["place"], "outcome": pickle.dumps(outcome)}

    return do


@contextmanager
def _cluster(ray: Any) -> Iterator[None]:
    """Connect to a cluster unless the caller did, and disconnect afterwards."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reports to its makers by default
    ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()
