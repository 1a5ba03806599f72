"""One job: batches are the same however they are made, and are what the model expects."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from litemedsam.data.batches import (
    MODES,
    Augment,
    Batch,
    Batches,
    Cases,
    Loaders,
    SampleIds,
    min_max,
    ranges,
)
from litemedsam.data.cases import SMALL, Case, read_manifest, split

SIZES = [(120, 256), (256, 90), (100, 100), (300, 200), (256, 256), (64, 80)]


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    """Six pictures of six sizes in levels 30 to 200; the structure of every third is small."""
    root = tmp_path_factory.mktemp("cases")
    rng = np.random.default_rng(0)
    made = []
    for k, (h, w) in enumerate(SIZES):
        Image.fromarray(rng.integers(30, 201, (h, w), np.uint8)).save(root / f"{k}.png")
        mask = np.zeros((h, w), np.uint8)
        share = 8 if k % 3 == 2 else 2
        mask[: h // share, : w // share] = 255
        Image.fromarray(mask).save(root / f"{k}_mask.png")
        made.append(Case(root / f"{k}.png", root / f"{k}_mask.png", str(k), str(k)))
    return made


def same(a: Batch, b: Batch) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def all_of(batches: Batches) -> list[Batch]:
    listed = list(batches)
    assert len(batches) == len(listed)
    return listed


# ---- data set and sample ids ---------------------------------------------------------------------


def test_samples_have_their_own_size_and_id(cases: list[Case]) -> None:
    data = Cases(cases)
    image, mask, id = data[5 * len(data) + 1]
    assert id == 31
    assert image.dtype == mask.dtype == torch.uint8
    assert image.shape == (1, *SIZES[1]) and mask.shape == SIZES[1]
    assert mask.unique().tolist() == [0, 1]
    assert np.array_equal(image[0].numpy(), np.asarray(Image.open(cases[1].image)))
    assert Cases(cases, channels=3)[0][0].shape == (3, *SIZES[0])
    windowed = replace(cases[0], window=(20, 10, 50, 40))
    assert torch.equal(Cases([windowed])[0][0], Cases(cases)[0][0][:, 10:50, 20:70])
    assert Cases([windowed])[0][1].shape == (40, 50)
    with pytest.raises(ValueError, match="must not be empty"):
        Cases([])
    with pytest.raises(ValueError, match="channels must be 1 or 3"):
        Cases(cases, channels=2)


def test_colour_pictures(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    Image.fromarray(rgb).save(tmp_path / "a.png")
    case = Case(tmp_path / "a.png", tmp_path / "a.png", "a", "a")
    image, _, _ = Cases([case], channels=3)[0]
    assert np.array_equal(image.permute(1, 2, 0).numpy(), rgb)
    assert Cases([case], channels=1)[0][0].shape == (1, 20, 30)
    batch = Augment("none").collate([Cases([case], channels=3)[0]])
    assert not torch.equal(batch.images[0, 0], batch.images[0, 1])


def test_sample_ids_name_epoch_and_case() -> None:
    first, second = SampleIds(10, epoch=0, seed=1), SampleIds(10, epoch=1, seed=1)
    assert sorted(first) == list(range(10)) and sorted(second) == list(range(10, 20))
    assert [id % 10 for id in first] != [id % 10 for id in second]
    assert list(first) == list(SampleIds(10, epoch=0, seed=1))
    assert list(first) != list(SampleIds(10, epoch=0, seed=2))
    assert list(SampleIds(4, shuffle=False)) == [0, 1, 2, 3]


def test_ranks_share_an_epoch() -> None:
    shares = [list(SampleIds(11, 3, rank=rank, ranks=2)) for rank in range(2)]
    assert len(shares[0]) == len(shares[1]) == 5
    whole = list(SampleIds(11, 3))
    assert [id for pair in zip(*shares, strict=True) for id in pair] == whole[:10]
    rest = [id for rank in range(2) for id in SampleIds(11, shuffle=False, rank=rank, ranks=2)]
    assert sorted(rest) == list(range(11))


# ---- one picture, however it is made -------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_batches_are_the_same_however_they_are_made(cases: list[Case], mode: str) -> None:
    """In workers or not, in other batches, before or after the copy, today or on a resume."""
    augment = Augment(mode, p=1.0, seed=3)
    how = {"seed": 5, "batch_size": 4}
    plain = all_of(Loaders(cases, cases, augment, **how).train(2))
    workers = all_of(Loaders(cases, cases, augment, workers=2, **how).train(2))
    deferred = all_of(Loaders(cases, cases, augment, defer=True, **how).train(2))
    assert [len(batch.ids) for batch in plain] == [4, 2]
    for a, b, c in zip(plain, workers, deferred, strict=True):
        assert same(a, b) and same(a, c)
    alone = {
        int(batch.ids): batch
        for batch in Loaders(cases, cases, augment, seed=5, batch_size=1).train(2)
    }
    for batch in plain:
        for k, id in enumerate(batch.ids.tolist()):
            assert torch.equal(batch.images[k], alone[id].images[0])


def test_deferred_workers_send_plans(cases: list[Case]) -> None:
    augment = Augment(p=1.0)
    plain = all_of(Loaders(cases, cases, augment).train(0))
    deferred = all_of(Loaders(cases, cases, augment, defer=True, workers=1).train(0))
    assert all(map(same, plain, deferred))
    assert same(pickle.loads(pickle.dumps(augment)).collate([Cases(cases)[0]]),
                augment.collate([Cases(cases)[0]]))  # fmt: skip


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_deferred_to_the_gpu(cases: list[Case]) -> None:
    augment = Augment(p=1.0)
    plain = all_of(Loaders(cases, cases, augment).train(0))
    deferred = all_of(Loaders(cases, cases, augment, defer=True, device="cuda").train(0))
    for a, b in zip(plain, deferred, strict=True):
        assert b.images.is_cuda and same(a, Batch(*(t.cpu() for t in b)))


def test_seeds_and_epochs_differ_and_validation_does_not(cases: list[Case]) -> None:
    loaders = Loaders(cases, cases, Augment(p=1.0, seed=1))
    (first,), (again,), (other_epoch,) = (loaders.train(epoch) for epoch in (0, 0, 1))
    assert same(first, again)
    (other_seed,) = Loaders(cases, cases, Augment(p=1.0, seed=2)).train(0)
    assert torch.equal(other_seed.ids, first.ids)
    assert not torch.equal(other_seed.images, first.images)
    order, other_order = first.ids.argsort(), other_epoch.ids.argsort()
    assert not torch.equal(first.images[order], other_epoch.images[other_order])
    (held_out,) = loaders.validation()
    assert held_out.ids.tolist() == list(range(6))
    (other,) = Loaders(cases, cases, Augment("none", seed=9)).validation()
    assert same(held_out, other)
    (untouched,) = Batches(Cases(cases), Augment("none"), range(6))
    assert same(held_out, untouched)
    # the darkest pixel of the picture is 0, not the padding beside it
    assert held_out.images[0, 0, :120].min() == 0 and held_out.images[1, 0, :, :90].min() == 0


# ---- what a batch is -----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_batches_are_what_the_model_expects(cases: list[Case], mode: str) -> None:
    (batch,) = Loaders(cases, cases, Augment(mode, p=1.0)).train(0)
    images, masks, ids = batch
    assert images.shape == (6, 3, 256, 256) and images.dtype == torch.float32
    assert masks.shape == (6, 256, 256) and masks.dtype == torch.uint8
    assert images.is_contiguous() and ids.dtype == torch.int64
    assert torch.equal(images[:, 0], images[:, 1]) and torch.equal(images[:, 0], images[:, 2])
    assert images.amin((1, 2, 3)).tolist() == [0] * 6
    assert images.amax((1, 2, 3)).tolist() == [1] * 6
    assert masks.unique().tolist() == [0, 1] and masks.flatten(1).any(1).all()


def extents(masks: torch.Tensor) -> list[tuple[int, int, int, int]]:
    """(top, left, height, width) of what is not 0."""
    boxes = []
    for mask in masks:
        rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
        top, left = int(rows[0]), int(columns[0])
        boxes.append((top, left, int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left))
    return boxes


def test_untransformed_pictures_lie_at_the_top_left(cases: list[Case]) -> None:
    for augment in (Augment("none"), Augment("both", p=0.0), Augment("noise", p=1.0)):
        (batch,) = Batches(Cases(cases), augment, range(6))
        sizes = [(120, 256), (256, 90), (256, 256), (256, 171), (256, 256), (205, 256)]
        # the darkest pixel became 0 as well, so a row's or column's end may seem to be padding
        for box, size in zip(extents(batch.images[:, 0] > 0), sizes, strict=True):
            assert box == (0, 0, *size)


def test_thumbnails_lie_in_the_middle(cases: list[Case]) -> None:
    augment = Augment("thumbnail", p=1.0, scale=(0.5, 0.5))
    (batch,) = Batches(Cases(cases), augment, range(6))
    boxes = extents(batch.images[:, 0] > 0)
    assert boxes[0] == (98, 64, 60, 128)
    assert boxes[1] == (64, 105, 128, 45)
    assert boxes[2] == (0, 0, 256, 256)  # a small structure stays as it is
    assert boxes[4] == (64, 64, 128, 128)
    (batch,) = Batches(Cases(cases), Augment("thumbnail", p=1.0, scale=(0.5, 0.5),
                                             position="top_left"), range(6))  # fmt: skip
    assert extents(batch.images[:, 0] > 0)[0] == (0, 0, 60, 128)


def test_modes_change_what_they_say(cases: list[Case]) -> None:
    data = Cases(cases)
    batches = {mode: next(iter(Batches(data, Augment(mode, p=1.0), range(6)))) for mode in MODES}
    none, thumbnail, noise, both = (batches[mode] for mode in MODES)
    assert torch.equal(noise.masks, none.masks)
    assert not torch.equal(noise.images, none.images)
    assert torch.equal(both.masks, thumbnail.masks)
    assert not torch.equal(both.images, thumbnail.images)
    assert not torch.equal(thumbnail.masks, none.masks)
    for k in (2, 5):  # small structures
        for batch in (thumbnail, noise, both):
            assert torch.equal(batch.images[k], none.images[k])
    with pytest.raises(ValueError, match="mode must be one of"):
        Augment("all")


def test_small_is_told_before_padding(tmp_path: Path) -> None:
    """A structure of 5 % of a picture half as high as wide is 2.5 % of the padded one."""
    image = np.random.default_rng(0).integers(0, 256, (128, 256), np.uint8)
    mask = np.zeros((128, 256), np.uint8)
    mask[:41, :40] = 255
    assert mask.astype(bool).sum() / 256**2 < SMALL < mask.astype(bool).mean()
    Image.fromarray(image).save(tmp_path / "a.png")
    Image.fromarray(mask).save(tmp_path / "m.png")
    case = Case(tmp_path / "a.png", tmp_path / "m.png", "a", "a")
    for defer in (False, True):
        augment = Augment("thumbnail", p=1.0, scale=(0.5, 0.5))
        (batch,) = Batches(Cases([case]), augment, [0], defer=defer)
        assert batch.masks.sum() < mask.astype(bool).sum() / 3


# ---- brightness and strengths --------------------------------------------------------------------


def test_min_max_leaves_padding_out() -> None:
    images = torch.zeros(3, 2, 8, 8)
    images[0, :, 2:6, 1:7] = torch.rand(2, 4, 6) * 0.5 + 0.25
    images[1] = 0.3
    images[2, :, :4, :4] = 0.7
    before = images.clone()
    rectangles = np.array([[1, 2, 6, 4], [0, 0, 8, 8], [0, 0, 4, 4]], np.int32)
    scaled = min_max(images, rectangles)
    content = before[0, :, 2:6, 1:7]
    wanted = (content - content.min()) / (content.max() - content.min())
    assert torch.equal(scaled[0, :, 2:6, 1:7], wanted)
    scaled[0, :, 2:6, 1:7] = 0
    assert not scaled[0].any()  # nor is it changed
    assert not scaled[1].any() and not scaled[2].any()  # one value: no contrast to show


def test_strength_is_a_factor_on_deviations() -> None:
    assert ranges(2.0) == {
        "gaussian": (0.1, 0.3), "speckle": (0.1, 0.5), "salt_pepper": (0.02, 0.2),
        "poisson": (8.0, 64.0),
    }  # fmt: skip
    assert ranges(20.0)["salt_pepper"] == (0.2, 1.0)
    assert ranges(0.0) == {}
    assert ranges({"speckle": (0.1, 0.2)}) == {"speckle": (0.1, 0.2)}
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="strength must be"):
            ranges(wrong)


def test_strength_reaches_the_noise(cases: list[Case]) -> None:
    data = Cases(cases)

    def change(strength: float | dict[str, tuple[float, float]]) -> float:
        augment = Augment("noise", p=1.0, strength=strength)
        (batch,) = Batches(data, augment, range(6))
        (quiet,) = Batches(data, Augment("none"), range(6))
        return float((batch.images - quiet.images).abs().mean())

    assert change(0.0) == 0 < change(0.1) < change(1.0) < change(3.0)
    assert change({"gaussian": (0.0, 0.0)}) == 0
    assert Augment("noise", strength=0.5).sas.settings.noise["gaussian"] == (0.025, 0.075)


# ---- real data -----------------------------------------------------------------------------------


def test_real_batches(real_data: Path) -> None:
    training, validation, test = split(read_manifest(real_data / "hc18"), (0.8, 0.1, 0.1), 0)
    augment = Augment(p=1.0)
    plain = Loaders(training[:24], validation[:8], augment)
    workers = Loaders(training[:24], validation[:8], augment, workers=2, defer=True)
    for a, b in zip(plain.train(1), workers.train(1), strict=True):
        assert same(a, b)
        assert a.images.amin() == 0 and a.images.amax((1, 2, 3)).tolist() == [1] * 8
        assert a.masks.flatten(1).any(1).all()
    (held_out,) = plain.validation()
    (tested,) = Batches(Cases(test[:8]), Augment("none"), range(8))
    assert held_out.images.shape == tested.images.shape == (8, 3, 256, 256)


def test_real_small_structures_are_left_alone(real_data: Path) -> None:
    listed = read_manifest(real_data / "busi")[:40]
    data = Cases(listed)
    (batch,) = Batches(data, Augment(p=1.0), range(40), batch_size=40)
    (quiet,) = Batches(data, Augment("none"), range(40), batch_size=40)
    for k, case in enumerate(listed):
        assert torch.equal(batch.images[k], quiet.images[k]) == case.small, case.name
