"""One job: what an expansion is asked for, what became of each part of it, and of all."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from .. import SAS

__all__ = ["TAR", "Job", "Outcome", "Report", "Row", "sample_id"]

TAR = ".tar"
Row = dict[str, str]  # column of the manifest -> text


@dataclass(frozen=True)
class Job:
    """What to expand, and how.

    Attributes
    ----------
    images : Path
        Folder of images; or WebDataset tars, as one name with braces or wildcards that ends in
        ".tar", such as "train-{000..099}.tar".
    masks : Path, optional
        Folder of masks; None for tars, which hold them beside the images.
    out : Path
        Folder to write to. It lies apart from the others.
    augment : sasaug.SAS
        The settings.
    copies : int
        Outputs per case, at least 1.
    seed : int
        In [0, 2^64).
    pattern : str, optional
        How a mask's file name follows from its image's; see `sasaug.folder.pairs.find`. Default:
        "{stem}" in folders, "{stem}.mask" in tars.
    each_mask : bool
        Several masks of one image make a case each.
    per_tar : int, optional
        Write a folder's outputs to WebDataset tars, of so many cases each. None: to files; tars
        are always written to one tar each.
    """

    images: Path
    masks: Path | None
    out: Path
    augment: SAS
    copies: int = 20
    seed: int = 0
    pattern: str | None = None
    each_mask: bool = False
    per_tar: int | None = None

    @property
    def reads_tars(self) -> bool:
        return self.images.suffix == TAR

    @property
    def writes_tars(self) -> bool:
        return self.reads_tars or self.per_tar is not None

    @property
    def mask_pattern(self) -> str:
        return self.pattern or ("{stem}.mask" if self.reads_tars else "{stem}")


@dataclass
class Report:
    """What an expansion did."""

    cases: int = 0  # expanded by this run or an earlier one
    earlier: int = 0  # of these, by an earlier one
    outputs: int = 0
    written: int = 0  # of these, by this run
    transformed: int = 0
    skipped: list[str] = field(default_factory=list)  # file and reason
    notes: dict[str, list[str]] = field(default_factory=dict)  # what happened -> files
    preview: Path | None = None
    report: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of one unit of work: a case, or a tar of many."""

    rows: list[Row] = field(default_factory=list)  # of the manifest
    cases: int = 0
    outputs: int = 0
    transformed: int = 0
    notes: tuple[tuple[str, str], ...] = ()  # (what happened, file)
    skipped: tuple[str, ...] = ()  # file and reason
    earlier: bool = False


def sample_id(key: str, copy: int) -> int:
    """Return the 64-bit sample id of a copy, from the relative path of its source."""
    digest = blake2b(f"{key}#{copy}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")
