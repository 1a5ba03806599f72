"""One job: SAS as augmentations of kornia, for batches on the CPU or a GPU.

Images are [n c h w] of floats in [0, 1], masks [n c h w] or [n h w] of any type. The classes whose
names end in 3D are for volumes and videos, [n c d h w], with masks [n c d h w] or [n d h w].
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from kornia.augmentation import AugmentationBase3D, RandomTransplantation
from kornia.constants import DataKey
from torch import Tensor

from .._ranks import apart
from ..plan import Plan
from ._sample import Recipe, Sample
from ._settings import changed, shows_settings, step_settings, written

__all__ = [
    "RandomMaskedNoise",
    "RandomMaskedNoise3D",
    "RandomSAS",
    "RandomSAS3D",
    "RandomThumbnail",
    "RandomThumbnail3D",
]


# kornia passes image and mask together only to RandomTransplantation and its subclasses, through
# params_from_input. Nothing else of that class is used.
@shows_settings
class RandomSAS(RandomTransplantation):
    """The SAS augmentation (:class:`sasaug.SAS`) in an ``AugmentationSequential``.

    Its data keys are input, mask, boxes and key points. Samples that are not transformed
    still become thumbnails of full size on the canvas. The ROI is the union of the first mask's
    channels. There is no gradient and no inverse; ``torch.compile`` breaks its graph here.

    Parameters
    ----------
    p : float
        Probability in [0, 1] that a sample that is not small is transformed; default 0.5.
    same_on_batch : bool
        Draw the same numbers for every sample of a batch.
    keepdim : bool
        Give masks [n h w] back as such; by default kornia makes them [n 1 h w].
    data_keys : list, optional
        Keys of a direct call. Default: input, mask.
    value_range : (float, float), optional
        Black and full scale of the images, in their own unit. Default: (0, 1).
    one_hot : bool, optional
        True: channel 0 of a mask with several channels is the background. It is not part of the
        ROI, and it is set around the thumbnail; ``labels`` are channels. False: all channels are
        structures. Default: as False, but a mask that looks one-hot with a background is refused.
    settings
        Those of :class:`sasaug.SAS`: ``canvas``, ``thumbnail``, ``noise``, ``labels``, ...

    Raises
    ------
    ValueError, TypeError
        If a setting breaks its rule; when called, if the mask is missing, or the image not
        [n c h w] in [0, 1] of at most four channels.

    Examples
    --------
    >>> import torch
    >>> from kornia.augmentation import AugmentationSequential
    >>> from sasaug.adapters.kornia import RandomSAS
    >>> augment = AugmentationSequential(RandomSAS(canvas=256), data_keys=["input", "mask"])
    >>> images, masks = torch.rand(2, 1, 300, 400), torch.ones(2, 1, 300, 400)
    >>> x, y = augment(images, masks)
    >>> x.shape, y.shape
    (torch.Size([2, 1, 256, 256]), torch.Size([2, 1, 256, 256]))
    """

    _step = "sas"
    _fixed: ClassVar[dict[str, Any]] = {"frames": False}  # kornia's containers ask the class

    def __init__(
        self,
        p: float | None = None,
        *,
        same_on_batch: bool = False,
        keepdim: bool = False,
        data_keys: list[Any] | None = None,
        value_range: Any = None,
        one_hot: bool | None = None,
        **settings: Any,
    ) -> None:
        if value_range == "sample":
            raise ValueError("value_range must be (low, high), one for the whole batch, or None")
        if "frames" in settings:
            name = type(self).__name__.removesuffix("3D")
            raise TypeError(
                f"frames must be left to the class, {name}3D for volumes and videos, {name} for "
                f"images; got frames={settings['frames']!r}"
            )
        given = settings if p is None else {**settings, "p": p}
        chosen = step_settings(self._step, given, fixed=self._fixed)
        super().__init__(p=1.0, data_keys=data_keys)  # the plan says which are transformed
        self._recipe = Recipe(chosen, value_range, None, one_hot)
        self.same_on_batch, self.keepdim = same_on_batch, keepdim

    @property
    def settings(self) -> Any:
        """The :class:`sasaug.SAS` that it applies."""
        return self._recipe.settings

    def __repr__(self) -> str:
        options: dict[str, Any] = {"value_range": self._recipe.value_range}
        options["one_hot"] = self._recipe.one_hot
        options |= {name: True for name in ("same_on_batch", "keepdim") if getattr(self, name)}
        if (keys := _names(self.data_keys)) != ["input", "mask"]:
            options["data_keys"] = keys
        arguments = changed(self._step, self.settings, self._fixed, **options)
        return f"{type(self).__name__}({written(arguments)})"

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def generate_parameters(self, batch_shape: Any) -> dict[str, Tensor]:
        """Draw a seed, which is all that a replay by ``params=`` needs."""
        drawn = int(torch.randint(0, 2**63 - 1, (), dtype=torch.int64))
        return {"seed": torch.tensor([apart(drawn) % 2**63])}

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def params_from_input(
        self, *input: Any, data_keys: list[Any], params: dict[str, Any], extra_args: Any = None
    ) -> dict[str, Any]:
        """Return the parameters with the sample drawn from their seed."""
        images = [one for one, key in zip(input, data_keys, strict=True) if key == DataKey.INPUT]
        masks = [one for one, key in zip(input, data_keys, strict=True) if key == DataKey.MASK]
        frames = self.settings.frames
        if images and images[0].ndim != 4 + frames:
            one = "[n c d h w]" if frames else "[n c h w]"
            raise ValueError(f"input must be {one}, got shape {tuple(images[0].shape)}")
        if not images:
            raise ValueError(f"data_keys must hold input, the images; got {_names(data_keys)}")
        if not masks and self._step != "thumbnail":
            raise ValueError(f"data_keys must hold a mask, the ROI; got {_names(data_keys)}")
        ids = [0] * len(images[0]) if self.same_on_batch else None
        planes = self._planes(masks[0]) if masks else None
        sample = self._recipe.draw_batch(images[0], planes, int(params["seed"]), ids)
        return {**params, "sample": sample}

    def _planes(self, mask: Tensor) -> Tensor:
        """Return [n c h w] or [n h w] as planes [n k h w], and with d as [n d k h w]."""
        if self.settings.frames:
            if mask.ndim not in (4, 5):
                shape = tuple(mask.shape)
                raise ValueError(f"mask must be [n c d h w] or [n d h w], got shape {shape}")
            return mask[:, :, None] if mask.ndim == 4 else mask.swapaxes(1, 2)
        return mask[:, None] if mask.ndim == 3 else mask

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(
        self,
        *input: Any,
        params: dict[str, Any] | None = None,
        data_keys: list[Any] | None = None,
        **options: Any,
    ) -> Any:
        keys = [DataKey.get(key) for key in data_keys or self.data_keys]
        if len(keys) != len(input):
            raise ValueError(f"inputs must be as many as data_keys, {len(keys)}, got {len(input)}")
        if params is None:
            params = self.forward_parameters(input[0].shape)
        if "video_batch_size" in params:
            raise ValueError(
                f"{type(self).__name__} must not be in a VideoSequential, which passes frames "
                "alone: put the class that ends in 3D before it, in the AugmentationSequential"
            )
        ready = params
        if "sample" not in params:
            ready = self.params_from_input(*input, data_keys=keys, params=params)
        self._params = {key: value for key, value in ready.items() if key != "sample"}
        outputs = []
        for one, key in zip(input, keys, strict=True):
            if key == DataKey.INPUT:
                outputs.append(ready["sample"].image(one))
            elif key == DataKey.MASK:
                outputs.append(self._mask(one, ready["sample"]))
            else:
                raise ValueError(
                    f"data_keys of a direct call must be input and mask, got {_names([key])[0]}: "
                    "AugmentationSequential takes the others"
                )
        return outputs[0] if len(outputs) == 1 else outputs

    def _mask(self, mask: Tensor, sample: Sample) -> Tensor:
        moved = sample.masks(self._planes(mask))
        if self.settings.frames and mask.ndim == 5:
            return moved.swapaxes(1, 2)
        return moved.reshape(*mask.shape[:-2], *moved.shape[-2:])

    def transform_boxes(self, input: Any, params: dict[str, Any], flags: Any) -> Any:
        self._refuse_in_3d("boxes")
        return input.transform_boxes_(_matrices(params["sample"].plan, input.data))

    def transform_keypoint(self, input: Tensor, params: dict[str, Any], flags: Any) -> Tensor:
        self._refuse_in_3d("keypoints")
        homogeneous = torch.nn.functional.pad(input, (0, 1), value=1.0)
        return (homogeneous @ _matrices(params["sample"].plan, input).mT)[..., :2]

    def _refuse_in_3d(self, key: str) -> None:
        if self.settings.frames:
            raise ValueError(f"data_keys of volumes and videos must be input and mask, got {key}")


@shows_settings
class RandomThumbnail(RandomSAS):
    """Step 1 alone: a thumbnail of random size on a black canvas; it needs no mask.

    Settings: ``canvas``, ``thumbnail`` (the range of its longer side), ``position``, ``antialias``
    and ``p`` (default 1). See :class:`RandomSAS` for the rest.
    """

    _step = "thumbnail"


@shows_settings
class RandomMaskedNoise(RandomSAS):
    """Step 2 alone: one of the kinds of noise, inside the mask only.

    Settings: ``noise``, ``labels``, ``per_channel``, ``salt_vs_pepper`` and ``p`` (default 1). All
    but images passes through. See :class:`RandomSAS` for the rest.
    """

    _step = "noise"

    def _mask(self, mask: Tensor, sample: Sample) -> Tensor:
        return mask

    def transform_boxes(self, input: Any, params: dict[str, Any], flags: Any) -> Any:
        return input

    def transform_keypoint(self, input: Tensor, params: dict[str, Any], flags: Any) -> Tensor:
        return input


@shows_settings
class RandomSAS3D(RandomSAS, AugmentationBase3D):
    """SAS of volumes and videos [n c d h w]: one thumbnail, in-plane, for all d slices or frames.

    It stands in an ``AugmentationSequential``, before a ``VideoSequential`` of "BCTHW" if there is
    one. Its data keys are input and mask. See :class:`RandomSAS` for the rest.

    Examples
    --------
    >>> import torch
    >>> from kornia.augmentation import AugmentationSequential
    >>> from sasaug.adapters.kornia import RandomSAS3D
    >>> augment = AugmentationSequential(RandomSAS3D(canvas=256), data_keys=["input", "mask"])
    >>> volumes, masks = torch.rand(2, 1, 8, 300, 400), torch.ones(2, 1, 8, 300, 400)
    >>> x, y = augment(volumes, masks)
    >>> x.shape, y.shape
    (torch.Size([2, 1, 8, 256, 256]), torch.Size([2, 1, 8, 256, 256]))
    """

    _fixed: ClassVar[dict[str, Any]] = {"frames": True}


@shows_settings
class RandomThumbnail3D(RandomSAS3D, RandomThumbnail):
    """Step 1 alone, of volumes and videos; see :class:`RandomThumbnail`, :class:`RandomSAS3D`."""


@shows_settings
class RandomMaskedNoise3D(RandomSAS3D, RandomMaskedNoise):
    """Step 2 alone, of volumes and videos; see :class:`RandomMaskedNoise`, :class:`RandomSAS3D`."""


def _names(keys: list[Any]) -> list[str]:
    found = [DataKey.get(key) for key in keys]
    return ["input" if key == DataKey.INPUT else key.name.lower() for key in found]


def _matrices(plan: Plan, like: Tensor) -> Tensor:
    """Return [n 3 3], which moves points in kornia's coordinates: 0 is a pixel's centre."""
    matrices = np.tile(np.eye(3), (len(plan), 1, 1))
    matrices[:, 0, 0], matrices[:, 1, 1] = plan.scale[:, 1], plan.scale[:, 0]
    first = np.full((len(plan), 2), 0.5)  # the first pixel's centre
    matrices[:, :2, 2] = plan.transform_points(first, np.arange(len(plan))) - 0.5
    return torch.tensor(matrices, dtype=like.dtype, device=like.device)
