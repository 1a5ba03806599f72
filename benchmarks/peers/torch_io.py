"""One job: whole SAS with TorchIO, sample by sample: images are volumes of one slice."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torchio as tio

from .peer import Job, Peer
from .tensors import finish, planes


@cache
def zoom(scale: float) -> Any:
    return tio.Affine((scale, scale, 1.0), (0.0,) * 3, (0.0,) * 3, default_pad_value=0.0)


@cache
def gaussian(std: float) -> Any:
    return tio.RandomNoise(0, (std, std), p=1)


def run(job: Job) -> tuple[Any, Any]:
    images, masks = planes(job)
    v, labels = torch.empty(images.shape), torch.empty_like(masks)
    for s, row in enumerate(job.rows):
        image = images[s].float() / job.full
        subject = tio.Subject(
            image=tio.ScalarImage(tensor=image[..., None]),
            mask=tio.LabelMap(tensor=masks[s][..., None]),
        )
        both = zoom(row["thumbnail"][2] / masks.shape[-1])(subject)
        small, label = both.image.data[..., 0], both.mask.data[..., 0]
        if row["noise"] is not None:
            std = row["strength"] if row["noise"] == "gaussian" else 0.1
            noisy = gaussian(std)(both.image).data[..., 0]
            small = torch.where(label != 0, noisy.clamp(0, 1), small)
        v[s], labels[s] = small, label
    return finish(job, v, labels)


PEER = Peer(
    run,
    "`Affine` and `RandomNoise` on one-slice volumes, `where(mask)`; it has no other noise of the "
    "four: Gaussian stands for all, which flatters it",
    frozenset({"gaussian"}),
)
