"""One job: whole SAS with kornia: the batch at once."""

from __future__ import annotations

from functools import cache
from typing import Any

import kornia.augmentation as K
import torch
from kornia.geometry.transform import warp_affine

from .peer import Job, Peer
from .plain_torch import of_kind
from .tensors import finish, planes


@cache
def gaussian(std: float) -> Any:
    return K.RandomGaussianNoise(0.0, std, p=1.0)


@cache
def salt_pepper(low: float, high: float) -> Any:
    return K.RandomSaltAndPepperNoise((low, high), (0.5, 0.5), p=1.0)


def to_canvas(job: Job) -> torch.Tensor:
    """Matrices [n 2 3], window -> canvas, in pixels."""
    height, width = job.masks.shape[1:]
    x, y, w, h = torch.from_numpy(job.plan.samples["thumbnail"]).float().unbind(1)
    matrices = torch.zeros(len(job.rows), 2, 3)
    for axis, (first, side, of) in enumerate(((x, w, width), (y, h, height))):
        matrices[:, axis, axis] = side / of
        matrices[:, axis, 2] = first + (side / of - 1) / 2  # pixel centres are whole numbers
    return matrices


def run(job: Job) -> tuple[Any, Any]:
    images, masks = planes(job)
    matrices, canvas = to_canvas(job), job.plan.canvas
    v = images.float() / job.full
    v = warp_affine(v, matrices, canvas, "bilinear", align_corners=True)
    labels = warp_affine(masks.float(), matrices, canvas, "nearest", align_corners=True)
    labels = labels.to(masks.dtype)
    for kind, (places, strengths) in of_kind(job).items():
        some = v[places]
        if kind == "salt_pepper":
            noise = salt_pepper(float(strengths.min()), float(strengths.max()))
        else:  # one deviation for a batch: the strengths' root mean square
            square = strengths.square().mean() if kind == "gaussian" else torch.tensor(0.01)
            noise = gaussian(float(square.sqrt()))
        v[places] = torch.where(labels[places] != 0, noise(some).clamp(0, 1), some)
    return finish(job, v, labels)


PEER = Peer(
    run,
    "`warp_affine` and its two noises on whole frames, `where(mask)`; it has no speckle and no "
    "Poisson: Gaussian stands for them, which flatters it",
    frozenset({"gaussian", "salt_pepper"}),
)
