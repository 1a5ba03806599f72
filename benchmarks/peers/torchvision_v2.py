"""One job: whole SAS with torchvision's v2 functions, sample by sample."""

from __future__ import annotations

from typing import Any

import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as f

from .peer import Job, Peer
from .tensors import finish, planes


def run(job: Job) -> tuple[Any, Any]:
    images, masks = planes(job)
    v, labels = torch.empty(images.shape), torch.empty_like(masks)
    height, width = job.plan.canvas
    for s, row in enumerate(job.rows):
        x, y, w, h = row["thumbnail"]
        pad = [x, y, width - x - w, height - y - h]
        image = images[s].float() / job.full
        small = f.pad(f.resize(image, [h, w], antialias=False), pad)
        label = f.pad(f.resize(masks[s], [h, w], InterpolationMode.NEAREST_EXACT), pad)
        if row["noise"] is not None:
            sigma = row["strength"] if row["noise"] == "gaussian" else 0.1
            small = torch.where(label != 0, f.gaussian_noise(small, sigma=sigma), small)
        v[s], labels[s] = small, label
    return finish(job, v, labels)


PEER = Peer(
    run,
    "`resize`, `pad`, `gaussian_noise`, `where(mask)`; it has no other noise: Gaussian stands for "
    "all, which flatters it",
    frozenset({"gaussian"}),
)
