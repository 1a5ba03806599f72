"""One job: whole SAS with skimage.util.random_noise, after OpenCV's resize, the quicker one."""

from __future__ import annotations

from typing import Any

import numpy as np
import skimage.util

from .opencv import RNG, thumbnail, to_type
from .peer import KINDS, Job, Peer, sample_by_sample


def noise(row: dict[str, Any], canvas: Any, label: Any) -> Any:
    kind, options = row["noise"], {"var": row["strength"] ** 2}
    if kind == "salt_pepper":
        kind, options = "s&p", {"amount": row["strength"]}
    elif kind == "poisson":
        options = {}
    noisy = skimage.util.random_noise(canvas, kind, rng=RNG, **options).astype(np.float32)
    roi = label != 0
    return np.where(
        roi if canvas.ndim == 2 else roi[..., None], to_type(noisy, canvas.dtype), canvas
    )


def run(job: Job) -> tuple[Any, Any]:
    return sample_by_sample(job, thumbnail, noise)


PEER = Peer(
    run,
    "`random_noise` on the whole frame, `where(mask)`; its Poisson takes its strength from the "
    "image; channels are drawn one by one",
    KINDS - {"poisson"},
)
