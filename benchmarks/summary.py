"""One job: pytest-benchmark's JSON in short: per row the median of each turn, and where it ran."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

COPY, OURS = "copy", "sasaug"


@dataclass(frozen=True)
class Row:
    """One contender of one case."""

    table: str
    case: str
    contender: str
    note: str
    images: int
    pixels: int
    bytes: int  # of the input; as many come out
    seconds: list[float]  # the median of each turn

    @property
    def median(self) -> float:
        """Seconds per call."""
        return statistics.median(self.seconds)

    @property
    def ns(self) -> float:
        """Nanoseconds per pixel of the canvas."""
        return 1e9 * self.median / self.pixels

    @property
    def spread(self) -> tuple[float, float]:
        """The quickest and the slowest turn, in nanoseconds per pixel."""
        return 1e9 * min(self.seconds) / self.pixels, 1e9 * max(self.seconds) / self.pixels

    @property
    def rate(self) -> float:
        """Images per second."""
        return self.images / self.median

    @property
    def gb(self) -> float:
        """Gigabytes in and out per second."""
        return 2e-9 * self.bytes / self.median

    def times(self, other: Row) -> float:
        """Time per pixel over the other's: the median over turns, which both met side by side."""
        if len(self.seconds) != len(other.seconds):
            return self.ns / other.ns
        pairs = zip(self.seconds, other.seconds, strict=True)
        return statistics.median(mine / theirs for mine, theirs in pairs) * (
            other.pixels / self.pixels
        )


@dataclass(frozen=True)
class Summary:
    """A whole run."""

    machine: str
    system: str
    python: str
    instruction_set: str
    versions: dict[str, str]
    commit: str
    date: str
    skipped: dict[str, str]  # contender -> reason
    rows: list[Row]
    remark: str = ""  # on the run, such as that the machine was busy

    def cases(self) -> Iterator[tuple[str, str, dict[str, Row]]]:
        """Table, case, and its rows by contender, in the order in which they ran."""
        found: dict[tuple[str, str], dict[str, Row]] = {}
        for row in self.rows:
            found.setdefault((row.table, row.case), {})[row.contender] = row
        for (table, case), rows in found.items():
            yield table, case, rows

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def summarise(data: dict[str, Any]) -> Summary:
    """From pytest-benchmark's JSON, or from :meth:`Summary.to_json`."""
    if "rows" in data:
        return Summary(**{**data, "rows": [Row(**row) for row in data["rows"]]})
    rows: dict[tuple[str, str, str], Row] = {}
    for run in data["benchmarks"]:
        info, seconds = run["extra_info"], run["stats"]["median"]
        key = (info["table"], info["case"], info["contender"])
        if key not in rows:
            rows[key] = Row(**info, seconds=[])
        # a loader's epochs are as long as its pace asks: their turns compare per image
        rows[key].seconds.append(seconds * rows[key].images / info["images"])
    machine, commit = data["machine_info"], data["commit_info"]
    return Summary(
        machine=machine["cpu"].get("brand_raw") or machine["processor"] or machine["machine"],
        system=f"{machine['system']} {machine['machine']}",
        python=machine["python_version"],
        instruction_set=machine["instruction_set"],
        versions={name: found for name, found in machine["versions"].items() if found},
        commit=commit["id"][:7] + (", changed since" if commit["dirty"] else ""),
        date=data["datetime"][:10],
        skipped=data["skipped"],
        rows=list(rows.values()),
    )
