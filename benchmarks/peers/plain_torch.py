"""One job: whole SAS in plain torch: a loop of interpolate, and one batched grid_sample."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from .peer import Job, Peer
from .tensors import finish, noisy, planes


def interpolate(job: Job) -> tuple[Any, Any]:
    images, masks = planes(job)
    v = torch.zeros(images.shape)
    labels = torch.zeros_like(masks)
    for s, row in enumerate(job.rows):
        x, y, w, h = row["thumbnail"]
        place = (slice(None), slice(y, y + h), slice(x, x + w))
        image = images[s : s + 1].float() / job.full
        v[s][place] = F.interpolate(image, (h, w), mode="bilinear", align_corners=False)[0]
        labels[s][place] = F.interpolate(masks[s : s + 1], (h, w), mode="nearest-exact")[0]
        if row["noise"] is not None:
            roi = labels[s, 0] != 0
            inside = noisy(row["noise"], row["strength"], v[s][:, roi][None])
            v[s][:, roi] = inside[0].clamp_(0, 1)
    return finish(job, v, labels)


def theta(job: Job) -> torch.Tensor:
    """affine_grid's matrices [n 2 3]: canvas -> window, in units of half a side."""
    height, width = job.plan.canvas
    x, y, w, h = torch.from_numpy(job.plan.samples["thumbnail"]).float().unbind(1)
    matrices = torch.zeros(len(job.rows), 2, 3)
    matrices[:, 0, 0], matrices[:, 0, 2] = width / w, (width - 2 * x) / w - 1
    matrices[:, 1, 1], matrices[:, 1, 2] = height / h, (height - 2 * y) / h - 1
    return matrices


def of_kind(job: Job) -> dict[str, tuple[list[int], torch.Tensor]]:
    """kind -> places in the batch, and strengths [k 1 1 1]."""
    groups: dict[str, tuple[list[int], torch.Tensor]] = {}
    for kind in sorted({row["noise"] for row in job.rows} - {None}):
        places = [s for s, row in enumerate(job.rows) if row["noise"] == kind]
        strengths = torch.tensor([job.rows[s]["strength"] for s in places])
        groups[kind] = (places, strengths[:, None, None, None])
    return groups


def grid_sample(job: Job) -> tuple[Any, Any]:
    images, masks = planes(job)
    grid = F.affine_grid(theta(job), list(masks.shape), align_corners=False)
    v = images.float() / job.full
    v = F.grid_sample(v, grid, "bilinear", "zeros", align_corners=False)
    labels = F.grid_sample(masks.float(), grid, "nearest", "zeros", align_corners=False)
    labels = labels.to(masks.dtype)
    for kind, (places, strengths) in of_kind(job).items():
        some = v[places]
        v[places] = torch.where(labels[places] != 0, noisy(kind, strengths, some).clamp(0, 1), some)
    return finish(job, v, labels)


INTERPOLATE = Peer(
    interpolate, "a loop of `F.interpolate` and paste, noise for the mask's pixels alone"
)
GRID_SAMPLE = Peer(grid_sample, "the batch at once: `F.grid_sample`, noise on whole frames by kind")
