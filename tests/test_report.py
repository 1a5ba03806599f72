"""Claims about the HTML report of an expansion."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sasaug

pytest.importorskip("cv2", reason="needs the extra `cli`")
pytest.importorskip("PIL", reason="needs the extra `cli`")

import cv2

from pictures import disc, load, picture, tree, write
from sasaug.folder import Job, expand
from sasaug.folder.report import Sizes, histogram

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def job(tmp_path):
    """Two large structures, one small, one empty mask."""
    for name, radius in (("a", 12), ("b", 16), ("c", 3)):
        write(tmp_path / f"images/{name}.png", picture(ord(name)))
        write(tmp_path / f"masks/{name}.png", disc(radius=radius))
    write(tmp_path / "images/d.png", picture(0))
    write(tmp_path / "masks/d.png", disc(value=0))
    return Job(tmp_path / "images", tmp_path / "masks", tmp_path / "out", sasaug.SAS(), copies=20)


def page(job):
    report = expand(job, report=True).report
    assert report == job.out / "report.html"
    return report.read_text(encoding="utf-8")


def cells(text, row):
    """Return the counts of a row of the table."""
    found = re.search(rf"<tr><td>{row}[^<]*</td>(.*?)</tr>", text).group(1)
    numbers = re.findall(r"<td>([^<]*)</td>", found)
    return int(numbers[0]), int(numbers[2])


def test_report_counts_small_structures_before_and_after(job):
    text = page(job)
    before = after = 0
    for name in "abc":
        before += np.count_nonzero(cv2.imread(str(job.masks / f"{name}.png"), 0)) <= 0.03 * 40 * 48
        for copy in range(20):
            mask = cv2.imread(str(job.out / f"masks/{name}_{copy:03}.png"), 0)
            after += 0 < np.count_nonzero(mask) <= 0.03 * mask.size
    assert before == 1 and after > 20
    assert cells(text, "small: at most 3 % of the image") == (before, after)
    assert cells(text, "large") == (2, 60 - after)
    assert cells(text, "empty mask") == (1, 20)
    assert "4 cases, 80 outputs" in text


def test_report_follows_labels_and_limit(job):
    for name in "abc":
        mask = disc(radius=12, value=1)
        mask[18:22, 22:26] = 2
        write(job.masks / f"{name}.png", mask)
    aug = sasaug.SAS(labels=(2,), small_fraction=0.01, p=0.0)
    text = page(replace(job, augment=aug, copies=2))
    assert cells(text, "small: at most 1 % of the image") == (3, 6)
    assert cells(text, "large") == (0, 0)
    assert "No output is transformed." in text


class Links(HTMLParser):
    """Collects what a page would load from elsewhere."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.found += [values[name] for name in ("src", "href") if name in values]


def test_report_needs_no_other_file_and_shows_every_kind(job):
    text = page(job)
    links = Links()
    links.feed(text)
    assert len(links.found) == len(sasaug.PRESETS["default"])
    for link in links.found:
        assert link.startswith("data:image/png;base64,")
        data = np.frombuffer(base64.b64decode(link.partition(",")[2]), np.uint8)
        assert cv2.imdecode(data, cv2.IMREAD_COLOR).shape[1] > 192
    for kind in sasaug.PRESETS["default"]:
        count = (job.out / "manifest.csv").read_text().count(f",{kind},")
        assert f"{kind.replace('_', '-')}: {count} outputs" in text
    assert "<script" not in text and "url(" not in text


def test_report_is_the_same_again(job, tmp_path):
    page(job)
    other = replace(job, out=tmp_path / "other")
    expand(other, workers=3)
    page(other)
    assert tree(job.out) == tree(other.out)


def bars(before, after, limit):
    """Return the rectangles of a histogram by colour, left to right, and the line's position."""
    root = ElementTree.fromstring(histogram(Sizes(before), Sizes(after), limit))
    found = {}
    for box in root.iter(f"{SVG}rect"):
        if box.get("width") != "10":  # the legend's
            values = [float(box.get(name)) for name in ("x", "width", "height")]
            found.setdefault(box.get("fill"), []).append(values)
    dashed = [path for path in root.iter(f"{SVG}path") if path.get("stroke-dasharray")]
    lines = [float(re.match(r"M([\d.]+) ", path.get("d")).group(1)) for path in dashed]
    return found, lines


@given(
    before=st.lists(st.floats(1e-6, 1), min_size=1, max_size=30),
    limit=st.sampled_from([0.001, 0.03, 0.05, 1.0]),
)
def test_bars_left_of_the_line_are_the_small_structures(before, limit):
    before = [*before, limit]  # which is small itself
    found, (line,) = bars(before, [limit], limit)
    ours = next(iter(found.values()))
    total = sum(height for _, _, height in ours)
    left = sum(height for x, width, height in ours if x + width / 2 < line)
    small = sum(share <= limit for share in before) / len(before)
    assert left / total == pytest.approx(small, abs=0.01)


def test_heights_are_shares_of_all():
    found, _ = bars([0.2, 0.2, 0.2, 0.01], [0.2, 0.01, 0.01] + 5 * [0.0], 0.03)
    before, after = ([height for _, _, height in boxes] for boxes in found.values())
    assert before[0] / before[1] == pytest.approx(1 / 3, abs=0.01)
    assert after[0] / after[1] == pytest.approx(2, abs=0.01)
    assert before[1] / after[0] == pytest.approx(3, abs=0.01)


@pytest.mark.parametrize("limit", [0.0, 1.0])
def test_any_limit_and_empty_masks_are_drawn(limit):
    found, lines = bars([0.0, 0.0], [0.0], limit)
    assert found == {} and len(lines) == (limit > 0)


# The contact sheet


def test_preview_shows_what_is_on_disk(job, tmp_path):
    report = expand(job, preview=True)
    assert report.preview == job.out / "preview.png"
    sheet = load(report.preview)
    assert sheet.ndim == 3 and sheet.shape[1] > 4 * 256  # an original and three copies
    expand(replace(job, out=tmp_path / "again"), workers=3, preview=True)
    assert tree(job.out) == tree(tmp_path / "again")


def test_preview_of_nothing_transformed_is_still_drawn(job):
    report = expand(replace(job, augment=sasaug.SAS(p=0.0)), preview=True)
    assert report.transformed == 0 and report.preview is not None
