"""One job: report in one HTML file how an expansion changed the sizes of structures, with samples.

The file is self-contained: the histogram is SVG and the images are PNG, both embedded. The same
outputs give the same bytes.
"""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from .. import SAS
from ..preview import contact_sheet, encode_png
from .job import Job, Row
from .rows import as_values, is_transformed
from .sheet import tile
from .workspace import Workspace

__all__ = ["REPORT", "Sizes", "histogram", "write_report"]

REPORT = "report.html"
PER_KIND = 5  # samples of each noise shown
DECADES = 4  # of the axis, which ends at the whole image
BINS_PER_DECADE = 5
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BELOW = 760, 260, 56, 24, 16, 40  # of the histogram, in pixels
BEFORE, AFTER = "#8a93a6", "#2f6fde"

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:820px;margin:32px auto;padding:0 16px;
color:#1c1f26;background:#fff}
h1{font-size:24px;margin:0 0 4px}h2{font-size:17px;margin:32px 0 8px}
table{border-collapse:collapse}td,th{padding:4px 14px 4px 0;text-align:right;font-weight:normal}
td:first-child,th:first-child{text-align:left}th{color:#667}tr{border-bottom:1px solid #e4e7ee}
p,figcaption{color:#556;margin:4px 0}figure{margin:0 0 16px}img,svg{max-width:100%;height:auto}
"""


@dataclass(frozen=True)
class Sizes:
    """Sizes of structures: |ROI| / |image| of each, in [0, 1]."""

    shares: Sequence[float]

    def __len__(self) -> int:
        return len(self.shares)

    def empty(self) -> int:
        return sum(share == 0 for share in self.shares)

    def small(self, limit: float) -> int:
        """Count the non-empty ones that cover at most this share of their image."""
        return sum(0 < share <= limit for share in self.shares)

    def heights(self, limit: float) -> dict[int, float]:
        """Return the share of all that falls into each bin of a logarithmic histogram.

        Bin k holds the shares s with k < BINS_PER_DECADE * log10(s / limit) <= k + 1, so that
        no bin mixes small structures with others. The first bin also holds everything left of
        the axis.
        """
        first = math.floor(BINS_PER_DECADE * (-DECADES - math.log10(limit)))
        bins = Counter(
            max(first, math.ceil(BINS_PER_DECADE * math.log10(share / limit)) - 1)
            for share in self.shares
            if share > 0
        )
        return {place: count / len(self) for place, count in sorted(bins.items())}


def write_report(job: Job, space: Workspace, rows: Sequence[Row]) -> Path:
    """Write report.html from the manifest's rows and some outputs on disk."""
    before, after = _before(rows), _after(rows)
    limit = job.augment.small_fraction
    parts = [
        "<h1>Expansion of an ultrasound data set</h1>",
        f"<p>{len(before)} cases, {len(after)} outputs, "
        f"{sum(map(is_transformed, rows))} of them transformed. Seed {job.seed}.</p>",
        "<h2>Small structures, before and after</h2>",
        _table(before, after, limit),
        "<h2>Size of the structures</h2>",
        f"<figure>{histogram(before, after, limit)}<figcaption>Share of the image that the mask "
        "covers, on a logarithmic axis. Heights are shares of all cases, and of all outputs; the "
        f"dashed line is the limit of small structures, {_percent(limit)}.</figcaption></figure>",
        "<h2>Samples of each noise</h2>",
        *_samples(job, rows),
        "<h2>Settings</h2>",
        f"<p><code>{escape(job.augment.to_json())}</code></p>",
    ]
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Expansion</title><style>{STYLE}</style></head><body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )
    space.put(REPORT, page.encode(), force=True)
    return job.out / REPORT


def histogram(before: Sizes, after: Sizes, limit: float) -> str:
    """Draw two histograms in one, as SVG, with a line at the limit of small structures."""
    edge = limit or SAS.small_fraction  # where nothing is small, bins still need an edge
    heights = {BEFORE: before.heights(edge), AFTER: after.heights(edge)}
    top = max((height for bins in heights.values() for height in bins.values()), default=1.0)
    width, height, floor = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BELOW, HEIGHT - BELOW

    def across(share: float) -> float:
        return LEFT + width * min(max(0.0, 1 + math.log10(share) / DECADES), 1.0)

    draw = []
    for part in (0, 0.25, 0.5, 0.75, 1):
        y = floor - height * part
        draw.append(f'<path d="M{LEFT} {y:.1f}h{width}" stroke="#e4e7ee"/>')
        draw.append(_label(LEFT - 6, y + 4, _percent(top * part), "end"))
    for decade in range(-DECADES, 1):
        x = across(10.0**decade)
        draw.append(f'<path d="M{x:.1f} {floor}v5" stroke="#889"/>')
        draw.append(_label(x, floor + 18, _percent(10.0**decade), "middle"))
    for (colour, bins), shift in zip(heights.items(), (0.06, 0.5), strict=True):
        for place, share in bins.items():
            left, right = (across(edge * 10 ** (k / BINS_PER_DECADE)) for k in (place, place + 1))
            x, tall = left + shift * (right - left), height * share / top
            draw.append(
                f'<rect x="{x:.1f}" y="{floor - tall:.1f}" width="{0.44 * (right - left):.1f}" '
                f'height="{tall:.1f}" fill="{colour}"/>'
            )
    for row, (text, colour) in enumerate((("before", BEFORE), ("after", AFTER))):
        y = 26 + 18 * row
        draw.append(f'<rect x="{LEFT + 8}" y="{y - 9}" width="10" height="10" fill="{colour}"/>')
        draw.append(_label(LEFT + 24, y, text, "start"))
    if limit:
        x = across(limit)
        line = 'stroke="#c2410c" stroke-width="1.5" stroke-dasharray="5 4"'
        draw.append(f'<path d="M{x:.1f} {TOP}V{floor}" {line}/>')
        draw.append(_label(x, TOP - 4, _percent(limit), "middle"))
    draw.append(_label(LEFT + width / 2, HEIGHT - 6, "share of the image", "middle"))
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" xmlns="http://www.w3.org/2000/svg" '
        f'font-family="system-ui,sans-serif" font-size="12" fill="#445">{"".join(draw)}</svg>'
    )


