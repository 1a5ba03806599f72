"""One job: remember what an output folder holds, so that a killed run goes on where it was.

Any number of processes may write to one folder at once, for no two ever write to one file:

- what is not finished lies in ``.sasaug``, under names that no other process chooses, and gets its
  own name by a rename, so that it appears whole or not at all;
- each process keeps a journal of its own there, one line for each case whose files are in place.

At the end one process makes the manifest of the older manifest and all journals; then ``.sasaug``
goes. Who wrote which journal, and in which order, leaves no trace.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

from .job import Row
from .pairs import Unusable

__all__ = ["FILES", "TARS", "Layout", "Ledger", "part", "put", "write_atomically"]

MANIFEST, SETTINGS, UNFINISHED = "manifest.csv", "settings.json", ".sasaug"
JOURNALS = "journal-*.jsonl"


@dataclass(frozen=True)
class Layout:
    """The columns of a manifest."""

    columns: tuple[str, ...]
    files: tuple[str, ...]  # columns that name outputs; the first orders the rows
    source: tuple[str, ...]  # columns that say of which unit of work a row is


FILES = Layout(
    columns=(
        "image",
        "mask",
        "source_image",
        "source_masks",
        "source_hash",
        "source_roi",
        "copy",
        "seed",
        "id",
        "transformed",
        "window",
        "thumbnail",
        "noise",
        "strength",
        "canvas",
        "roi",
    ),
    files=("image", "mask"),
    source=("source_image", "source_masks"),
)
TARS = Layout(
    columns=("tar", "source", "source_hash", "cases", "outputs", "transformed", "skipped"),
    files=("tar",),
    source=("tar",),
)


class Ledger:
    """The manifest, journals and settings of an output folder.

    Parameters
    ----------
    out : Path
        The folder; made where missing.
    settings : mapping
        What the outputs depend on, and "version", which is written and never compared; must
        survive a round trip through JSON.
    layout : Layout
        What a row is.
    force : bool
        Delete what an earlier run wrote, and start over; write into a folder of other files.

    Raises
    ------
    ValueError
        The folder holds something else, or outputs made with other settings.
    OSError
        It cannot be read or written.
    """

    def __init__(
        self, out: Path, settings: Mapping[str, Any], layout: Layout = FILES, force: bool = False
    ) -> None:
        self.out = out
        self.layout = layout
        out.mkdir(parents=True, exist_ok=True)
        self._rows = {row[layout.files[0]]: row for row in self._read()}
        if force:
            self._clear()
        self._settle(settings, force)
        self._journal = out / UNFINISHED / f"journal-{uuid4().hex}.jsonl"
        self._by_source: defaultdict[tuple[str, ...], list[Row]] = defaultdict(list)
        for row in self._rows.values():
            self._by_source[tuple(row[column] for column in layout.source)].append(row)

    def rows_of(self, *source: str) -> list[Row]:
        """Return the rows of a unit of an earlier run, by copy, if all their files exist."""
        rows = self._by_source.get(source, [])
        files = [self.out / row[column] for row in rows for column in self.layout.files]
        return rows if all(path.exists() for path in files) else []

    def add(self, rows: Iterable[Row]) -> None:
        """Record a finished unit, whose files are in place."""
        rows = list(rows)
        self._rows.update({row[self.layout.files[0]]: row for row in rows})
        with self._journal.open("ab") as journal:
            journal.write(json.dumps(rows, ensure_ascii=False).encode() + b"\n")

    def write_manifest(self) -> list[Row]:
        """Write the manifest, and return its rows."""
        first = self.layout.files[0]
        rows = [row for _, row in sorted(self._rows.items()) if (self.out / row[first]).exists()]
        text = io.StringIO()
        writer = csv.DictWriter(text, self.layout.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        put(self.out, MANIFEST, text.getvalue().encode(), force=True)
        return rows

    def close(self) -> None:
        """Remove the journals, which the manifest has made superfluous."""
        # A process that was given up for dead may still be writing there.
        shutil.rmtree(self.out / UNFINISHED, ignore_errors=True)

    def _read(self) -> Iterator[Row]:
        """Yield the rows of manifest and journals."""
        manifest = self.out / MANIFEST
        if manifest.exists():
            with manifest.open(encoding="utf-8", newline="") as lines:
                table = csv.DictReader(lines)
                if tuple(table.fieldnames or ()) != self.layout.columns:
                    raise ValueError(
                        f"{manifest} must be a manifest that this version of sasaug writes for "
                        f"{self.layout.files[0]}s, got other columns"
                    )
                yield from table
        for journal in (self.out / UNFINISHED).glob(JOURNALS):
            for line in journal.read_bytes().split(b"\n"):
                try:
                    yield from json.loads(line)
                except ValueError:  # the last line of a killed run may be torn
                    continue

    def _clear(self) -> None:
        """Delete what the rows name, the manifest last: a killed deletion can be repeated."""
        for row in self._rows.values():
            for path in (row[column] for column in self.layout.files):
                if ".." not in PurePosixPath(path).parts:  # a manifest may be edited
                    (self.out / path).unlink(missing_ok=True)
        shutil.rmtree(self.out / UNFINISHED, ignore_errors=True)
        for name in (SETTINGS, MANIFEST):
            (self.out / name).unlink(missing_ok=True)
        self._rows = {}

    def _settle(self, settings: Mapping[str, Any], force: bool) -> None:
        """Write the settings of a new folder, or compare them with those of an old one."""
        path = self.out / SETTINGS
        # Listed before the settings are looked for: a process that starts beside this one writes
        # its settings before anything else.
        others = [entry for entry in self.out.iterdir() if not entry.name.startswith(".")]
        if not path.exists():
            if others and not force:
                raise ValueError(
                    f"{self.out} must be empty or made by sasaug, and holds other files"
                )
            text = json.dumps(settings, indent=2, ensure_ascii=False) + "\n"
            (self.out / UNFINISHED).mkdir(exist_ok=True)
            _create(self.out, path, text.encode())
        (self.out / UNFINISHED).mkdir(exist_ok=True)
        try:
            old = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise ValueError(f"{path} must hold JSON: start over with --force") from None
        changed = _differences(old, settings)
        if changed:
            raise ValueError(
                f"{self.out} was made with other settings ({'; '.join(changed)}): choose "
                "another folder, or start over with --force"
            )


@contextmanager
def part(out: Path) -> Iterator[Path]:
    """Give the path of a file to write to, on the file system of an output folder."""
    path = out / UNFINISHED / f"part-{uuid4().hex}"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def put(out: Path, name: str, content: bytes, force: bool = False) -> None:
    """Write a file of an output folder; one that is there may stay if it is the same.

    Raises
    ------
    Unusable
        A file with other content is in the way, and may not be overwritten.
    """
    path = out / name
    if path.exists():
        if path.read_bytes() == content:
            return
        if not force:
            raise Unusable(in_the_way(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    with part(out) as unfinished:
        unfinished.write_bytes(content)
        os.replace(unfinished, path)


def in_the_way(path: Path) -> str:
    return f"{path}: exists with other content; --force overwrites it"


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that others see the old one or the whole new one."""
    unfinished = path.with_name(f"{UNFINISHED}-{uuid4().hex}")
    try:
        unfinished.write_bytes(content)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _create(out: Path, path: Path, content: bytes) -> None:
    """Write a file whole, unless another process does it first."""
    with part(out) as unfinished:
        unfinished.write_bytes(content)
        try:
            os.link(unfinished, path)  # fails where the name is taken, as a rename does not
        except FileExistsError:
            return
        except OSError:  # a file system without links
            os.replace(unfinished, path)


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Say what differs, one text per setting."""
    found = []
    for key in sorted({*old, *new} - {"version"}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += _differences(before, after)
        elif before != after:
            found.append(f"{key} was {json.dumps(before)}, is {json.dumps(after)}")
    return found
