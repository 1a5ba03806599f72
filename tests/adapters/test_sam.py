"""The page of promptable models: prompts fit the augmented mask, and a training step uses them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import samples

torch = pytest.importorskip("torch")
samples.name_missing_operators()
samples.host("transformers")

PAGE = Path(__file__).resolve().parents[2] / "docs" / "adapters" / "sam.md"
SIZE, SIDE = 4, 96
images = np.random.default_rng(0).integers(0, 256, (SIZE, SIDE, SIDE), np.uint8)
masks = np.zeros_like(images)
for k in range(SIZE):
    masks[k, 20 + k : 70, 30 : 80 - k] = 1

pytestmark = [
    pytest.mark.skipif(not PAGE.is_file(), reason="the sources are not at hand"),
    pytest.mark.filterwarnings("default", "error:::sasaug"),
]


@pytest.fixture(scope="module")
def page():
    """The page's names, its loop and its examples aside."""
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.S | re.M))
    code = re.sub(r"^for epoch in .*?\n\n?(?=def )", "", code, flags=re.S | re.M)
    code = code[: code.index("\nclicks = ")]
    names = {"images": images, "masks": masks, "__name__": "page"}
    exec(compile(code, str(PAGE), "exec"), names)
    assert "moved" in names and "epoch" not in names
    return names


def epoch(page, workers, first_epoch=0, done=0):
    """The batches of an epoch, from the one after `done` on."""
    ids = page["SampleIds"](SIZE, first_epoch=first_epoch)
    batches = list(torch.utils.data.BatchSampler(ids, 2, drop_last=False))[done:]
    return list(
        torch.utils.data.DataLoader(
            page["Frames"](), batch_sampler=batches, collate_fn=page["collate"], num_workers=workers
        )
    )


def test_drawn_prompts_fit_the_augmented_mask(page):
    seen = set()
    for x, y, points, boxes in [*epoch(page, 0), *epoch(page, 0, 1)]:
        assert x.shape == (2, 3, 256, 256) and x.max() <= 1
        assert points.shape == (2, 1, 2) and boxes.shape == (2, 4)
        for mask, (point,), box in zip(y, points.long(), boxes, strict=True):
            assert mask[point[1], point[0]] == 1
            rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
            tight = [columns.min(), rows.min(), columns.max(), rows.max()]
            excess = (box - torch.tensor(tight)) * torch.tensor([-1, -1, 1, 1])
            assert excess.max() <= 5 and (excess >= 0).all()
            seen.add((*point.tolist(), *box.tolist()))
    assert len(seen) == 2 * SIZE


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_resumed_run_sees_the_images_and_prompts_of_one_that_was_not_killed(page, workers):
    whole = epoch(page, 0, 1)
    rest = epoch(page, workers, 1, done=1)  # killed after the first step of the second epoch
    assert len(rest) == 1
    assert all(torch.equal(a, b) for a, b in zip(whole[1], rest[0], strict=True))


def test_moved_prompts_keep_their_place_in_the_image(page):
    """Images whose levels are their pixels' indices: linear resizing leaves a point its level."""
    torch.manual_seed(0)
    ramp = torch.arange(SIDE).float().expand(SIZE, SIDE, SIDE)
    names = dict(page, augment=replace(page["augment"], noise=None, p=1.0, value_range=(0, SIDE)))
    exec(compile(code_of_moved(), str(PAGE), "exec"), names)
    points = torch.randint(30, 60, (SIZE, 3, 2)).float()
    boxes = torch.cat([points[:, 0] - 20, points[:, 0] + 20], 1)
    for axis, levels in enumerate((ramp, ramp.transpose(1, 2))):
        x, _, clicks, moved = names["moved"](
            levels, torch.from_numpy(masks), points, boxes, 7, range(SIZE)
        )
        for image, was, now in [
            *zip(x, points, clicks, strict=True),
            *zip(x, boxes.view(-1, 2, 2), moved.view(-1, 2, 2), strict=True),
        ]:
            for (a, b), level in zip(now.tolist(), was[:, axis].tolist(), strict=True):
                assert between(image.numpy(), a, b) == pytest.approx(level, abs=1e-2)


def code_of_moved() -> str:
    (code,) = re.findall(r"^(def moved.*?)^\n\nclicks", PAGE.read_text(), re.S | re.M)
    return code


def between(image, x: float, y: float) -> float:
    """The level at a point that is given in pixel indices, linearly."""
    column, row = int(x), int(y)
    near = image[row : row + 2, column : column + 2]
    return float(np.array([1 - y + row, y - row]) @ near @ np.array([1 - x + column, x - column]))


def test_a_step_of_training_uses_image_points_and_boxes(page):
    (x, y, points, boxes), *_ = epoch(page, 0)
    torch.manual_seed(0)
    first = page["step"](x, y, points, boxes)
    others = [page["step"](x, y, points, boxes) for _ in range(3)]
    assert others[-1] < first
    model = page["model"].eval()
    with torch.no_grad():
        asked = {"input_points": points[:, None], "input_boxes": boxes[:, None]}
        same = model(pixel_values=x, **asked, multimask_output=False).pred_masks
        for changed in (
            {"input_points": points[:, None] + 40},
            {"input_boxes": boxes[:, None] / 2},
        ):
            other = model(pixel_values=x, **{**asked, **changed}, multimask_output=False)
            assert not torch.equal(same, other.pred_masks)
