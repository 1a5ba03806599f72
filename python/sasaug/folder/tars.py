"""One job: expand WebDataset tars, or groups of a folder's cases, into one tar each.

A sample of a tar is an image with masks of the same key: ``x.png`` and ``x.mask.png``. Each copy
becomes a sample: ``x_000.png``, ``x_000.mask.png``, and ``x_000.json``, its row of the manifest;
clips are ``.tif``.
Needs the ``webdataset`` extra.
"""

from __future__ import annotations

import filecmp
import glob
import json
import math
import os
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import Any

from .cases import Case, decode, fingerprint
from .copies import Copy, copies
from .files import CHANGED, contents, labels_of
from .job import TAR, Job, Outcome, Row, Unusable
from .pairs import cases_of, same_stem
from .reading import FORMATS, SUFFIXES
from .rows import as_values, is_transformed
from .workspace import Workspace, in_the_way, named

__all__ = ["Tar", "expand_tar", "find_tars", "grouped"]

INDEX_DIGITS = 6  # of a tar's number
LEFT_OUT = ("image", "mask")  # columns that name files, which a tar does not have
Source = tuple[Case, Sequence[bytes]]


@dataclass(frozen=True)
class Tar:
    """One tar to be written, and its contents."""

    name: str  # of the output
    path: Path | None = None  # of the input
    cases: tuple[Case, ...] = ()  # of a folder

    @property
    def source(self) -> str:
        """Its source, as the manifest names it."""
        if self.path is not None:
            return self.path.name
        return f"{self.cases[0].image} to {self.cases[-1].image}"


def find_tars(images: Path, out: Path) -> list[Tar]:
    """Find tars by a name with braces or wildcards.

    Raises
    ------
    ValueError
        There is none, two have the same name, or one lies in `out`.
    """
    import braceexpand

    paths: list[str] = []
    for name in braceexpand.braceexpand(str(images)):
        paths += glob.glob(name) if glob.has_magic(name) else [name]
    if not paths:
        raise ValueError(f"images must name tars, got {images}, which no file matches")
    missing = [path for path in paths if not Path(path).is_file()]
    if missing:
        more = f" ({len(missing)} in all)" if len(missing) > 1 else ""
        raise ValueError(f"images must name tars that exist, got {missing[0]}{more}")
    tars = [Tar(Path(path).name, Path(path)) for path in paths]
    ((name, count),) = Counter(tar.name for tar in tars).most_common(1)
    if count > 1:
        raise ValueError(f"images must be tars of different names, got {count} named {name}")
    inside = [path for path in paths if Path(path).resolve().parent == out.resolve()]
    if inside:
        raise ValueError(f"out must lie apart from images ({inside[0]}), got {out}")
    return sorted(tars, key=lambda tar: tar.name)


def grouped(cases: Sequence[Case], per_tar: int) -> list[Tar]:
    """Divide the cases of a folder into tars, in their order."""
    starts = range(0, len(cases), per_tar)
    return [
        Tar(f"{number:0{INDEX_DIGITS}}{TAR}", cases=tuple(cases[start : start + per_tar]))
        for number, start in enumerate(starts)
    ]


@dataclass
class _Written:
    """Contents of a tar that has been written."""

    count: Counter[str] = field(default_factory=Counter)  # cases, outputs, transformed
    skipped: list[str] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    labels: set[int] = field(default_factory=set)


def expand_tar(job: Job, space: Workspace, tar: Tar, earlier: list[Row], force: bool) -> Outcome:
    """Write a tar, unless an earlier run did and left this row."""
    try:
        source_hash = _fingerprint(job, tar)
        if any(row["source_hash"] != source_hash for row in earlier):
            raise Unusable(f"{tar.name}: {tar.source} {CHANGED}")
        if earlier:
            return _outcome(earlier[0])
        path = space.out / tar.name
        with named(path), space.part() as unfinished:
            written = _write(job, tar, unfinished)
            _place(unfinished, path, force)
    except Unusable as reason:
        return Outcome(skipped=(str(reason),))
    row = {
        "tar": tar.name,
        "source": tar.source,
        "source_hash": source_hash,
        **{name: str(written.count[name]) for name in ("cases", "outputs", "transformed")},
        "skipped": json.dumps(written.skipped, ensure_ascii=False),
    }
    return _outcome(row, written)


def _write(job: Job, tar: Tar, path: Path) -> _Written:
    """Write the copies of all cases."""
    from webdataset import TarWriter

    written = _Written()
    with (
        path.open("wb") as stream,
        TarWriter(stream, user="", group="", encoder=False, mtime=0) as writer,
    ):
        for source in _sources(job, tar, written):
            try:
                if isinstance(source, Unusable):
                    raise source
                case, found = source
                loaded = decode(case, found, job)
                for copy in copies(job, case, loaded, fingerprint(found)):
                    writer.write(_sample(case, copy))
                    written.count["outputs"] += 1
                    written.count["transformed"] += is_transformed(copy.row)
                written.count["cases"] += 1
                written.notes += loaded.notes
                written.labels |= labels_of(job, loaded)
            except Unusable as reason:
                written.skipped.append(str(reason))
    return written


