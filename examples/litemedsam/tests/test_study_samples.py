"""The images of a study's arms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from litemedsam.data.batches import Batch
from litemedsam.study import run as runs
from litemedsam.study.consistency import Consistency
from litemedsam.study.plan import Arm, Data, read_plan
from litemedsam.study.samples import Samples, Stream, grained, select, usual
from tiny_study import TINY, write_plan


@pytest.fixture(scope="module")
def samples(prepared) -> Samples:
    return Samples(select(prepared, Data("large")))


def stream(samples: Samples, **arm) -> list:
    batches = iter(Stream(samples, Arm(**arm), canvas=64, batch_size=4, seed=3))
    return [next(batches) for _ in range(5)]


def test_arms_see_the_same_cases_in_the_same_order(samples):
    plain, sas = stream(samples), stream(samples, sas="both", usual=True, p=1.0)
    again = stream(samples, sas="both", usual=True, p=1.0)
    for a, b, c in zip(plain, sas, again, strict=True):
        assert torch.equal(a.ids, b.ids) and not torch.equal(a.images, b.images)
        assert torch.equal(b.images, c.images) and torch.equal(b.masks, c.masks)
    ids = torch.cat([batch.ids for batch in plain]).tolist()
    assert len(set(ids)) == len(ids)  # an epoch's ids never come again in the next
    assert sorted(i % len(samples) for i in ids[: len(samples)]) == list(range(len(samples)))


def test_the_usual_augmentation_moves_image_and_mask_together():
    mask = np.zeros((60, 80), np.uint8)
    mask[10:30, 15:45] = 1
    sample = torch.from_numpy(mask * 255)[None], torch.from_numpy(mask), 0
    changed = set()
    for id in range(30):
        image, moved, _ = usual((sample[0], sample[1], id), seed=1)
        assert image.shape == sample[0].shape and moved.shape == sample[1].shape
        wrong = ((image[0] > 127) != moved.bool()).float().mean()
        assert wrong < 0.02  # the edge, where bilinear and nearest differ
        changed.add(int(moved.sum()))
    assert min(changed) < 600 * 0.7 and max(changed) > 600 * 1.3 and len(changed) > 20


def test_noise_with_a_grain_is_smoother_and_as_strong(samples):
    noise = torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    for grain in (2, 4):
        coarse = grained(noise, grain)
        assert coarse.shape == noise.shape
        assert coarse.square().mean() == pytest.approx(noise.square().mean().item(), rel=1e-4)
        neighbours = (coarse[..., 1:] * coarse[..., :-1]).mean() / coarse.square().mean()
        assert neighbours == pytest.approx(1 - 1 / grain, abs=0.05)
    fine = stream(samples, sas="both", p=1.0)[0]
    coarse = stream(samples, sas="both", p=1.0, grain=4)[0]
    clean = stream(samples, sas="thumbnail", p=1.0)[0]
    assert torch.equal(fine.masks, coarse.masks)
    assert not torch.equal(fine.images, coarse.images)
    for one, other, mask in zip(coarse.images, clean.images, coarse.masks, strict=True):
        # outside the structure nothing changes but the scale of min-max
        assert np.corrcoef(one[0][mask == 0], other[0][mask == 0])[0, 1] > 0.9999
        assert np.corrcoef(one[0][mask == 1], other[0][mask == 1])[0, 1] < 0.999
    with pytest.raises(ValueError, match="grain must be 1 where there is no noise, got 2"):
        stream(samples, sas="thumbnail", grain=2)


def test_rehearsal_fills_its_share_of_each_batch(prepared, samples):
    few = Samples(select(prepared, Data("test", number=1)))
    arm = Arm(rehearsal=0.25)
    batches = iter(Stream(samples, arm, canvas=64, batch_size=4, seed=0, rehearsal=few))
    ids = next(batches).ids.tolist()
    assert len(ids) == 4 and ids[3] < len(few)
    with pytest.raises(ValueError, match=r"rehearsal 0.1 must have data and fill part of a batch"):
        Stream(samples, Arm(rehearsal=0.1), canvas=64, batch_size=4, seed=0, rehearsal=few)


class Square(torch.nn.Module):
    """A model that finds the same square in each image but the first ``blind`` of a batch."""

    def __init__(self, blind: int = 0) -> None:
        super().__init__()
        self.blind = blind

    def encode(self, images):
        return images[:, :1]

    def decode(self, embedding, points):
        logits = torch.full_like(embedding, -1.0)
        logits[self.blind :, :, 8:40, 8:40] = 1.0
        return logits, None


def guessed(samples: Samples, blind: int = 0, **arm) -> Batch | None:
    source = Consistency(samples, Arm(**arm), canvas=64, batch_size=4, seed=3)
    return source.batch(Square(blind), torch.Generator().manual_seed(0))


def test_a_consistency_loss_takes_the_models_own_masks_to_a_strong_view(samples):
    weak = guessed(samples, consistency="none")
    assert torch.equal(weak.ids, stream(samples)[0].ids)
    assert (weak.images - stream(samples)[0].images).abs().max() <= 0.5 / 255 + 1e-6
    square = torch.zeros(64, 64, dtype=torch.uint8)
    square[8:40, 8:40] = 1
    assert (weak.masks == square).all()
    strong = guessed(samples, consistency="both", p=1.0)
    assert torch.equal(strong.ids, weak.ids)
    assert (strong.masks.flatten(1).sum(1) < square.sum()).all()  # thumbnails of the square
    # nothing found, nothing to learn
    assert torch.equal(guessed(samples, 3, consistency="none").ids, weak.ids[3:])
    assert guessed(samples, 4, consistency="none") is None


def test_an_arm_with_consistency_learns_from_images_without_masks(
    prepared, samples, tmp_path, monkeypatch
):
    text = TINY.replace("[arms.sas]", '[arms.self]\nconsistency = "none"\n[arms.sas]')
    more = 'test_clicks = 2\nunlabelled = ["large"]\n'
    plan = read_plan(write_plan(tmp_path, text.replace("test_clicks = 2\n", more)))
    setting = plan.settings["tiny"]
    digests = set()
    for found in (None, stream(samples)[0]):
        monkeypatch.setattr(Consistency, "batch", lambda *arguments, found=found: found)
        model = runs.new_model(setting, 0)
        runs.fit(model, setting, plan, prepared, plan.arms["self"], seed=0)
        digests.add(runs.digest(model.state_dict()))
    assert len(digests) == 2
    with pytest.raises(ValueError, match="or consistency must have data for it, got none"):
        nothing = replace(setting, unlabelled=())
        runs.fit(model, nothing, plan, prepared, plan.arms["self"], seed=0)


def test_data_of_a_plan(prepared):
    assert not {c.name for c in select(prepared, Data("large", part="fit"))} & {
        c.name for c in select(prepared, Data("large", part="held_out"))
    }
    two = select(prepared, Data("test", number=2))
    assert [case.small for case in two].count(True) == 2 and len(two) <= 4
    assert all(case.area <= 0.03 for case in select(prepared, Data("test", most_area=0.03)))
    with pytest.raises(ValueError, match="no case of test is as Data"):
        select(prepared, Data("test", least_area=0.99))
