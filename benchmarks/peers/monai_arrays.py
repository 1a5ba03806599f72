"""One job: whole SAS with MONAI's array transforms, sample by sample, metadata switched off."""

from __future__ import annotations

from functools import cache
from typing import Any

import monai.transforms as M
import torch
from monai.data import set_track_meta

from .peer import Job, Peer
from .tensors import finish, planes

set_track_meta(False)


@cache
def resize(height: int, width: int, mode: str) -> Any:
    corners = False if mode == "bilinear" else None
    return M.Resize((height, width), mode=mode, align_corners=corners)


@cache
def pad(canvas: tuple[int, int]) -> Any:
    return M.SpatialPad(canvas)


@cache
def gaussian(std: float) -> Any:
    return M.RandGaussianNoise(prob=1.0, std=std, sample_std=False)


def run(job: Job) -> tuple[Any, Any]:
    images, masks = planes(job)
    v, labels = torch.empty(images.shape), torch.empty_like(masks)
    padded = pad(job.plan.canvas)
    for s, row in enumerate(job.rows):
        _, _, w, h = row["thumbnail"]
        small = padded(resize(h, w, "bilinear")(images[s].float() / job.full))
        labels[s] = padded(resize(h, w, "nearest-exact")(masks[s]))
        if row["noise"] is not None:
            std = row["strength"] if row["noise"] == "gaussian" else 0.1
            small = torch.where(labels[s] != 0, gaussian(std)(small).clamp(0, 1), small)
        v[s] = small
    return finish(job, v, labels)


PEER = Peer(
    run,
    "`Resize`, `SpatialPad`, `RandGaussianNoise`, `where(mask)`, without metadata; it has no other "
    "noise: Gaussian stands for all, which flatters it",
    frozenset({"gaussian"}),
)