def _sample(case: Case, copy: Copy) -> dict[str, str | bytes]:
    """Return a copy as a sample of WebDataset."""
    # A key ends at its first dot; a name may have several.
    key = case.name.replace("%", "%25").replace(".", "%2e")
    number, _, ending = copy.row["image"].rpartition("_")[2].partition(".")
    return {
        "__key__": f"{key}_{number}",
        ending: copy.image,
        f"mask.{ending}": copy.mask,
        "json": json.dumps(_facts(copy.row), ensure_ascii=False).encode(),
    }


def _facts(row: Row) -> dict[str, Any]:
    """Return a row of a manifest for JSON."""
    facts = {name: value for name, value in as_values(row).items() if name not in LEFT_OUT}
    if facts["strength"] is not None and not math.isfinite(facts["strength"]):
        facts["strength"] = row["strength"]  # JSON has no infinity; a plan writes the same word
    return facts


def _sources(job: Job, tar: Tar, written: _Written) -> Iterator[Source | Unusable]:
    """Yield the cases of a tar with their contents, or the reason why they cannot be used."""
    if tar.path is not None:
        yield from _samples(job, tar.path, written)
        return
    for case in tar.cases:
        try:
            yield case, contents(job, case)
        except Unusable as reason:
            yield reason


def _samples(job: Job, path: Path, written: _Written) -> Iterator[Source | Unusable]:
    """Yield the cases of an input tar, in its order."""
    from webdataset.tariterators import group_by_keys, tar_file_expander

    seen: set[str] = set()
    with path.open("rb") as stream:
        try:
            for sample in group_by_keys(tar_file_expander([{"url": path.name, "stream": stream}])):
                key = sample["__key__"]
                names = sorted(f"{key}.{field}" for field in sample if field[:2] != "__")
                if key in seen:
                    yield Unusable(
                        f"{path.name}: {key}: the files of a sample must be next to each other"
                    )
                    continue
                seen.add(key)
                cases = list(_paired(names, key, job))
                if not cases:
                    note = f"passed over: sample without a {FORMATS} file"
                    written.notes.append((note, f"{path.name}: {key}"))
                for case in cases:
                    if isinstance(case, Unusable):
                        yield Unusable(f"{path.name}: {case}")
                    else:
                        files = (case.image, *case.masks)
                        yield case, [sample[name[len(key) + 1 :]] for name in files]
        except (tarfile.TarError, EOFError, ValueError) as error:
            raise Unusable(f"{path.name}: cannot be read as a tar ({error.args[0]})") from error


def _paired(names: list[str], key: str, job: Job) -> Iterator[Case | Unusable]:
    """Yield the cases that the files of one sample make."""
    stem = PurePosixPath(key).name
    wanted = job.mask_pattern.replace("{stem}", glob.escape(stem))
    files = [name for name in names if name.lower().endswith(SUFFIXES)]
    masks = [
        name
        for name, base in ((name, PurePosixPath(name)) for name in files)
        if fnmatchcase(base.name, wanted) or fnmatchcase(base.stem, wanted)
    ]
    images = [name for name in files if name not in masks]
    if not files:
        return  # labels and captions alone
    if len(images) != 1:
        yield Unusable(f"{key}: must have one image, got {' and '.join(images) or 'none'}")
    elif not masks:
        others = f"; the sample holds {', '.join(names)}"
        yield Unusable(f"{images[0]}: no mask matches {job.mask_pattern!r}{others}")
    elif twins := same_stem(masks):
        yield Unusable(f"{images[0]}: {' and '.join(twins)} are masks of one name; keep one")
    else:
        yield from cases_of(images[0], tuple(masks), job.each_mask)


def _place(unfinished: Path, path: Path, force: bool) -> None:
    """Give a finished tar its name."""
    if path.exists() and not force and not filecmp.cmp(unfinished, path, shallow=False):
        raise Unusable(in_the_way(path))
    os.replace(unfinished, path)


def _fingerprint(job: Job, tar: Tar) -> str:
    """Return 16 hexadecimal digits that change when the source of a tar does."""
    digest = blake2b(digest_size=8)
    for case in tar.cases:
        try:
            found = contents(job, case)
        except Unusable:
            found = []
        digest.update(fingerprint([case.key.encode(), *found]).encode())
    if tar.path is None:
        return digest.hexdigest()
    with tar.path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _outcome(row: Row, written: _Written | None = None) -> Outcome:
    """Return the outcome of a tar, written now or, with None, by an earlier run."""
    return Outcome(
        [row],
        cases=int(row["cases"]),
        outputs=int(row["outputs"]),
        transformed=int(row["transformed"]),
        notes=() if written is None else tuple(written.notes),
        labels=frozenset() if written is None else frozenset(written.labels),
        skipped=tuple(json.loads(row["skipped"])),
        earlier=written is None,
    )
