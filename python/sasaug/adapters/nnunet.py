"""One job: a trainer of nnU-Net v2 that augments with SAS.

nnU-Net finds it in the folder that ``python -m sasaug.adapters.nnunet`` prints::

    export nnUNet_extTrainer=$(python -m sasaug.adapters.nnunet)
    nnUNetv2_train DATASET 2d FOLD -tr nnUNetTrainerSAS
    nnUNetv2_train DATASET 3d_fullres FOLD -tr nnUNetTrainerSAS
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.pseudo2d import Convert2DTo3DTransform
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from .batchgenerators import SASTransform

__all__ = ["nnUNetTrainerSAS"]


#: The crop to the patch; and where nnU-Net does it slice by slice, the way back to 3-D.
SPATIAL = (SpatialTransform, Convert2DTo3DTransform)


class CascadeSASTransform(SASTransform):
    """SAS where channel 0 is the segmentation, and the next one what the last stage predicted.

    Both follow the thumbnail; only the segmentation is the ROI.
    """

    def _roi(self, planes: torch.Tensor) -> torch.Tensor:
        return planes[..., :1, :, :]

    def _apply_to_segmentation(self, segmentation: torch.Tensor, **params: Any) -> torch.Tensor:
        planes = self._planes(segmentation)
        moved = [
            params["sample"].masks(planes[..., k : k + 1, :, :]) for k in range(len(segmentation))
        ]
        return self._planes(torch.cat(moved, -3))


class nnUNetTrainerSAS(nnUNetTrainer):
    """nnU-Net's own training, with SAS after the crop to the patch.

    The thumbnail lies on the patch itself. In 3-D configurations all slices of a patch get one
    thumbnail, in-plane; slices lie along the patch's first axis, which nnU-Net makes the one of
    the largest spacing. An ignore label is not part of the ROI, nor is what a cascade's
    last stage predicted.

    Attributes
    ----------
    sas : dict
        Arguments of :class:`sasaug.adapters.batchgenerators.SASTransform`, for a subclass to
        change. Default: ``{"value_range": "sample"}``, which suits every normalization of
        nnU-Net; half of the patches are transformed.

    Raises
    ------
    ValueError
        Before the training, if ``sas`` breaks a rule, or has ``frames``, which the configuration
        tells, or a canvas other than None, which would change the patch's size.
    """

    sas: ClassVar[Mapping[str, Any]] = {"value_range": "sample"}

    @classmethod
    def get_training_transforms(
        cls,
        patch_size: Sequence[int],
        *args: Any,
        is_cascaded: bool = False,
        foreground_labels: Sequence[int] | None = None,
        ignore_label: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Return nnU-Net's pipeline with SAS right behind its spatial transform."""
        if "frames" in cls.sas:
            raise ValueError(
                f"{cls.__name__}.sas must not hold frames: the configuration is 2-D or 3-D; "
                f"got {cls.sas['frames']}"
            )
        if cls.sas.get("canvas") is not None:
            raise ValueError(
                f"{cls.__name__}.sas must not hold a canvas: the canvas is the patch; "
                f"got {cls.sas['canvas']}"
            )
        given = {
            "is_cascaded": is_cascaded,
            "foreground_labels": foreground_labels,
            "ignore_label": ignore_label,
        }
        pipeline = super().get_training_transforms(patch_size, *args, **given, **kwargs)
        roi = {} if ignore_label is None else {"labels": foreground_labels}
        transform = CascadeSASTransform if is_cascaded else SASTransform
        sas = transform(**{**roi, **cls.sas}, frames=len(patch_size) == 3)
        steps = pipeline.transforms
        place = max(k for k, step in enumerate(steps) if isinstance(step, SPATIAL))
        steps.insert(place + 1, sas)
        return pipeline


if __name__ == "__main__":
    print(Path(__file__).with_name("nnunet_trainers"))