def _before(rows: Sequence[Row]) -> Sizes:
    """Return the sizes in the sources, one for each case."""
    cases: dict[tuple[str, str], float] = {}
    for row in map(as_values, rows):
        *_, width, height = row["window"]
        pixels = row["frames"] * width * height
        cases[row["source_image"], row["source_masks"]] = row["source_roi"] / pixels
    return Sizes(list(cases.values()))


def _after(rows: Sequence[Row]) -> Sizes:
    """Return the sizes in the outputs."""
    shares = []
    for row in map(as_values, rows):
        height, width = row["canvas"]
        shares.append(row["roi"] / (row["frames"] * width * height))
    return Sizes(shares)


def _table(before: Sizes, after: Sizes, limit: float) -> str:
    """Return the counts below and above the limit."""
    body = ""
    for name, count in (
        (f"small: at most {_percent(limit)} of the image", lambda sizes: sizes.small(limit)),
        ("large", lambda sizes: len(sizes) - sizes.small(limit) - sizes.empty()),
        ("empty mask", Sizes.empty),
    ):
        cells = "".join(
            f"<td>{count(sizes)}</td><td>{_percent(count(sizes) / len(sizes))}</td>"
            for sizes in (before, after)
        )
        body += f"<tr><td>{name}</td>{cells}</tr>"
    head = "<tr><th></th><th>cases before</th><th></th><th>outputs after</th><th></th></tr>"
    return f"<table>{head}{body}</table>"


def _samples(job: Job, rows: Sequence[Row]) -> list[str]:
    """Return a contact sheet for each noise, its outputs evenly spread over all."""
    found = []
    kinds = sorted({row["noise"] for row in rows if is_transformed(row)})
    for kind in kinds:
        of_kind = [row for row in rows if is_transformed(row) and row["noise"] == kind]
        count = min(PER_KIND, len(of_kind))
        places = [(2 * k + 1) * len(of_kind) // (2 * count) for k in range(count)]
        sheet = contact_sheet(
            [[tile(job, of_kind[place]) for place in places]], tile=192, originals=False
        )
        data = base64.b64encode(encode_png(sheet)).decode()
        name = kind.replace("_", "-") or "no noise"
        found.append(
            f'<figure><img alt="Samples: {name}" src="data:image/png;base64,{data}">'
            f"<figcaption>{name}: {len(of_kind)} outputs</figcaption></figure>"
        )
    return found or ["<p>No output is transformed.</p>"]


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _label(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'
