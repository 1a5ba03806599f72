"""One job: a trainer of nnU-Net v2 that augments with SAS.

nnU-Net finds it in the folder that ``python -m sasaug.adapters.nnunet`` prints::

    export nnUNet_extTrainer=$(python -m sasaug.adapters.nnunet)
    nnUNetv2_train DATASET 2d FOLD -tr nnUNetTrainerSAS
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from .batchgenerators import SASTransform

__all__ = ["nnUNetTrainerSAS"]


class nnUNetTrainerSAS(nnUNetTrainer):
    """nnU-Net's own training, for 2-D configurations, with SAS after the crop to the patch.

    The thumbnail lies on the patch itself. An ignore label is not part of the ROI.

    Attributes
    ----------
    sas : dict
        Arguments of :class:`sasaug.adapters.batchgenerators.SASTransform`, for a subclass to
        change. Default: ``{"value_range": "sample"}``, which suits every normalization of
        nnU-Net; half of the patches are transformed.

    Raises
    ------
    ValueError
        Before the training, if the configuration is 3-D, if ``sas`` breaks a rule or if it has a
        canvas other than None, which would change the patch's size.
    """

    sas: ClassVar[Mapping[str, Any]] = {"value_range": "sample"}

    @classmethod
    def get_training_transforms(
        cls,
        patch_size: Sequence[int],
        *args: Any,
        foreground_labels: Sequence[int] | None = None,
        ignore_label: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Return nnU-Net's pipeline with SAS right behind its spatial transform."""
        if len(patch_size) != 2:
            raise ValueError(
                "the configuration must be 2-D, as in nnUNetv2_train DATASET 2d FOLD "
                f"-tr {cls.__name__}; got one with patches of {tuple(patch_size)}"
            )
        if cls.sas.get("canvas") is not None:
            raise ValueError(
                f"{cls.__name__}.sas must have no canvas: the canvas is the patch; "
                f"got {cls.sas['canvas']}"
            )
        labels = {"foreground_labels": foreground_labels, "ignore_label": ignore_label}
        pipeline = super().get_training_transforms(patch_size, *args, **labels, **kwargs)
        roi = {} if ignore_label is None else {"labels": foreground_labels}
        spatial = [isinstance(step, SpatialTransform) for step in pipeline.transforms].index(True)
        pipeline.transforms.insert(spatial + 1, SASTransform(**{**roi, **cls.sas}))
        return pipeline


if __name__ == "__main__":
    print(Path(__file__).with_name("nnunet_trainers"))
