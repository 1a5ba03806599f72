"""One job: whole SAS with albumentations 2.0.8, its last MIT release; built once, then called."""

from __future__ import annotations

from functools import cache
from typing import Any

import albumentations as A
import cv2
import numpy as np

from .peer import KINDS, Job, Peer, sample_by_sample


@cache
def geometry(height: int, width: int, canvas: tuple[int, int]) -> Any:
    resize = A.Resize(height, width, mask_interpolation=cv2.INTER_NEAREST_EXACT, p=1)
    return A.Compose([resize, A.PadIfNeeded(*canvas, position="center", fill=0, p=1)])


@cache
def noise_transform(kind: str, strength: float) -> Any:
    if kind == "gaussian":
        return A.GaussNoise(std_range=(strength, strength), per_channel=False, p=1)
    if kind == "speckle":  # uniform: these ends have the normal's deviation
        ends = 3**0.5 * strength
        return A.MultiplicativeNoise((1 - ends, 1 + ends), elementwise=True, p=1)
    if kind == "salt_pepper":
        return A.SaltAndPepper((strength, strength), salt_vs_pepper=(0.5, 0.5), p=1)
    return A.ShotNoise(scale_range=(1 / strength, 1 / strength), p=1)


def thumbnail(row: dict[str, Any], image: Any, mask: Any) -> tuple[Any, Any]:
    _, _, w, h = row["thumbnail"]
    both = geometry(h, w, mask.shape)(image=image, mask=mask)
    return both["image"], both["mask"]


def noise(row: dict[str, Any], canvas: Any, label: Any) -> Any:
    noisy = noise_transform(row["noise"], row["strength"])(image=canvas)["image"]
    roi = label != 0
    return np.where(roi if canvas.ndim == 2 else roi[..., None], noisy, canvas)


def run(job: Job) -> tuple[Any, Any]:
    return sample_by_sample(job, thumbnail, noise)


PEER = Peer(
    run,
    "`Resize`, `PadIfNeeded`, then one noise, `where(mask)`; its speckle is uniform, its Poisson "
    "in linear light, and it has no mask for noise",
    KINDS - {"poisson"},
)
