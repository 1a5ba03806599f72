"""One job: list the image files below a folder, and guess from their names how to pair them."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile
from pathlib import Path, PurePosixPath

from .reading import FORMATS, SUFFIXES

__all__ = ["Listing", "first_names", "hint", "listed"]

SHOWN = 3  # names in a hint
TRIED = 50  # images that a hint is derived from


@dataclass
class Listing:
    """The image files below a folder."""

    paths: list[str] = field(default_factory=list)  # relative, with forward slashes, sorted
    problems: list[str] = field(default_factory=list)  # each names a file that is left out
    notes: list[tuple[str, str]] = field(default_factory=list)  # (why it was passed over, file)

    def names(self, folder: str) -> list[str]:
        """Return the sorted names of the files in a sub-folder; "" is the folder itself."""
        return self._folders.get(folder, [])

    @cached_property
    def _folders(self) -> dict[str, list[str]]:
        folders: defaultdict[str, list[str]] = defaultdict(list)
        for path in self.paths:
            folder, _, name = path.rpartition("/")
            folders[folder].append(name)
        return dict(folders)


def listed(root: Path, leave_out: Sequence[Path]) -> Listing:
    """List the image files below a folder.

    Parameters
    ----------
    root : Path
        The folder. Links to folders are followed; each real folder is read once.
    leave_out : sequence of Path
        Folders that are not searched.

    Raises
    ------
    OSError
        A folder cannot be listed.
    """
    found = Listing()
    top = root.resolve()
    seen = {top}
    left_out = {folder.resolve() for folder in leave_out}

    def walk(folder: Path, prefix: str) -> None:
        with os.scandir(folder) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
        for entry in ordered:
            path = prefix + entry.name
            shown = _shown(root / path)
            if entry.name[0] == ".":
                found.notes.append(("passed over: hidden", shown))
            elif _is_folder(entry):
                real = Path(entry.path).resolve()
                again = real in seen or top in real.parents or real in top.parents
                if real in left_out:
                    continue
                if real in seen or (entry.is_symlink() and again):
                    found.notes.append(("passed over: link to a folder that is read anyway", shown))
                    continue
                seen.add(real)
                walk(Path(entry.path), f"{path}/")
            elif not entry.name.lower().endswith(SUFFIXES):
                found.notes.append((f"passed over: not a {FORMATS} file by its suffix", shown))
            elif not entry.is_symlink() and not entry.is_file():
                found.notes.append(("passed over: not a regular file", shown))
            else:
                _add(path, found)

    walk(root, "")
    found.paths.sort()
    return found


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads back to itself; reading it says so
        return False


def _add(path: str, found: Listing) -> None:
    if _shown(path) == path:
        found.paths.append(path)
    else:
        found.problems.append(f"{_shown(path)}: its name is not valid UTF-8")


def _shown(path: Path | str) -> str:
    """Return a path that can be printed, whatever its bytes."""
    text = str(path)
    try:
        text.encode()
    except UnicodeEncodeError:
        return ascii(text)
    return text


def hint(images: Sequence[str], of_masks: Listing, masks: Path, same: bool) -> str:
    """Say which names there are, and which patterns would pair them."""
    own = set(images) if same else set()
    names = [path for path in of_masks.paths if path not in own]
    if not images or (same and not names):
        return ""
    if not names:
        return f"; {first_names(masks, (), [file for _, file in of_masks.notes])}"
    options = _by_stem(images, of_masks, same) or _by_affixes(images, names)
    return f"; {first_names(masks, names)}" + (f"; did you mean {options}?" if options else "")


def first_names(root: Path, paths: Sequence[str], others: Sequence[str] = ()) -> str:
    """Show the first names below a folder, or the first other files if it has no images."""
    names = paths or others
    first = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    if paths:
        return f"the first names in {root} are {first}"
    return f"{root} holds no {FORMATS} file" + (f", but {first}" if others else "")


def _by_stem(images: Sequence[str], of_masks: Listing, same: bool) -> str:
    """Derive the pattern of masks whose names hold those of their images."""
    count: Counter[str] = Counter()
    for path in images[:TRIED]:
        folder, _, name = path.rpartition("/")
        stem = PurePosixPath(name).stem
        for other in of_masks.names(folder):
            if stem in other and not (same and other == name):
                count[PurePosixPath(other).stem.replace(stem, "{stem}", 1)] += 1
    ((best, fits),) = count.most_common(1) or [("", 0)]
    return f'--pattern "{best}"' if 2 * fits >= len(images[:TRIED]) and fits else ""


def _common_start(*texts: str) -> str:
    """Return the characters that all texts begin with."""
    columns = zip(*texts, strict=False)
    return "".join(column[0] for column in takewhile(lambda c: len(set(c)) == 1, columns))


def _by_affixes(images: Sequence[str], masks: Sequence[str]) -> str:
    """Derive patterns from the parts that the names of images, and of masks, have in common."""
    patterns, keys = [], []
    for paths in (images, masks):
        stems = {PurePosixPath(path).stem for path in paths}
        head = _common_start(*stems)
        tail = _common_start(*(stem[len(head) :][::-1] for stem in stems))[::-1]
        patterns.append(f"{head}{{key}}{tail}")
        keys.append({stem[len(head) : len(stem) - len(tail)] for stem in stems})
    if "" in keys[0] or 2 * len(keys[0] & keys[1]) < len(keys[0]):
        return ""
    return f'--image-pattern "{patterns[0]}" --pattern "{patterns[1]}"'
