"""One job: learn from images without masks by a consistency loss.

As in FixMatch (arXiv 2001.07685), the model's own answer on the image as it is becomes the mask of
a strong view. A user has given one click on each structure, which costs far less than its mask.
"""

from __future__ import annotations

import torch
from torch import nn

from ..clicks import next_click
from ..data.batches import Augment, Batch
from .plan import Arm
from .samples import Samples, Stream


class Consistency:
    """Batches of strong views with the model's own masks, without end.

    Parameters
    ----------
    samples : their masks are used for the user's click alone
    arm : its ``consistency``, ``scale``, ``strength``, ``p`` and ``apply_to`` make the strong view
    """

    def __init__(
        self, samples: Samples, arm: Arm, *, canvas: int, batch_size: int, seed: int
    ) -> None:
        self.weak = iter(Stream(samples, Arm(), canvas=canvas, batch_size=batch_size, seed=seed))
        self.strong = Augment(
            arm.consistency, canvas=canvas, scale=arm.scale, strength=arm.strength, p=arm.p,
            apply_to=arm.apply_to, seed=seed,
        )  # fmt: skip

    def batch(self, model: nn.Module, generator: torch.Generator) -> Batch | None:
        """Return the next batch, without the images in which the model finds nothing; None: all."""
        images, masks, ids = next(self.weak)
        xy, labels = next_click(masks.bool(), generator=generator)
        with torch.no_grad():
            logits, _ = model.decode(model.encode(images), points=(xy[:, None], labels[:, None]))
        found = (logits[:, 0] > 0).to(torch.uint8)
        grey = (images[:, :1] * 255).round().to(torch.uint8)
        kept = [
            (image, mask, int(id))
            for image, mask, id in zip(grey, found, ids, strict=True)
            if mask.any()
        ]
        return self.strong.collate(kept) if kept else None
