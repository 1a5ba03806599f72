"""The page of Ultralytics: boxes and instances follow, and a run trains, is killed and resumes."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

import samples
import sasaug

torch = pytest.importorskip("torch")
cv2 = pytest.importorskip("cv2", reason="needs the extra `cli`")

PAGE = Path(__file__).resolve().parents[2] / "docs" / "adapters" / "ultralytics.md"
SIZE, SIDE, EPOCHS = 4, 64, 2
SQUARES = [(6, 8, 22), (30, 34, 26)]  # left, top and side of the objects, one of each class
LEVELS = [120, 220]
#: Ultralytics' own transforms, off.
PLAIN = {
    "mosaic": 0.0, "translate": 0.0, "scale": 0.0, "hsv_h": 0.0, "hsv_s": 0.0, "hsv_v": 0.0,
    "fliplr": 0.0, "mask_ratio": 1,
}  # fmt: skip

pytestmark = [
    pytest.mark.skipif(not PAGE.is_file(), reason="the sources are not at hand"),
    pytest.mark.skipif(
        not importlib.util.find_spec("ultralytics"),
        reason="ultralytics is not installed: pip install --no-deps, as the page says",
    ),
    pytest.mark.filterwarnings("default", "error:::sasaug"),
]


class Killed(Exception):
    """Ends a run, as a machine that is taken away does."""


def scene(number: int):
    """An image [h w] with a dark and a bright object, and its mask with their classes."""
    image = np.random.default_rng(number).integers(30, 50, (SIDE, SIDE), np.uint8)
    mask = np.zeros_like(image)
    for label, (level, (left, top, side)) in enumerate(zip(LEVELS, SQUARES, strict=True), 1):
        inside = slice(top, top + side - number), slice(left, left + side - number)
        image[inside], mask[inside] = level + number, label
    return image, mask


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page's names, beside a data set of two classes that its second block has written."""
    samples.name_missing_operators()
    recipe, data, _ = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.S | re.M)
    for old, new in {"classes=1": "classes=2", "[lesion]": "[cyst, mass]"}.items():
        assert old in data
        data = data.replace(old, new)
    images, masks = zip(*map(scene, range(SIZE)), strict=True)
    names = {"images": images, "masks": masks, "__name__": "page"}
    with np.printoptions(), pytest.MonkeyPatch.context() as patch:  # its import sets numpy's
        patch.chdir(tmp_path_factory.mktemp("ultralytics"))
        exec(compile(recipe + data, str(PAGE), "exec"), names)
        yield names


def settings(workers: int = 0) -> dict:
    """The page's settings of a run, with another number of workers."""
    (block,) = re.findall(r"^(settings = .*?)^trainer", PAGE.read_text(), re.S | re.M)
    names = {"Path": Path}
    exec(block, names)
    return {**names["settings"], "workers": workers, "val": False}


def samples_of(page, monkeypatch, **changes):
    """The data set, in which SAS has these settings and Ultralytics changes nothing."""
    from ultralytics.cfg import get_cfg

    monkeypatch.setattr(page["SAS"], "augment", sasaug.SAS(**changes))
    names = {0: "cyst", 1: "mass"}
    return page["Frames"](
        img_path="frames/images", data={"names": names}, task="segment", augment=True,
        hyp=get_cfg(overrides=PLAIN), imgsz=SIDE,
    )  # fmt: skip


def test_the_images_are_those_of_sasaug(page, monkeypatch):
    frames = samples_of(page, monkeypatch, p=1.0)
    for id in range(3 * SIZE):
        image, mask = scene(id % SIZE)
        colour = np.repeat(image[..., None], 3, 2)
        x, y = sasaug.SAS(p=1.0)(colour[None], mask[None] > 0, seed=2025, ids=[id])
        made = frames[id]
        assert np.array_equal(made["img"].numpy()[::-1], x[0].transpose(2, 0, 1)), id
        drawn, moved = (made["masks"][0].numpy() > 0).astype(np.uint8), y[0].astype(np.uint8)
        for inner, outer in ((drawn, moved), (moved, drawn)):  # but for a rim of one pixel
            assert (inner <= cv2.dilate(outer, np.ones((3, 3)))).all(), id


def test_instances_keep_their_class_and_their_box(page, monkeypatch):
    frames = samples_of(page, monkeypatch, p=1.0, apply_to="all", noise=None)
    sides = []
    for id in range(3 * SIZE):
        made = frames[id]
        image, instances = made["img"][0].numpy(), made["masks"][0].numpy()
        assert sorted(made["cls"].flatten().tolist()) == [0, 1]
        for k, (kind, box) in enumerate(zip(made["cls"], made["bboxes"] * SIDE, strict=True), 1):
            inside = instances == k
            assert np.median(image[inside]) == pytest.approx(LEVELS[int(kind)] + id % SIZE, abs=2)
            rows, columns = np.nonzero(inside.any(1))[0], np.nonzero(inside.any(0))[0]
            (x, y, w, h) = box.tolist()
            tight = [columns[0], rows[0], columns[-1], rows[-1]]
            assert [x - w / 2, y - h / 2, x + w / 2, y + h / 2] == pytest.approx(tight, abs=1)
            sides.append(w / (SQUARES[int(kind)][2] - id % SIZE - 1))
    assert min(sides) < 0.5 < max(sides) <= 1


def loaded(page, workers: int, epochs: range) -> list[bytes]:
    """The images and boxes of some epochs, as the trainer's loader gives them."""
    trainer = page["SASTrainer"](overrides=settings(workers) | {"mosaic": 1.0, "cache": "ram"})
    trainer.train_loader = trainer.get_dataloader(trainer.data["train"], 2)
    rows = []
    for trainer.epoch in epochs:
        trainer.run_callbacks("on_train_epoch_start")
        for batch in trainer.train_loader:
            rows.append(b"".join(batch[key].numpy().tobytes() for key in ("img", "bboxes")))
    trainer.train_loader.close()
    return rows


def test_workers_and_mosaics_change_no_image(page):
    whole = loaded(page, 0, range(3))
    assert len(set(whole)) == len(whole) == 3 * SIZE // 2
    for workers in (1, 2, 4):
        assert loaded(page, workers, range(1, 3)) == whole[SIZE // 2 :], workers


def test_a_killed_run_resumes_with_the_images_of_one_that_was_not(page):
    seen = {}

    class Recorded(page["SASTrainer"]):
        killed_at = None

        def preprocess_batch(self, batch):
            if self.epoch == self.killed_at:
                raise Killed
            seen.setdefault(self.epoch, []).append(batch["img"].numpy().tobytes())
            return super().preprocess_batch(batch)

    class Interrupted(Recorded):
        killed_at = 1

    run = settings() | {"epochs": EPOCHS}
    trainer = Recorded(overrides=run | {"name": "whole"})
    trainer.train()
    assert trainer.last.is_file() and all(map(torch.isfinite, trainer.tloss.values()))
    whole, seen = seen, {}
    assert {epoch: len(images) for epoch, images in whole.items()} == {0: 2, 1: 2}
    with pytest.raises(Killed):
        Interrupted(overrides=run | {"name": "killed", "workers": 2}).train()
    Recorded(overrides={"model": "runs/killed/weights/last.pt", "resume": True}).train()
    assert seen == whole
