"""One job: SAS as transforms of batchgeneratorsv2, with which nnU-Net trains.

Samples are 2-D, images [c h w] with segmentations [k h w], or with ``frames=True`` 3-D, [c d h w]
with [k d h w]: tensors on the CPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform

from .._ranks import apart
from ._sample import Recipe, Sample
from ._settings import changed, shows_settings, step_settings, written

__all__ = ["MaskedNoiseTransform", "SASTransform", "ThumbnailTransform"]


@shows_settings
class SASTransform(BasicTransform):
    """The SAS augmentation (:class:`sasaug.SAS`) of ``image`` and ``segmentation``.

    ``regression_target`` follows the thumbnail and gets no noise. Samples that are not transformed
    still become thumbnails of full size on the canvas; without ``canvas``, the patch's own size,
    they stay as they are. The ROI is where any channel of the segmentation is above 0: nnU-Net
    writes -1 outside of an image.

    Parameters
    ----------
    value_range : (float, float) or "sample", optional
        Black and full scale of the images, in their own unit; "sample", for nnU-Net's z-scores:
        each float image's least and greatest value. Default: (0, 1) for floats.
    sample_seed : int, optional
        With it the call needs a ``sample_id``, and the output depends on the two alone. Without,
        seeds come from numpy's shared generator, which the host sets for each of its workers.
    one_hot : bool, optional
        True: channel 0 of a segmentation with several channels is the background. It is not part
        of the ROI, and it is set around the thumbnail; ``labels`` are channels. False: all
        channels are structures. Default: as False, but one that looks one-hot with a background
        is refused.
    settings
        Those of :class:`sasaug.SAS`: ``canvas``, ``thumbnail``, ``noise``, ``p``, ``labels``, ...;
        with ``frames=True`` patches are 3-D, and all slices, the first spatial axis, get one
        thumbnail, in-plane.

    Raises
    ------
    ValueError, TypeError
        If a setting breaks its rule; when called, if the image or segmentation is missing or not
        2-D, with ``frames=True`` 3-D, if there are boxes or key points, or float images out of
        range.

    Examples
    --------
    >>> import torch
    >>> from sasaug.adapters.batchgenerators import SASTransform
    >>> augment = SASTransform(p=1.0)
    >>> patch, segmentation = torch.rand(1, 256, 256), torch.ones(1, 256, 256, dtype=torch.int16)
    >>> out = augment(image=patch, segmentation=segmentation)
    >>> out["image"].shape, out["segmentation"].dtype
    (torch.Size([1, 256, 256]), torch.int16)
    """

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
        self._recipe = Recipe(chosen, value_range, sample_seed, one_hot, signed=True)

    @property
    def settings(self) -> Any:
        """The :class:`sasaug.SAS` that it applies."""
        return self._recipe.settings

    def __repr__(self) -> str:
        names = ("value_range", "sample_seed", "one_hot")
        options = {name: getattr(self._recipe, name) for name in names}
        return f"{type(self).__name__}({written(changed(self._step, self.settings, **options))})"

    def get_parameters(self, **data_dict: Any) -> dict[str, Any]:
        for key in ("keypoints", "bbox"):
            if data_dict.get(key) is not None:
                raise ValueError(f"the sample must hold no {key}, whose form the host leaves open")
        for key in ("image", "segmentation"):
            if isinstance(data_dict.get(key), np.ndarray):
                raise TypeError(f"{key} must be a tensor, got a numpy array: torch.from_numpy(a)")
        image, segmentation = data_dict.get("image"), data_dict.get("segmentation")
        if image is None or (segmentation is None and self._step != "thumbnail"):
            raise ValueError(f"the sample must hold image and segmentation, got {list(data_dict)}")
        for key in ("image", "segmentation"):
            if data_dict.get(key) is not None:
                _check_axes(key, data_dict[key].shape, self.settings.frames)
        planes = None if segmentation is None else self._roi(self._planes(segmentation))
        sample = self._recipe.draw(image, planes, _seed, data_dict.get("sample_id"))
        return {"sample": sample}

    def _planes(self, segmentation: torch.Tensor) -> torch.Tensor:
        """Return [k h w] as it is, and [k d h w] as [d k h w], or back."""
        return segmentation.swapaxes(0, 1) if self.settings.frames else segmentation

    def _roi(self, planes: torch.Tensor) -> torch.Tensor:
        """Return those planes [... k h w] that hold the structures: all of them."""
        return planes

    def _apply_to_image(self, img: torch.Tensor, **params: Any) -> torch.Tensor:
        x: torch.Tensor = params["sample"].image(img)
        return x

    def _apply_to_segmentation(self, segmentation: torch.Tensor, **params: Any) -> torch.Tensor:
        return self._planes(params["sample"].masks(self._planes(segmentation)))

    def _apply_to_regr_target(self, regression_target: Any, **params: Any) -> Any:
        sample: Sample = params["sample"]
        return sample.without_noise(regression_target)


@shows_settings
class ThumbnailTransform(SASTransform):
    """Step 1 alone: a thumbnail of random size on a black canvas; it needs no segmentation.

    Settings: ``canvas``, ``thumbnail`` (the range of its longer side), ``position``,
    ``antialias``, ``frames`` and ``p`` (default 1). See :class:`SASTransform` for the rest.
    """

    _step = "thumbnail"


@shows_settings
class MaskedNoiseTransform(SASTransform):
    """Step 2 alone: one of the kinds of noise, inside the segmentation only.

    Settings: ``noise``, ``labels``, ``per_channel``, ``salt_vs_pepper``, ``frames`` and ``p``
    (default 1). All but the image passes through. See :class:`SASTransform` for the rest.
    """

    _step = "noise"

    def _apply_to_segmentation(self, segmentation: torch.Tensor, **params: Any) -> torch.Tensor:
        return segmentation

    def _apply_to_regr_target(self, regression_target: Any, **params: Any) -> Any:
        return regression_target


def _check_axes(key: str, shape: torch.Size, frames: bool) -> None:
    if len(shape) != 3 + frames:
        rule = "3-D with frames=True, [c d h w]" if frames else "2-D, [c h w]"
        volumes = "; 3-D patches need frames=True" if len(shape) == 4 else ""
        raise ValueError(f"{key} must be {rule}, got shape {tuple(shape)}{volumes}")


def _seed() -> int:
    # numpy's and not torch's: of the two the host's workers seed numpy's always
    return apart(int.from_bytes(np.random.bytes(8), "little"))
