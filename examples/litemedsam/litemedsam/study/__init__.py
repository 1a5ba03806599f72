"""One job: many short trainings that answer one question, from a plan to its tables and page."""

from __future__ import annotations

from pathlib import Path

import torch

from .page import write_page
from .plan import read_plan
from .queue import Queue
from .tables import collect, read_entries


def study(
    plan_path: Path,
    root: Path | None,
    out: Path | None,
    *,
    make: bool = True,
    most: int | None = None,
) -> None:
    """Make a plan's runs, add them to the tables beside it, and write its page from these.

    Parameters
    ----------
    plan_path : the plan
    root : folder of the prepared data sets
    out : folder for bases and results; without it the page is written from the tables alone
    make : make the runs that are not there; if not, only collect
    most : stop after so many runs
    """
    plan = read_plan(plan_path)
    tables = plan_path.parent
    if out is not None and make:
        if root is None:
            raise ValueError("data must be the folder of the prepared data sets, got none")
        # the same bits on any number of cores; a second process is faster than a second thread
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
        Queue(plan, root, out, tables, say=lambda line: print(line, flush=True)).work(most)
    entries = read_entries(tables) if out is None else collect(out, tables)
    page = tables / "README.md"
    write_page(plan, entries, page)
    print(f"{page}: {len(entries)} runs")
