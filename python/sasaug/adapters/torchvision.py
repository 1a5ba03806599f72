"""One job: SAS as transforms of ``torchvision.transforms.v2``.

A sample is any structure of ``tv_tensors``: one image or several [c h w] of one size, masks
[h w] or [k h w], bounding boxes, key points. Everything follows the same thumbnail. With
``frames=True`` videos [t c h w] and masks [t h w] or [t k h w] take their places.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import numpy as np
import PIL.Image
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from .._checks import is_integer
from ..plan import Plan
from ._sample import Recipe, Sample
from ._settings import changed, shows_settings, step_settings, written

__all__ = ["SAS", "RandomMaskedNoise", "RandomThumbnail", "SampleId"]

ROTATED = ("XYWHR", "CXCYWHR", "XYXYXYXY")
_KeyPoints = getattr(tv_tensors, "KeyPoints", ())  # came after the others


#: The current sample's id, for each thread.
_id: ContextVar[SampleId | None] = ContextVar("_id", default=None)


class SampleId(int):
    """A sample's id, among its other values: ``{"image": ..., "mask": ..., "id": SampleId(7)}``."""


@shows_settings
class SAS(v2.Transform):
    """The SAS augmentation (:class:`sasaug.SAS`) in a ``v2.Compose``.

    Samples that are not transformed still become thumbnails of full size on the canvas, so that
    the output has one size. The ROI comes from the sample's first ``tv_tensors.Mask``; of masks
    [k h w], such as instances, it is their union.

    Parameters
    ----------
    value_range : (float, float) or "sample", optional
        Black and full scale of the images, in their own unit; "sample": each float image's least
        and greatest value. Default: (0, 1) for floats, the type's range for integers.
    sample_seed : int, optional
        With it the sample must hold one :class:`SampleId`, and its output depends on the two
        alone, for any number of workers. Without, seeds come from torch's own generator.
    one_hot : bool, optional
        True: channel 0 of a mask with several channels is the background. It is not part of the
        ROI, and it is set around the thumbnail; ``labels`` are channels. False: all channels are
        structures. Default: as False, but a mask that looks one-hot with a background is refused.
    settings
        Those of :class:`sasaug.SAS`: ``canvas``, ``thumbnail``, ``noise``, ``p``, ``labels``, ...;
        with ``frames=True`` all frames of a ``tv_tensors.Video`` get one thumbnail.

    Raises
    ------
    ValueError, TypeError
        If a setting breaks its rule; when called, if the sample has no image or mask, a PIL image
        (put ``v2.ToImage()`` first), a video without ``frames=True`` or an image with it, rotated
        boxes, or float images out of range.

    Examples
    --------
    >>> import torch
    >>> from torchvision import tv_tensors
    >>> from sasaug.adapters.torchvision import SAS
    >>> image = tv_tensors.Image(torch.rand(1, 300, 400))
    >>> mask = tv_tensors.Mask(torch.ones(300, 400, dtype=torch.uint8))
    >>> x, y = SAS(canvas=256)(image, mask)
    >>> x.shape, y.shape
    (torch.Size([1, 256, 256]), torch.Size([256, 256]))
    """

    _transformed_types = (torch.Tensor,)
    _step = "sas"

    def __init__(
        self,
        *,
        value_range: tuple[float, float] | str | None = None,
        sample_seed: int | None = None,
        one_hot: bool | None = None,
        **settings: Any,
    ) -> None:
        super().__init__()
        chosen = step_settings(self._step, settings)
        self._recipe = Recipe(chosen, value_range, sample_seed, one_hot)

    @property
    def settings(self) -> Any:
        """The :class:`sasaug.SAS` that it applies."""
        return self._recipe.settings

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        """Reject unsupported inputs; remember the sample's id, which make_params does not get."""
        frames = self.settings.frames
        for leaf in flat_inputs:
            if isinstance(leaf, PIL.Image.Image):
                raise TypeError(
                    "the image must be a tensor [c h w], got a PIL image: put v2.ToImage() before"
                )
            if isinstance(leaf, tv_tensors.Video) and not frames:
                raise TypeError("the image must be a tensor [c h w], got a Video: pass frames=True")
            if isinstance(leaf, tv_tensors.Image) and frames:
                raise TypeError(
                    "the video must be a tensor [t c h w] with frames=True, got an Image: images "
                    "need frames=False"
                )
            if isinstance(leaf, (tv_tensors.Image, tv_tensors.Video)):
                _check_one(leaf, frames)
        arrays = any(isinstance(leaf, np.ndarray) for leaf in flat_inputs)
        if arrays and not any(isinstance(leaf, torch.Tensor) for leaf in flat_inputs):
            raise TypeError(
                "the image must be a tensor [c h w], got a numpy array: put v2.ToImage() before"
            )
        _id.set(self._named(flat_inputs))

    def _named(self, leaves: list[Any]) -> SampleId | None:
        ids = [leaf for leaf in leaves if isinstance(leaf, SampleId)]
        if self._recipe.sample_seed is None or len(ids) == 1:
            return ids[0] if ids else None
        if ids:
            raise ValueError(f"the sample must hold one SampleId, got {len(ids)}")
        plain = next((leaf for leaf in leaves if is_integer(leaf)), None)
        got = "none" if plain is None else f"the plain integer {plain}: SampleId({plain})"
        raise ValueError(
            "sample_id must be given where sample_seed is: SampleId(epoch * len(dataset) + index) "
            f"among the sample's values, got {got}"
        )

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        masks = [leaf for leaf in flat_inputs if isinstance(leaf, tv_tensors.Mask)]
        images = [leaf for leaf in flat_inputs if _is_image(leaf)]
        frames = self.settings.frames
        if not images:
            one = "a tv_tensors.Video [t c h w]" if frames else "an image [c h w]"
            raise ValueError(f"the sample must hold {one}, got none")
        _check_one(images[0], frames)
        if not masks and self._step != "thumbnail":
            raise ValueError("the sample must hold a tv_tensors.Mask, the ROI; got none")
        planes = _planes(masks[0], frames) if masks else None
        image = self._channels_first(images[0].as_subclass(torch.Tensor))
        return {"sample": self._recipe.draw(image, planes, lambda: None, _id.get())}

    def _channels_first(self, image: torch.Tensor) -> torch.Tensor:
        """Return [c h w] as it is, and [t c h w] as [c t h w], or back."""
        return image.swapaxes(0, 1) if self.settings.frames else image

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        sample: Sample = params["sample"]
        plan = sample.plan
        if isinstance(inpt, tv_tensors.Mask):
            y = sample.masks(_planes(inpt, self.settings.frames))
            return tv_tensors.wrap(y.reshape(*inpt.shape[:-2], *y.shape[-2:]), like=inpt)
        if isinstance(inpt, tv_tensors.BoundingBoxes):
            return _boxes(inpt, plan)
        if isinstance(inpt, _KeyPoints):
            exact = plan.transform_points(inpt.as_subclass(torch.Tensor).double())
            points = _as(exact, inpt.dtype)
            return tv_tensors.wrap(points, like=inpt, canvas_size=plan.canvas)
        x = self._channels_first(sample.image(self._channels_first(inpt.as_subclass(torch.Tensor))))
        return tv_tensors.wrap(x, like=inpt) if isinstance(inpt, tv_tensors.TVTensor) else x

    def extra_repr(self) -> str:
        names = ("value_range", "sample_seed", "one_hot")
        options = {name: getattr(self._recipe, name) for name in names}
        return written(changed(self._step, self.settings, **options))


