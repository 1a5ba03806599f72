"""One job: work through a plan's runs, one after the other, so that it can be killed at any point.

Each run's result is a file that appears whole or not at all; what is there, in the folder or in the
committed tables, is not made again. A run that is killed starts again: it takes a minute. Several
processes may work on one folder: each holds a lock on what it makes, which ends with the process.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from . import run as runs
from .plan import NO_BASE, Plan, Run
from .tables import Entry, read_entries, write_entry

Say = Callable[[str], None]


class Queue:
    """The runs of a plan, and the folder in which they are made.

    Parameters
    ----------
    plan : Plan
    root : folder of the prepared data sets
    out : folder for bases and results; it can be deleted once the tables are committed
    tables : folder of the committed tables
    """

    def __init__(self, plan: Plan, root: Path, out: Path, tables: Path, say: Say = print) -> None:
        self.plan, self.root, self.out, self.tables, self.say = plan, root, out, tables, say
        for folder in ("bases", "runs", "locks"):
            (out / folder).mkdir(parents=True, exist_ok=True)
        self.machine = runs.machine()
        self.bases: dict[str, dict[str, Tensor]] = {}
        self.committed = {(entry.run, entry.start, entry.machine) for entry in read_entries(tables)}
        self.names = {entry.run for entry in read_entries(tables)}

    def work(self, most: int | None = None) -> int:
        """Make what is not there yet; at most so many runs. Return how many were made."""
        made = 0
        for run in self.plan.runs():
            for each in self.needed(run):
                if most is not None and made >= most:
                    return made
                made += self.make(each)
        return made

    def needed(self, run: Run) -> Iterator[Run]:
        """The run if it is not there; before it its reference, if that has another start.

        Arms are compared with a reference from the same weights on the same machine. Where a base
        had to be made again and came out otherwise, the reference is made again from it.
        """
        if self.is_done(run):
            return
        reference = run.with_arm(self.plan.reference)
        if reference != run and self.is_done(reference) and not self.is_comparable(reference):
            yield reference
        yield run

    def is_done(self, run: Run) -> bool:
        """Whether there is a result of this run, from any start."""
        return run.name in self.names or bool(list((self.out / "runs").glob(f"{run.name}@*.json")))

    def is_comparable(self, run: Run) -> bool:
        """Whether there is a result of this run from what it would start from here."""
        digest = self.digest(run)
        return (run.name, digest, self.machine) in self.committed or self.path(run, digest).exists()

    def path(self, run: Run, digest: str) -> Path:
        """Where a run's result lies."""
        return self.out / "runs" / f"{run.name}@{digest}.json"

    def make(self, run: Run) -> bool:
        """Make one run, unless another process is at it."""
        with self.locked(run.name) as mine:
            if not mine:
                return False
            model = runs.start(self.plan, run, self.base(self.plan.regimes[run.regime]))
            digest = runs.digest(model.state_dict())
            path = self.path(run, digest)
            if path.exists():
                return False
            began = time.monotonic()
            scores = runs.make_run(self.plan, run, model, self.root)
            seconds = time.monotonic() - began
            write_entry(path, Entry.of(run, digest, self.machine, seconds, scores))
            self.say(f"{time.strftime('%H:%M:%S')} {run.name}: {seconds:.0f} s")
            return True

    def digest(self, run: Run) -> str:
        """Digest of what a run starts from."""
        base = self.base(self.plan.regimes[run.regime])
        return runs.digest(runs.start(self.plan, run, base).state_dict())

    def base(self, name: str) -> dict[str, Tensor] | None:
        """Return a base's weights, made if they are not there; None: of no base."""
        if name == NO_BASE:
            return None
        if name not in self.bases:
            path = self.out / "bases" / f"{name}.pt"
            with self.locked(f"base {name}", wait=True):
                if not path.exists():
                    self.make_base(name, path)
            self.bases[name] = torch.load(path, map_location="cpu", weights_only=True)
        return self.bases[name]

    def make_base(self, name: str, path: Path) -> None:
        """Make a base's weights."""
        before = self.base(self.plan.bases[name].start)
        began = time.monotonic()
        partial = path.with_suffix(".partial")
        torch.save(runs.make_base(self.plan, name, self.root, before), partial)
        os.replace(partial, path)
        self.say(f"{time.strftime('%H:%M:%S')} base {name}: {time.monotonic() - began:.0f} s")

    @contextmanager
    def locked(self, name: str, wait: bool = False) -> Iterator[bool]:
        """Hold a lock that ends with this process; False if another process holds it."""
        with (self.out / "locks" / f"{name}.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
            else:
                yield True
