"""One job: a study's images in memory, augmented batch by batch, the same for the same seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

import sasaug

from ..data.batches import Augment, Batch, Cases, Sample, min_max
from ..data.cases import SMALL, Case, read_manifest, split
from .plan import Arm, Data

#: The usual strong augmentation: turn in degrees, scale, gamma.
TURN, SCALE, GAMMA = 20.0, (0.75, 1.25), (0.7, 1.4)
#: The split into cases to train on and held-out ones is the same for every seed.
SPLIT_SEED = 0


class Samples:
    """Cases, read once, as tensors of their own size."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self.cases = [_sized(case) for case in cases]
        images = Cases(self.cases)
        self.tensors = [images[k][:2] for k in range(len(cases))]

    @classmethod
    def joined(cls, parts: Sequence[Samples]) -> Samples:
        """Return the samples of all parts, one after the other."""
        result = cls.__new__(cls)
        result.cases = [case for part in parts for case in part.cases]
        result.tensors = [tensors for part in parts for tensors in part.tensors]
        return result

    def __len__(self) -> int:
        return len(self.cases)

    def ids(self, seed: int) -> Iterator[int]:
        """Sample ids without end: every case once, then again in another order."""
        epoch = 0
        while True:
            draw = np.random.default_rng((seed, epoch))
            yield from (epoch * len(self) + draw.permutation(len(self))).tolist()
            epoch += 1

    def __getitem__(self, id: int) -> Sample:
        image, mask = self.tensors[id % len(self)]
        return image, mask, id


@lru_cache(maxsize=16)
def load(root: Path, data: Data) -> Samples:
    """Read the cases that ``data`` describes."""
    return Samples(select(root, data))


def select(root: Path, data: Data) -> list[Case]:
    """List the cases that ``data`` describes."""
    cases = list(read_manifest(root / data.folder, "group" if data.part != "all" else "image"))
    if data.part != "all":
        parts = split(cases, (data.fit_share, 1 - data.fit_share), SPLIT_SEED)
        cases = parts[("fit", "held_out").index(data.part)]
    cases = [
        case
        for case in cases
        if case.area is None or data.least_area <= case.area <= data.most_area
    ]
    if data.per_image:
        by_image: dict[Path, list[Case]] = {}
        for case in cases:
            by_image.setdefault(case.image, []).append(case)
        cases = [case for group in by_image.values() for case in spread(group, data.per_image)]
    if data.number:
        small = [case for case in cases if case.small]
        large = [case for case in cases if not case.small]
        cases = spread(small, data.number) + spread(large, data.number)
    if not cases:
        raise ValueError(f"no case of {data.folder} is as {data} asks")
    return cases


def spread(cases: Sequence[Case], most: int) -> list[Case]:
    """At most so many of the cases, spread evenly over their order."""
    if len(cases) <= most:
        return list(cases)
    return [cases[k] for k in np.linspace(0, len(cases) - 1, most).round().astype(int)]


def _sized(case: Case) -> Case:
    """A case whose area is known, from its mask where the manifest does not say."""
    if case.area is not None and case.small is not None:
        return case
    mask = Cases([case])[0][1]
    area = float(mask.float().mean())
    return replace(case, area=area, small=area <= SMALL)


class Stream:
    """Training batches without end, drawn from the seed and the sample ids alone."""

    def __init__(
        self,
        samples: Samples,
        arm: Arm,
        *,
        canvas: int,
        batch_size: int,
        seed: int,
        rehearsal: Samples | None = None,
    ) -> None:
        how = {
            "canvas": canvas, "scale": arm.scale, "strength": arm.strength, "p": arm.p,
            "apply_to": arm.apply_to, "seed": seed,
        }  # fmt: skip
        if arm.grain > 1 and arm.sas not in ("noise", "both"):
            raise ValueError(f"grain must be 1 where there is no noise, got {arm.grain}")
        self.augment = Augment(arm.sas, **how)
        self.clean = Augment(arm.sas, **{**how, "strength": 0.0}) if arm.grain > 1 else None
        self.arm, self.seed = arm, seed
        rehearsed = round(batch_size * arm.rehearsal) if rehearsal else 0
        if arm.rehearsal and not rehearsed:
            raise ValueError(f"rehearsal {arm.rehearsal} must have data and fill part of a batch")
        self.sources = [(samples, batch_size - rehearsed)]
        if rehearsal is not None and rehearsed:
            self.sources.append((rehearsal, rehearsed))

    def __iter__(self) -> Iterator[Batch]:
        streams = [(samples, samples.ids(self.seed), n) for samples, n in self.sources]
        while True:
            drawn = [samples[next(ids)] for samples, ids, n in streams for _ in range(n)]
            if self.arm.usual:
                drawn = [usual(sample, self.seed) for sample in drawn]
            yield self.collate(drawn)

    def collate(self, samples: list[Sample]) -> Batch:
        """Augment and put together, with grain if the arm asks for it."""
        if self.clean is None:
            return self.augment.collate(samples)
        images, masks, ids = (list(part) for part in zip(*samples, strict=True))
        plan, clean_plan = self.augment.plan(masks, ids), self.clean.plan(masks, ids)
        noisy, target = sasaug.apply(plan, images, masks, dtype=torch.float32)
        clean, _ = sasaug.apply(clean_plan, images, masks, dtype=torch.float32)
        grain = grained(noisy - clean, self.arm.grain) * (target[:, None] > 0)
        x = min_max((clean + grain).clamp(0, 1), plan.samples["thumbnail"])
        return Batch(x.expand(-1, 3, -1, -1).contiguous(), target, torch.tensor(ids))


def grained(noise: Tensor, grain: int) -> Tensor:
    """Smooth noise [b c h w] over ``grain`` pixels a side; its root mean square stays."""
    smooth = torch.nn.functional.avg_pool2d(noise, grain, 1, grain // 2)
    smooth = smooth[..., : noise.shape[2], : noise.shape[3]]
    before, after = (each.square().mean((1, 2, 3), keepdim=True).sqrt() for each in (noise, smooth))
    return smooth * (before / after.clamp(min=1e-12))


def usual(sample: Sample, seed: int) -> Sample:
    """Flip, turn, scale and brighten one sample; it keeps its size.

    The brightness changes by a gamma: what min-max scaling would undo changes nothing. A structure
    that the turn moves out of the image keeps the image as it was.
    """
    image, mask, id = sample
    draw = np.random.default_rng((seed, id, 1))
    height, width = mask.shape
    turn, scale = draw.uniform(-TURN, TURN), draw.uniform(*SCALE)
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), turn, scale)
    flip, gamma = draw.random(2) < 0.5, draw.uniform(*GAMMA)
    if flip[0]:
        matrix = matrix @ np.array([[-1, 0, width - 1], [0, 1, 0], [0, 0, 1]], float)
    if flip[1]:
        matrix = matrix @ np.array([[1, 0, 0], [0, -1, height - 1], [0, 0, 1]], float)
    size = (width, height)
    moved = cv2.warpAffine(mask.numpy(), matrix, size, flags=cv2.INTER_NEAREST)
    if not moved.any():
        return sample
    pixels = cv2.warpAffine(image[0].numpy(), matrix, size, flags=cv2.INTER_LINEAR)
    table = (255 * (np.arange(256) / 255) ** gamma).round().astype(np.uint8)
    return torch.from_numpy(cv2.LUT(pixels, table))[None], torch.from_numpy(moved), id
