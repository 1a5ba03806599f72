"""One job: choose the next click on each mask of a batch, as a user would.

The paper's multi-click strategy (section 2.3): the first click lies far inside the structure, every
further one where the prediction is most wrong, positive on what was missed, negative on what is too
much. Positions are (x, y) in pixels, pixel centres at whole numbers; labels 1, 0, or -1: no click.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

#: Which pixels of a region may be clicked, by their distance d to its boundary. The paper's
#: "within the 30th percentile of the largest distance" can be read in two ways; "deepest" is
#: deterministic, as interactive segmentation is usually evaluated.
RULES = ("top-30-percent", "within-30-percent-of-largest", "deepest")


def boundary_distance(region: Tensor, border_is_boundary: bool = True) -> Tensor:
    """Euclidean distance, in pixels, from each pixel of a region to the nearest one outside.

    Parameters
    ----------
    region : bool [b h w]
    border_is_boundary : what lies beyond the image counts as outside; if not, a structure cut by
        the border is deepest at the border.

    Returns
    -------
    float32 [b h w], 0 outside the region; a region that fills its image, without any boundary,
    is as deep everywhere.
    """
    if border_is_boundary:
        region = torch.nn.functional.pad(region, (1, 1, 1, 1))
    distance = _on_gpu(region) if region.is_cuda else _on_cpu(region)
    return distance[:, 1:-1, 1:-1] if border_is_boundary else distance


def _on_cpu(region: Tensor) -> Tensor:
    frames = region.numpy().astype(np.uint8)
    # a full frame has no pixel to measure from
    far = [
        frame.astype(np.float32)
        if frame.all()
        else cv2.distanceTransform(frame, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for frame in frames
    ]
    # OpenCV's last bit depends on where the frame lies in memory; squared distances are integers
    return torch.from_numpy(np.sqrt(np.rint(np.square(np.stack(far)))))


def _on_gpu(region: Tensor) -> Tensor:
    """Exact, without a loop over samples: along x, then the lower envelope along y."""
    h, w = region.shape[1:]
    far = float(4 * (h + w) ** 2)
    x = torch.arange(w, device=region.device, dtype=torch.float32)
    left = torch.where(region, -torch.inf, x).cummax(-1).values
    right = torch.where(region, torch.inf, x).flip(-1).cummin(-1).values.flip(-1)
    along_x = torch.minimum(x - left, right - x).square().clamp(max=far)
    y = torch.arange(h, device=region.device, dtype=torch.float32)[:, None]
    squared = torch.full_like(along_x, far)
    for row in range(h):
        squared = torch.minimum(squared, along_x[:, row, None] + (y - row).square())
    full = region.flatten(1).all(1)[:, None, None]
    return torch.where(full, 1.0, squared.sqrt())


def candidates(distance: Tensor, rule: str) -> Tensor:
    """Pixels that may be clicked: bool [b h w] from distances [b h w], none where all are 0."""
    flat = distance.flatten(1)
    deepest = flat.amax(1, keepdim=True)
    if rule == "deepest":
        allowed = flat == deepest
    elif rule == "within-30-percent-of-largest":
        allowed = flat >= 0.7 * deepest
    elif rule == "top-30-percent":
        inside = torch.where(flat > 0, flat, torch.nan)
        limit = torch.nanquantile(inside, 0.7, dim=1, keepdim=True, interpolation="lower")
        allowed = flat >= limit.nan_to_num(nan=torch.inf)
    else:
        raise ValueError(f"rule must be one of {RULES}, got {rule!r}")
    return (allowed & (flat > 0)).view_as(distance)


def next_click(
    mask: Tensor,
    prediction: Tensor | None = None,
    *,
    rule: str = RULES[0],
    generator: torch.Generator | None = None,
    border_is_boundary: bool = True,
) -> tuple[Tensor, Tensor]:
    """Where a user would click next, for each sample.

    The region is the missed part of the mask or the predicted part outside it, whichever holds the
    pixel farthest from its boundary (a tie goes to the missed part); the click is drawn from its
    candidates. Without a prediction the missed part is the whole mask.

    Parameters
    ----------
    mask, prediction : bool [b h w]
    rule : one of ``RULES``
    generator : of the CPU; "deepest" draws nothing, and takes the first of equals

    Returns
    -------
    xy : float32 [b 2], on the mask's device
    labels : int64 [b]; 1 on the mask, 0 beside it; -1, at (0, 0), where nothing is wrong
    """
    if prediction is None:
        prediction = torch.zeros_like(mask)
    missed = boundary_distance(mask & ~prediction, border_is_boundary)
    extra = boundary_distance(prediction & ~mask, border_is_boundary)
    positive = missed.flatten(1).amax(1) >= extra.flatten(1).amax(1)
    distance = torch.where(positive[:, None, None], missed, extra)
    allowed = candidates(distance, rule).flatten(1)
    found = allowed.any(1)
    if rule == "deepest":
        place = allowed.float().argmax(1)
    else:
        # the place-th candidate, so that one uniform number per sample is drawn, on any device
        count = allowed.sum(1)
        drawn = torch.rand(len(mask), generator=generator).to(mask.device)
        nth = (drawn * count).long().clamp(max=(count - 1).clamp(min=0)) + 1
        place = (allowed.cumsum(1) >= nth[:, None]).float().argmax(1)
    place = torch.where(found, place, 0)
    width = mask.shape[2]
    xy = torch.stack([place % width, place // width], 1).float()
    labels = torch.where(found, positive.long(), -1)
    return xy, labels


def bounding_box(mask: Tensor) -> Tensor:
    """The tightest box (x0, y0, x1, y1) of each mask: float32 [b 4] from bool [b h w].

    The last pixels belong to it; an empty mask has the box of its whole image.
    """
    h, w = mask.shape[1:]
    mask = mask | ~mask.flatten(1).any(1)[:, None, None]
    rows, columns = mask.any(2).float(), mask.any(1).float()
    x0, y0 = columns.argmax(1), rows.argmax(1)
    x1, y1 = w - 1 - columns.flip(1).argmax(1), h - 1 - rows.flip(1).argmax(1)
    return torch.stack([x0, y0, x1, y1], 1).float()
