"""One job: describe an expansion, and the results of its parts and of the whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from .. import SAS

__all__ = ["TAR", "Job", "Outcome", "Report", "Row", "Unusable", "sample_id"]

TAR = ".tar"
Row = dict[str, str]  # column of the manifest -> text


class Unusable(Exception):
    """A file that cannot be used; the text names it and the reason."""


@dataclass(frozen=True)
class Job:
    """What to expand, and the settings.

    Attributes
    ----------
    images : Path
        Folder of images; or WebDataset tars, given as one name with braces or wildcards that ends
        in ".tar", such as "train-{000..099}.tar".
    masks : Path, optional
        Folder of masks; None for tars, which hold the masks too.
    out : Path
        Output folder, apart from the others.
    augment : sasaug.SAS
        The settings.
    copies : int
        Outputs per case, at least 1.
    seed : int
        In [0, 2^64).
    pattern : str, optional
        File name of the masks of an image; see `sasaug.folder.pairs.find`. Default: "{stem}" in
        folders, "{key}" with `image_pattern`, "{stem}.mask" in tars.
    image_pattern : str, optional
        File name of an image, with "{key}" for the part that `pattern` repeats; folders only.
        Default: every file is an image, and its key is its stem.
    each_mask : bool
        Several masks of one image make a case each.
    mask_threshold : int, optional
        Least grey value in [0, 65535] that counts as object; 0: grey values are labels. Default:
        half of the mask's maximum for masks with lossy compression or soft edges, 0 for others.
    per_tar : int, optional
        Write a folder's outputs to WebDataset tars with this many cases each. None: to files;
        each input tar always becomes one output tar.
    """

    images: Path
    masks: Path | None
    out: Path
    augment: SAS
    copies: int = 20
    seed: int = 0
    pattern: str | None = None
    image_pattern: str | None = None
    each_mask: bool = False
    mask_threshold: int | None = None
    per_tar: int | None = None

    @property
    def reads_tars(self) -> bool:
        return self.images.suffix == TAR

    @property
    def writes_tars(self) -> bool:
        return self.reads_tars or self.per_tar is not None

    @property
    def mask_pattern(self) -> str:
        default = "{stem}" if self.image_pattern is None else "{key}"
        return self.pattern or ("{stem}.mask" if self.reads_tars else default)


@dataclass
class Report:
    """Result of an expansion."""

    cases: int = 0  # expanded by this run or an earlier one
    earlier: int = 0  # of these, by an earlier one
    outputs: int = 0
    written: int = 0  # of these, by this run
    transformed: int = 0
    skipped: list[str] = field(default_factory=list)  # file and reason
    notes: dict[str, list[str]] = field(default_factory=dict)  # what was decided -> files
    absent_labels: list[int] = field(default_factory=list)  # in none of the masks read now
    mask_labels: list[int] = field(default_factory=list)  # in these masks, where labels are given
    preview: Path | None = None
    report: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """Result of one unit of work: a case, or a tar of many."""

    rows: list[Row] = field(default_factory=list)  # of the manifest
    cases: int = 0
    outputs: int = 0
    transformed: int = 0
    notes: tuple[tuple[str, str], ...] = ()  # (what was decided, file)
    labels: frozenset[int] = frozenset()  # in the masks, where labels are asked for
    skipped: tuple[str, ...] = ()  # file and reason
    earlier: bool = False


def sample_id(key: str, copy: int) -> int:
    """Return the 64-bit sample id of a copy, from the relative path of its source."""
    digest = blake2b(f"{key}#{copy}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")
