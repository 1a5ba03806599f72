"""One job: whole SAS with batchgeneratorsv2 (nnU-Net's augmentation), sample by sample."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform

from .peer import Job, Peer
from .tensors import finish, planes


@cache
def zoom(scale: float, canvas: tuple[int, int]) -> Any:
    return SpatialTransform(
        canvas, 0, False, p_scaling=1, scaling=scale, p_synchronize_scaling_across_axes=1,
        mode_seg="nearest",
    )  # fmt: skip


@cache
def gaussian(std: float) -> Any:
    return GaussianNoiseTransform(std, synchronize_channels=True)  # std, whatever its name says


def run(job: Job) -> tuple[Any, Any]:
    images, masks = planes(job)
    v, labels = torch.empty(images.shape), torch.empty_like(masks)
    for s, row in enumerate(job.rows):
        scale = masks.shape[-1] / row["thumbnail"][2]
        image = images[s].float() / job.full
        both = zoom(scale, job.plan.canvas)(image=image, segmentation=masks[s].float())
        small, label = both["image"], both["segmentation"]
        if row["noise"] is not None:
            std = row["strength"] if row["noise"] == "gaussian" else 0.1
            noisy = gaussian(std)(image=small.clone())["image"]  # it writes into its input
            small = torch.where(label != 0, noisy.clamp_(0, 1), small)
        v[s], labels[s] = small, label
    return finish(job, v, labels)


PEER = Peer(
    run,
    "`SpatialTransform` (a grid_sample), `GaussianNoiseTransform`, `where(mask)`; it has no other "
    "noise of the four: Gaussian stands for all, which flatters it",
    frozenset({"gaussian"}),
)
