"""One job: remember what an output folder holds, so that a killed run resumes where it stopped.

Any number of processes may write to one folder at once, because no two write to one file:

- unfinished files lie in the run's own folder, see `workspace`;
- each process keeps a journal there, one line for each case whose files are in place.

At the end one process merges the older manifest and all journals into the new manifest, and the
run's folder is removed. Nothing shows who wrote which journal, or in which order.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

from .job import Row
from .workspace import MANIFEST, UNFINISHED, Workspace, retire

__all__ = ["FILES", "TARS", "Layout", "Ledger"]

SETTINGS = "settings.json"
JOURNALS = "**/journal-*.jsonl"


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
        "source_orientations",
        "frames",
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
        The folder; made if missing.
    settings : mapping
        Everything that the outputs depend on, and "version", which is written and never
        compared; must survive a round trip through JSON.
    layout : Layout
        The columns of a row.
    force : bool
        Delete the outputs of an earlier run and start over; write into a folder of other files.

    Attributes
    ----------
    workspace : Workspace
        Writes the files of the folder.

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
        self._is_new = not out.exists()
        out.mkdir(parents=True, exist_ok=True)
        self._check_manifest()
        if force:
            retire(out)
        else:
            self._check_is_ours(settings)
        self.workspace, begun = Workspace.join(out.absolute(), settings)
        self._compare(begun, settings)
        if force:
            self._clear()
        self._settle(settings)
        self._rows = {row[layout.files[0]]: row for row in self._read([out / UNFINISHED])}
        self._journal = self.workspace.folder / f"journal-{uuid4().hex}.jsonl"
        self._by_source: defaultdict[tuple[str, ...], list[Row]] = defaultdict(list)
        for row in self._rows.values():
            self._by_source[tuple(row[column] for column in layout.source)].append(row)

    def rows_of(self, *source: str) -> list[Row]:
        """Return the rows that an earlier run made of a unit, by copy, if all files exist."""
        rows = self._by_source.get(source, [])
        files = [self.out / row[column] for row in rows for column in self.layout.files]
        return rows if all(path.exists() for path in files) else []

    def add(self, rows: Iterable[Row]) -> None:
        """Record a finished unit, whose files are in place."""
        rows = list(rows)
        self._rows.update({row[self.layout.files[0]]: row for row in rows})
        with self.workspace.owned(), self._journal.open("ab") as journal:
            journal.write(json.dumps(rows, ensure_ascii=False).encode() + b"\n")

    def has_outputs(self) -> bool:
        """Say whether any recorded output exists."""
        first = self.layout.files[0]
        return any((self.out / row[first]).exists() for row in self._rows.values())

    def write_manifest(self) -> list[Row]:
        """Write the manifest, and return its rows."""
        first = self.layout.files[0]
        rows = [row for _, row in sorted(self._rows.items()) if (self.out / row[first]).exists()]
        text = io.StringIO()
        writer = csv.DictWriter(text, self.layout.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        self.workspace.put(MANIFEST, text.getvalue().encode(), force=True)
        return rows

    def close(self) -> None:
        """End the run: the manifest has replaced the journals."""
        self.workspace.retire()
        self._tidy()

    def withdraw(self) -> None:
        """End a run that has no outputs: leave nothing that would refuse the next one."""
        for name in (MANIFEST, SETTINGS):
            self.workspace.discard(name)
        self.close()
        if self._is_new:
            with suppress(OSError):  # another process has written to it
                self.out.rmdir()

    def _read(self, folders: Iterable[Path]) -> Iterator[Row]:
        """Yield the rows of the manifest, and of the journals below some folders."""
        manifest = self.out / MANIFEST
        if manifest.exists():
            with manifest.open(encoding="utf-8", newline="") as lines:
                yield from csv.DictReader(lines)
        for folder in folders:
            with suppress(FileNotFoundError):  # of a run that ends now
                for journal in folder.glob(JOURNALS):
                    yield from _rows_of(journal.read_bytes())

    def _retired(self) -> list[Path]:
        """Return the folders of runs that have ended."""
        return sorted(self.out.glob(f"{UNFINISHED}-*"))

    def _clear(self) -> None:
        """Delete the outputs of older runs, the manifest last: it can be repeated if killed."""
        for row in self._read(self._retired()):
            for path in (row[column] for column in self.layout.files):
                parts = PurePosixPath(path)
                if not parts.is_absolute() and ".." not in parts.parts:  # it may be edited
                    self.workspace.discard(path)
        for name in (SETTINGS, MANIFEST):
            self.workspace.discard(name)
        self._tidy()

    def _tidy(self) -> None:
        for folder in self._retired():
            shutil.rmtree(folder, ignore_errors=True)

    def _check_manifest(self) -> None:
        """Refuse a manifest that is not of this layout."""
        manifest = self.out / MANIFEST
        if not manifest.exists():
            return
        with manifest.open(encoding="utf-8", newline="") as lines:
            columns = next(csv.reader(lines), [])
        if tuple(columns) != self.layout.columns:
            raise ValueError(
                f"{manifest} must be a manifest that this version of sasaug writes for "
                f"{self.layout.files[0]}s, got other columns: choose another folder, or delete it"
            )

    def _check_is_ours(self, settings: Mapping[str, Any]) -> None:
        """Refuse a folder of other files, or of other settings, before anything is written."""
        # Listed before the settings are looked for: a process that starts beside this one writes
        # its settings before anything else.
        others = [entry for entry in self.out.iterdir() if not entry.name.startswith(".")]
        old = self._old_settings()
        if old is not None:
            self._compare(old, settings)
        elif others:
            raise ValueError(
                f"{self.out} must be empty or made by sasaug, got other files: choose another "
                "folder, or write into this one with --force"
            )

    def _settle(self, settings: Mapping[str, Any]) -> None:
        """Write the settings, if the folder has none."""
        text = json.dumps(settings, indent=2, ensure_ascii=False) + "\n"
        self.workspace.create(SETTINGS, text.encode())
        try:
            self._compare(self._old_settings() or {}, settings)
        except ValueError:  # of a run that ended since they were looked at
            self.workspace.retire()
            raise

    def _old_settings(self) -> dict[str, Any] | None:
        path = self.out / SETTINGS
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (TypeError, ValueError):
            raise ValueError(f"{path} must hold JSON: start over with --force") from None

    def _compare(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        changed = _differences(old, new)
        if changed:
            raise ValueError(
                f"{self.out} was made with other settings ({'; '.join(changed)}): choose "
                "another folder, or start over with --force"
            )


def _rows_of(journal: bytes) -> Iterator[Row]:
    for line in journal.split(b"\n"):
        with suppress(ValueError):  # the last line of a killed run may be torn
            yield from json.loads(line)


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Describe each setting that differs."""
    found = []
    for key in sorted({*old, *new} - {"version"}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += _differences(before, after)
        elif before != after:
            found.append(f"{key} was {json.dumps(before)}, is {json.dumps(after)}")
    return found
