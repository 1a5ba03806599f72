"""One job: write the files of an output folder, whole or not at all, while a run owns the folder.

A run works in ``.sasaug/TOKEN``; all its processes share that folder. An unfinished file lies
there and gets its final name by a rename, and a file to be deleted is moved there first. Whoever
finishes the run or starts over takes the folder away by one rename: from then on every write of
the older run fails, and changes no output.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from .job import Unusable

__all__ = [
    "MANIFEST",
    "UNFINISHED",
    "Superseded",
    "Workspace",
    "in_the_way",
    "named",
    "retire",
    "write_atomically",
]

MANIFEST, UNFINISHED, RUN = "manifest.csv", ".sasaug", "run.json"
ATTEMPTS, PAUSE = 100, 0.01  # to join a run while others begin and end theirs; seconds


class Superseded(OSError):
    """Another run has finished the output folder, or has started over in it."""


@dataclass(frozen=True)
class Workspace:
    """Where one run keeps its unfinished files.

    Attributes
    ----------
    out : Path
        The output folder.
    folder : Path
        The run's own folder within it.
    """

    out: Path
    folder: Path

    @classmethod
    def join(cls, out: Path, settings: Mapping[str, Any]) -> tuple[Workspace, dict[str, Any]]:
        """Join the run that works in a folder, or begin one with these settings.

        Returns
        -------
        workspace : Workspace
        settings : dict
            The settings that the run was begun with.
        """
        top = out / UNFINISHED
        mine = {"token": uuid4().hex, "settings": settings}
        attempt = 1
        while True:
            try:
                with named(top / RUN):
                    top.mkdir(exist_ok=True)
                    run = _begin(top, mine)
                # Only the run's first process makes its folder: one that came back after the run
                # had ended would let its other processes write on.
                if (top / run["token"]).is_dir():
                    return cls(out, top / run["token"]), dict(run["settings"])
                if attempt == ATTEMPTS:  # whoever ended the run was killed halfway
                    shutil.rmtree(retire(out), ignore_errors=True)
                    attempt = 0
            except (FileExistsError, FileNotFoundError):  # another run has just taken it away
                if attempt == ATTEMPTS:
                    raise
            attempt += 1
            time.sleep(PAUSE)

    @contextmanager
    def part(self) -> Iterator[Path]:
        """Give the path of a file to write to, on the file system of the output folder."""
        path = self.folder / f"part-{uuid4().hex}"
        with self.owned():
            try:
                yield path
            finally:
                path.unlink(missing_ok=True)

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Turn the error of a write into `Superseded` if the run no longer owns the folder."""
        try:
            yield
        except FileNotFoundError as error:
            lost = self.lost()
            if lost is None:
                raise
            raise lost from error

    def lost(self) -> Superseded | None:
        """Return the error of a run that no longer owns the folder, or None."""
        if self.folder.exists():
            return None
        if (self.out / MANIFEST).exists() and not (self.out / UNFINISHED).exists():
            return Superseded(
                f"another run finished {self.out} meanwhile; run the command again to see that "
                "nothing is missing"
            )
        return Superseded(
            f"another run has taken over {self.out}: it finished this run's work or started over "
            "(--force); this run writes no more"
        )

    def put(self, name: str, content: bytes, force: bool = False) -> None:
        """Write a file of the output folder; an equal file stays as it is.

        Raises
        ------
        Unusable
            A file with other content exists, and `force` is off.
        Superseded
            The run no longer owns the folder.
        OSError
            The file cannot be written; the error names it.
        """
        path = self.out / name
        with named(path), self.owned():
            if path.exists():
                if path.read_bytes() == content:
                    return
                if not force:
                    raise self.lost() or Unusable(in_the_way(path))
            with self.part() as unfinished:
                unfinished.write_bytes(content)
                path.parent.mkdir(parents=True, exist_ok=True)
                os.replace(unfinished, path)

    def create(self, name: str, content: bytes) -> None:
        """Write a file of the output folder, unless another process does it first."""
        path = self.out / name
        with named(path), self.owned():
            _create(self.folder, path, content)

    def discard(self, name: str) -> None:
        """Delete a file of the output folder, if it exists and the run owns the folder."""
        path = self.out / name
        with named(path), self.part() as unfinished:
            if path.is_file() or path.is_symlink():
                os.replace(path, unfinished)

    def retire(self) -> None:
        """End the run, unless another one has ended it."""
        away = self.out / f"{UNFINISHED}-{uuid4().hex}"
        try:
            os.rename(self.folder, away)  # the one step that only one process can do
            run = json.loads((self.out / UNFINISHED / RUN).read_text(encoding="utf-8"))
            if run["token"] == self.folder.name:
                shutil.rmtree(retire(self.out), ignore_errors=True)
        except FileNotFoundError:
            pass
        shutil.rmtree(away, ignore_errors=True)


def retire(out: Path) -> Path:
    """Take an output folder away from the run that owns it; return where its files are now."""
    away = out / f"{UNFINISHED}-{uuid4().hex}"
    with suppress(FileNotFoundError):
        os.rename(out / UNFINISHED, away)
    return away


def in_the_way(path: Path) -> str:
    return f"{path}: exists with other content; --force overwrites it"


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that others see the old one or the whole new one."""
    unfinished = path.with_name(f"{UNFINISHED}-{uuid4().hex}")
    with named(path):
        try:
            unfinished.write_bytes(content)
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Make errors name the file that was to be written: a full disk names none."""
    try:
        yield
    except OSError as error:
        if isinstance(error, Superseded) or (
            error.filename and UNFINISHED not in str(error.filename)
        ):
            raise
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def _begin(top: Path, mine: Mapping[str, Any]) -> dict[str, Any]:
    """Begin a run unless one has begun; return the token and settings of the one that has."""
    folder = top / mine["token"]
    folder.mkdir()
    _create(folder, top / RUN, json.dumps(mine, ensure_ascii=False).encode())
    run: dict[str, Any] = json.loads((top / RUN).read_text(encoding="utf-8"))
    if run["token"] != folder.name:
        folder.rmdir()
    return run


def _create(folder: Path, path: Path, content: bytes) -> None:
    """Write a file whole by way of a folder, unless another process does it first."""
    unfinished = folder / f"part-{uuid4().hex}"
    try:
        unfinished.write_bytes(content)
        try:
            os.link(unfinished, path)  # fails where the name is taken, as a rename does not
        except FileExistsError:
            return
        except FileNotFoundError:
            raise
        except OSError:  # a file system without links
            if not path.exists():
                os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
