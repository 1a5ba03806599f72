"""Scores of masks that are known by hand, and the rows of a model that learns from its clicks."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from litemedsam import evaluate as module
from litemedsam.evaluate import Row, evaluate, evaluate_run, interact, read_rows, score, write_csv

SIDE = 32


def square(x: int, y: int, width: int, height: int) -> torch.Tensor:
    mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    mask[y : y + height, x : x + width] = True
    return mask


class Painter:
    """Paints a disc of radius 4 per click: foreground where the label is 1, background where 0.

    A box it fills. It counts its calls, and keeps the clicks.
    """

    def __init__(self, start: bool = False) -> None:
        self.start, self.encoded, self.decoded = start, 0, []

    def encode(self, images):
        self.encoded += 1
        return images

    def decode(self, embedding, points, boxes):
        self.decoded.append(points)
        y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
        logits = torch.full((len(embedding), SIDE, SIDE), 1.0 if self.start else -1.0)
        if boxes is not None:
            for picture, (x0, y0, x1, y1) in zip(logits, boxes, strict=True):
                picture[(x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)] = 1
        else:
            for picture, places, labels in zip(logits, *points, strict=True):
                for (cx, cy), label in zip(places, labels, strict=True):
                    near = (x - cx) ** 2 + (y - cy) ** 2 <= 16
                    if label != -1:
                        picture[near] = 1.0 if label == 1 else -1.0
        return logits[:, None], torch.zeros(len(embedding), 1)


def case(name: str, small: bool | None = True, area: float | None = 0.02) -> SimpleNamespace:
    return SimpleNamespace(name=name, group=name[0], small=small, area=area)


MASKS = torch.stack([square(4, 4, 20, 6), square(10, 8, 12, 20), square(2, 2, 14, 9)])
CASES = [case("a1"), case("a2", False, 0.2), case("b1")]
BATCHES = [
    (torch.rand(2, 3, SIDE, SIDE), MASKS[:2].byte(), CASES[:2]),
    (torch.rand(1, 3, SIDE, SIDE), MASKS[2:].byte(), CASES[2:]),
]
QUIET = {"progress": False, "clicks": 5}


def test_dice_and_nsd_of_masks_known_by_hand():
    mask = square(8, 8, 10, 10)
    pairs = {
        # moved by 2 px: within the tolerance of 2; 80 of 100 pixels shared
        "moved by 2": (square(10, 8, 10, 10), 0.8, 1.0),
        # of each boundary's 36 pixels the outer column's 10 are 3 away, and of the inner column's,
        # the middle 4: the others have the other square's upper or lower side within 2
        "moved by 3": (square(11, 8, 10, 10), 0.7, (36 - 14) / 36),
        "far away": (square(24, 24, 4, 4), 0.0, 0.0),
        "empty": (torch.zeros_like(mask), 0.0, 0.0),
        "the same": (mask, 1.0, 1.0),
    }
    predictions = torch.stack([pair[0] for pair in pairs.values()])
    dice, nsd = score(predictions, mask.expand_as(predictions))
    assert dice.tolist() == pytest.approx([pair[1] for pair in pairs.values()])
    assert nsd.tolist() == pytest.approx([pair[2] for pair in pairs.values()])


def test_nsd_takes_its_tolerance_and_counts_the_border_as_boundary():
    mask, moved = square(8, 8, 10, 10)[None], square(11, 8, 10, 10)[None]
    assert score(moved, mask, tolerance=3)[1].item() == 1
    # a full canvas: its 124 border pixels are its boundary, all more than 2 from the other's 36
    assert score(torch.ones_like(mask), mask)[1].item() == 0
    assert score(torch.ones_like(mask), torch.ones_like(mask))[1].item() == 1
    with pytest.raises(ValueError, match="empty mask"):
        score(moved, torch.zeros_like(mask))


def test_rows_say_what_was_scored_and_improve_with_clicks():
    model = Painter()
    rows = evaluate(model, BATCHES, "set", **QUIET)
    assert model.encoded == len(BATCHES)
    assert len(rows) == len(CASES) * 5
    for each in CASES:
        mine = [row for row in rows if row.case == each.name]
        assert [row.clicks for row in mine] == [1, 2, 3, 4, 5]
        assert {(row.group, row.small, row.area) for row in mine} == {
            (each.group, each.small, each.area)
        }
        assert {(row.test_set, row.prompt, row.rule, row.tolerance) for row in mine} == {
            ("set", "click", "deepest", 2.0)
        }
        assert mine[-1].dice > mine[0].dice
    # each row is the score of its own step
    *_, last = interact(Painter(), *_inputs(), clicks=5)
    dice, nsd = score(last.prediction, MASKS[:2])
    held = [(row.dice, row.nsd) for row in rows if row.clicks == 5][:2]
    assert held == list(zip(dice.tolist(), nsd.tolist(), strict=True))


def _inputs():
    return BATCHES[0][0], MASKS[:2]


def test_every_click_is_decoded_with_all_before_and_corrects_the_last_prediction():
    model = Painter()
    steps = list(interact(model, *_inputs(), clicks=4))
    before = torch.zeros_like(MASKS[:2])
    for k, (step, (xy, labels)) in enumerate(zip(steps, model.decoded, strict=True), 1):
        assert xy.shape == (2, k, 2) and labels.shape == (2, k)
        assert torch.equal(xy[:, : k - 1], model.decoded[k - 2][0]) or k == 1
        for b, ((x, y), label) in enumerate(zip(xy[:, -1].long(), labels[:, -1], strict=True)):
            assert before[b, y, x] != MASKS[b, y, x] == bool(label)
        before = step.prediction


def test_a_user_with_nothing_to_correct_keeps_what_is_there():
    class Perfect(Painter):
        def decode(self, embedding, points, boxes):
            logits, iou = super().decode(embedding, points, boxes)
            if points[0].shape[1] == 1:
                logits = MASKS[:2, None].float() - 0.5
            return logits, iou

    steps = list(interact(Perfect(), *_inputs(), clicks=3))
    assert all(torch.equal(step.prediction, MASKS[:2]) for step in steps)
    assert steps[-1].labels.tolist() == [[1, -1, -1]] * 2


def test_a_box_is_one_row_without_clicks():
    rows = evaluate(Painter(), BATCHES, "set", prompt="box", **QUIET)
    assert [(row.case, row.clicks, row.prompt, row.rule) for row in rows] == [
        (each.name, 0, "box", "") for each in CASES
    ]
    # the masks are their own boxes
    assert [(row.dice, row.nsd) for row in rows] == [(1, 1)] * 3


def test_drawn_clicks_come_from_the_seed():
    def places(seed: int) -> list:
        model = Painter()
        evaluate(model, BATCHES[:1], "set", rule="top-30-percent", seed=seed, **QUIET)
        return model.decoded[-1][0].tolist()

    assert places(1) == places(1) != places(2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"masks": MASKS[:2] & False}, "a1: an empty mask"),
        ({"cases": [case("a1"), case("a2", None, None)]}, "a2: area and small must be known"),
    ],
)
def test_cases_that_cannot_be_scored_are_named(change, words):
    images, masks, cases = BATCHES[0]
    batch = (images, change.get("masks", masks), change.get("cases", cases))
    with pytest.raises(ValueError, match=words):
        evaluate(Painter(), [batch], "set", **QUIET)


@pytest.mark.parametrize("wrong", [{"prompt": "scribble"}, {"clicks": 0}, {"rule": "any"}])
def test_options_are_checked(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        evaluate(Painter(), BATCHES, "set", **(QUIET | wrong))


def test_rows_survive_their_file(tmp_path):
    rows = evaluate(Painter(), BATCHES, 'a "set", with commas', **QUIET)
    write_csv(rows, tmp_path / "new" / "a.csv")
    held = read_rows(tmp_path / "new")
    for before, after in zip(rows, held, strict=True):
        assert after == replace(before, dice=after.dice, nsd=after.nsd)
        assert (after.dice, after.nsd) == pytest.approx((before.dice, before.nsd), abs=1e-6)


def test_a_file_is_complete_or_not_there(tmp_path):
    rows = evaluate(Painter(), BATCHES, "set", **QUIET)
    with pytest.raises(TypeError):
        write_csv([*rows, "no row"], tmp_path / "a.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_run_resumes_where_it_stopped(tmp_path):
    def broken():
        yield BATCHES[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate_run(Painter(), {"one": BATCHES, "two": broken()}, tmp_path, **QUIET)
    assert [path.name for path in tmp_path.iterdir()] == ["one_click.csv"]

    model = Painter()
    kept = (tmp_path / "one_click.csv").stat().st_mtime_ns
    paths = evaluate_run(model, {"one": BATCHES, "two": BATCHES}, tmp_path, **QUIET)
    assert [path.name for path in paths] == ["one_click.csv", "two_click.csv"]
    assert model.encoded == len(BATCHES)
    assert (tmp_path / "one_click.csv").stat().st_mtime_ns == kept

    evaluate_run(model, {"one": BATCHES}, tmp_path, force=True, **QUIET)
    assert model.encoded == 2 * len(BATCHES)
    # the other prompt has files of its own
    evaluate_run(model, {"one": BATCHES}, tmp_path, prompt="box", **QUIET)
    assert {row.prompt for row in read_rows(tmp_path)} == {"click", "box"}
    evaluate_run(model, {"one": BATCHES}, tmp_path, prompt="box", **QUIET)
    assert model.encoded == 3 * len(BATCHES)


class Loader(list):
    """Batches of a data set with so many cases."""

    dataset = range(4)


@pytest.mark.parametrize(
    ("change", "batches"),
    [
        ({"clicks": 6}, BATCHES),
        ({"tolerance": 1.0}, BATCHES),
        ({"rule": "top-30-percent"}, BATCHES),
        ({}, Loader(BATCHES)),
    ],
)
def test_a_kept_file_must_hold_what_is_asked_for(tmp_path, change, batches):
    evaluate_run(Painter(), {"one": BATCHES}, tmp_path, **QUIET)
    with pytest.raises(ValueError, match="with force"):
        evaluate_run(Painter(), {"one": batches}, tmp_path, **(QUIET | change))


def test_missing_and_foreign_files_are_said_to_be_so(tmp_path):
    for path in (tmp_path, tmp_path / "run", tmp_path / "run.csv"):
        with pytest.raises(FileNotFoundError, match="evaluate this run first"):
            read_rows(path)
    (tmp_path / "log.csv").write_text("epoch,loss\n1,2\n")
    with pytest.raises(ValueError, match=r"log\.csv must be a table"):
        read_rows(tmp_path)
    with pytest.raises(ValueError, match="nothing to write"):
        module.write_csv([], tmp_path / "a.csv")
    assert Row.__dataclass_params__.frozen
