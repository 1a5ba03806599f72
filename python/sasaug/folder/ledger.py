"""One job: remember what an output folder holds, so that a killed run goes on where it was.

While a run lasts, each finished case is one line of a journal, appended after its files are in
place. At the end journal and older manifest become the new manifest, and the journal goes. Files
appear whole or not at all: they are written beside their place and renamed.
"""

from __future__ import annotations

import csv
import io
import json
import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

__all__ = ["COLUMNS", "Ledger", "Row", "write_atomically"]

MANIFEST, JOURNAL, SETTINGS = "manifest.csv", ".journal.jsonl", "settings.json"
UNFINISHED = ".sasaug-part"  # suffix of files being written
COLUMNS = (
    "image",
    "mask",
    "source_image",
    "source_masks",
    "source_hash",
    "copy",
    "seed",
    "id",
    "transformed",
    "window",
    "thumbnail",
    "noise",
    "strength",
    "canvas",
)
Row = dict[str, str]  # column -> text


class Ledger:
    """The manifest, journal and settings of an output folder.

    Parameters
    ----------
    out : Path
        The folder; made where missing.
    settings : mapping
        What the outputs depend on, and "version", which is written and never compared; must
        survive a round trip through JSON.
    force : bool
        Delete what an earlier run wrote, and start over; write into a folder of other files.

    Raises
    ------
    ValueError
        The folder holds something else, or outputs made with other settings.
    OSError
        It cannot be read or written.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any], force: bool = False) -> None:
        self.out = out
        out.mkdir(parents=True, exist_ok=True)
        for path in out.rglob(f".*{UNFINISHED}"):
            path.unlink()
        self._rows = {row["image"]: row for row in self._read()}
        if force:
            self._clear()
        self._settle(settings, force)
        self._by_source: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in self._rows.values():
            self._by_source[row["source_image"], row["source_masks"]].append(row)

    def rows_of(self, image: str, masks: str) -> list[Row]:
        """Return the rows of one case of an earlier run, by copy, if all their files exist."""
        rows = self._by_source.get((image, masks), [])
        files = [self.out / row[column] for row in rows for column in ("image", "mask")]
        return rows if all(path.exists() for path in files) else []

    def add(self, rows: Iterable[Row]) -> None:
        """Record a finished case, whose files are in place."""
        rows = list(rows)
        self._rows.update({row["image"]: row for row in rows})
        path = self.out / JOURNAL
        line = json.dumps(rows, ensure_ascii=False).encode() + b"\n"
        with path.open("ab+") as journal:
            # A line torn by the end of an earlier run must not swallow this one.
            if journal.tell() > 0:
                journal.seek(-1, os.SEEK_END)
                line = line if journal.read(1) == b"\n" else b"\n" + line
            journal.write(line)

    def close(self) -> list[Row]:
        """Write the manifest, remove the journal and return all rows, sorted by image."""
        rows = [row for _, row in sorted(self._rows.items()) if (self.out / row["image"]).exists()]
        if (self.out / MANIFEST).exists() and not (self.out / JOURNAL).exists():
            return rows  # nothing was added
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(self.out / MANIFEST, text.getvalue().encode())
        (self.out / JOURNAL).unlink(missing_ok=True)
        return rows

    def _read(self) -> Iterable[Row]:
        """Yield the rows of manifest and journal."""
        manifest, journal = self.out / MANIFEST, self.out / JOURNAL
        if manifest.exists():
            with manifest.open(encoding="utf-8", newline="") as lines:
                table = csv.DictReader(lines)
                if tuple(table.fieldnames or ()) != COLUMNS:
                    raise ValueError(f"{manifest} is not a manifest of this version of sasaug")
                yield from table
        if journal.exists():
            for line in journal.read_bytes().split(b"\n"):
                try:
                    yield from json.loads(line)
                except ValueError:  # the last line of a killed run may be torn
                    continue

    def _clear(self) -> None:
        """Delete what the rows name, the manifest last: a killed deletion can be repeated."""
        for row in self._rows.values():
            for path in (row["image"], row["mask"]):
                if ".." not in PurePosixPath(path).parts:  # a manifest may be edited
                    (self.out / path).unlink(missing_ok=True)
        for name in (JOURNAL, SETTINGS, MANIFEST):
            (self.out / name).unlink(missing_ok=True)
        self._rows = {}

    def _settle(self, settings: Mapping[str, Any], force: bool) -> None:
        """Write the settings of a new folder, or compare them with those of an old one."""
        path = self.out / SETTINGS
        if path.exists():
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
            return
        if not force and any(not entry.name.startswith(".") for entry in self.out.iterdir()):
            raise ValueError(f"{self.out} must be empty or made by sasaug, and holds other files")
        text = json.dumps(settings, indent=2, ensure_ascii=False) + "\n"
        write_atomically(path, text.encode())


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that others see the old one or the whole new one."""
    part = path.with_name(f".{os.getpid()}-{threading.get_ident()}{UNFINISHED}")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


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
