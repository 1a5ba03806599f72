"""One job: from a job's arrays to tensors [n c h w] and back, and noise as torch users draw it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from .peer import Job

torch.set_num_threads(1)


def planes(job: Job) -> tuple[torch.Tensor, torch.Tensor]:
    """Images [n c h w] as they are, and masks [n 1 h w]; no copy."""
    images = torch.from_numpy(job.images)
    if job.layout == "grey":
        images = images[:, None]
    return images, torch.from_numpy(job.masks)[:, None]


def finish(job: Job, v: torch.Tensor, labels: torch.Tensor) -> tuple[Any, Any]:
    """Values in [0, 1] to the job's type and shape."""
    if job.images.dtype == np.uint8:
        v = (v * 255).round_().to(torch.uint8)
    return v.reshape(job.images.shape).numpy(), labels.reshape(job.masks.shape).numpy()


def noisy(kind: str, strength: Any, v: torch.Tensor) -> torch.Tensor:
    """Noise on v [..., c, k] or [n c h w]; channels share one draw, but for Poisson."""
    if kind == "gaussian":
        return v + strength * torch.randn_like(v[:, :1])
    if kind == "speckle":
        return v + v * (strength * torch.randn_like(v[:, :1]))
    if kind == "salt_pepper":
        u = torch.rand_like(v[:, :1])
        return torch.where(u < strength, (u < strength / 2).to(v.dtype), v)
    return torch.poisson(v * strength) / strength