@shows_settings
class RandomThumbnail(SAS):
    """Step 1 alone: the image shrunk to a thumbnail of random size on a black canvas.

    Settings: ``canvas``, ``thumbnail`` (the range of its longer side), ``position``,
    ``antialias``, ``frames`` and ``p`` (default 1). It needs no mask. See :class:`SAS` for the
    rest.
    """

    _step = "thumbnail"


@shows_settings
class RandomMaskedNoise(SAS):
    """Step 2 alone: one of the kinds of noise, inside the mask only.

    Settings: ``noise``, ``labels``, ``per_channel``, ``salt_vs_pepper``, ``frames`` and ``p``
    (default 1). All but images and videos pass through. See :class:`SAS` for the rest.
    """

    _step = "noise"

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return super().transform(inpt, params) if _is_image(inpt) else inpt


def _is_image(leaf: Any) -> bool:
    shown = (tv_tensors.Image, tv_tensors.Video)
    return isinstance(leaf, shown) or not isinstance(leaf, tv_tensors.TVTensor)


def _check_one(image: torch.Tensor, frames: bool) -> None:
    if image.ndim != 3 + frames:
        one = "video must be one video [t c h w]" if frames else "image must be one image [c h w]"
        raise ValueError(
            f"the {one}, got shape {tuple(image.shape)}: for batches use sasaug.torch.SAS"
        )


def _planes(mask: torch.Tensor, frames: bool) -> torch.Tensor:
    """Return masks as planes [k h w]; those of a video, [t h w] or [t k h w], as [t k h w]."""
    lead, size = mask.shape[:-2], mask.shape[-2:]
    if frames and len(lead) not in (1, 2):
        raise ValueError(
            "the masks of a video must be [t h w] or [t k h w], a mask for each frame, got shape "
            f"{tuple(mask.shape)}"
        )
    plain = mask.as_subclass(torch.Tensor)
    return plain.reshape(*lead[:frames], lead[frames:].numel(), *size)


def _boxes(boxes: Any, plan: Plan) -> Any:
    if boxes.format.value in ROTATED:
        raise ValueError(f"boxes must have upright sides, got format {boxes.format.value}")
    exact = boxes.as_subclass(torch.Tensor).double()
    moved = plan.transform_boxes(exact, format=boxes.format.value.lower())
    return tv_tensors.wrap(_as(moved, boxes.dtype), like=boxes, canvas_size=plan.canvas)


def _as(exact: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return (exact if dtype.is_floating_point else exact.round()).to(dtype)
