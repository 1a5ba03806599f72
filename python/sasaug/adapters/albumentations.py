"""One job: SAS as transforms of albumentations 2.0.8, the release under the MIT licence.

Images are [h w] or [h w c], masks [h w] or [h w c], all of numpy; boxes and key points follow.
"""

from __future__ import annotations

from typing import Any

import albumentations as A
import numpy as np
from numpy.typing import NDArray

from ..plan import Plan
from ..settings import SAS as Settings
from ._sample import Recipe, Sample
from ._settings import changed, shows_settings, step_settings
from ._watch import Origin

__all__ = ["SAS", "MaskedNoise", "Thumbnail"]

#: Targets of the host that hold several images, or volumes.
REFUSED = ("images", "volume", "volumes", "mask3d", "masks3d")
SCALE = 4  # a key point's column: x, y, z, angle, scale


class _Step(A.BasicTransform):
    """Shared by the transforms: settings, ROI, plan and serialization."""

    _step = "sas"

    def __init__(
        self,
        p: float | None = None,
        *,
        value_range: tuple[float, float] | str | None = None,
        sample_seed: int | None = None,
        one_hot: bool | None = None,
        mask_key: str = "mask",
        id_key: str = "sample_id",
        **settings: Any,
    ) -> None:
        given = settings if p is None else {**settings, "p": p}
        if isinstance(value_range, list):  # as JSON keeps it
            value_range = (value_range[0], value_range[1])
        self._recipe = Recipe(step_settings(self._step, given), value_range, sample_seed, one_hot)
        self._recipe_now = self._recipe
        super().__init__(p=self._recipe.settings.p)
        self.mask_key, self.id_key = mask_key, id_key
        self._available_keys.add(id_key)
        self._ready: dict[int, tuple[str, Sample]] = {}  # of the calls under way, in any thread

    @property
    def settings(self) -> Settings:
        """The :class:`sasaug.SAS` that it applies."""
        return self._recipe.settings

    def set_random_seed(self, seed: int | None) -> None:
        super().set_random_seed(seed)
        self._origin = Origin()

    def set_random_state(self, random_generator: Any, py_random: Any) -> None:
        super().set_random_state(random_generator, py_random)
        self._origin = Origin()

    def add_targets(self, additional_targets: dict[str, str]) -> None:
        kind = additional_targets.get(self.mask_key, "mask")
        if kind != "mask":
            raise ValueError(
                f"additional_targets must make {self.mask_key!r} a mask, since mask_key names it: "
                f"{{{self.mask_key!r}: 'mask'}}, got {kind!r}"
            )
        super().add_targets(additional_targets)

    def should_apply(self, force_apply: bool = False) -> bool:
        """Return True: the plan says which samples are transformed; the others are resized.

        ``OneOf`` forces the transform that it chooses: then every sample that is not small is.
        """
        self._recipe_now = self._recipe.certain if force_apply else self._recipe
        return True

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        """Return the plan as JSON, which ``ReplayCompose`` and ``save_applied_params`` keep."""
        refused = [key for key in REFUSED if data.get(key) is not None]
        if refused:
            raise ValueError(f"the sample must be one image, image=, got {refused[0]}=")
        planes = self._planes(data)
        sample = self._recipe_now.draw(data["image"], planes, self._seed, data.get(self.id_key))
        text = sample.plan.to_json()
        self._ready[id(text)] = text, sample
        return {"plan": text}

    def apply_with_params(self, params: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        text = params["plan"]
        drawn, sample = self._ready.pop(id(text), (None, None))
        if sample is None or drawn is not text:  # a replay, of another sample perhaps
            plan = Plan.from_json(text)
            sample = self._recipe.replay(plan, kwargs["image"], self._planes(kwargs))
        return super().apply_with_params({**params, "sample": sample}, *args, **kwargs)

    def _seed(self) -> int:
        return self._origin.seed(int(self.random_generator.integers(2**64, dtype=np.uint64)))

    def _planes(self, data: dict[str, Any]) -> NDArray[Any] | None:
        """Return the planes [k h w] of the mask that holds the ROI."""
        if (mask := data.get(self.mask_key)) is not None:
            if self._recipe.moves and self.mask_key not in self._key2func:
                raise ValueError(
                    f"mask_key must name a target, or the mask would not follow the image: "
                    f"Compose(..., additional_targets={{{self.mask_key!r}: 'mask'}})"
                )
            return _planes(mask)
        if (masks := data.get("masks")) is not None:
            return _flat(masks) if len(masks) else np.zeros((0, *data["image"].shape[:2]), bool)
        if self._step == "thumbnail":
            return None
        raise ValueError(
            f"the sample must hold a mask, {self.mask_key}= or masks=, got {sorted(data)}"
        )

    def apply(self, img: NDArray[Any], sample: Sample, **params: Any) -> Any:
        return sample.image(img)

    def get_transform_init_args(self) -> dict[str, Any]:
        """Return the arguments that are not the default, for ``to_dict`` and ``repr``."""
        options = {
            name: getattr(self._recipe, name) for name in ("value_range", "sample_seed", "one_hot")
        }
        keys = {"mask_key": self.mask_key, "id_key": self.id_key}
        options |= {key: name for key, name in keys.items() if name not in ("mask", "sample_id")}
        arguments = changed(self._step, self.settings, **options)
        arguments.pop("p", None)  # the host tells it
        return arguments


@shows_settings
class SAS(_Step, A.DualTransform):
    """The SAS augmentation (:class:`sasaug.SAS`) in an ``albumentations.Compose``.

    Targets: image, mask, masks, bboxes, keypoints. Samples that are not transformed still become
    thumbnails of full size on the canvas, so that the output has one size. The ROI comes from
    ``mask``, or else from all of ``masks``.

    Parameters
    ----------
    p : float
        Probability in [0, 1] that a sample that is not small is transformed; default 0.5. Inside
        ``OneOf`` it is the weight of the choice, and a chosen sample is always transformed. Inside
        ``SomeOf``, which chooses evenly, it stays the probability.
    value_range : (float, float) or "sample", optional
        Black and full scale of the images, in their own unit; "sample": each float image's least
        and greatest value. Default: (0, 1) for floats, the type's range for integers.
    sample_seed : int, optional
        With it the sample must hold its id, and its output depends on the two alone, for any
        number of workers. Without, seeds come from the generator that ``Compose(seed=)`` sets; a
        torch worker, which has a copy of it, adds its own seed.
    one_hot : bool, optional
        True: channel 0 of a mask with several channels, or the first of ``masks``, is the
        background. It is not part of the ROI, and it is set around the thumbnail; ``labels`` are
        channels. False: all channels are structures. Default: as False, but a mask that looks
        one-hot with a background is refused.
    mask_key, id_key : str
        Where the mask of the ROI and the sample id are.
    settings
        Those of :class:`sasaug.SAS`: ``canvas``, ``thumbnail``, ``noise``, ``labels``, ...

    Raises
    ------
    ValueError, TypeError
        If a setting breaks its rule; when called, if there is no mask, if there are ``images``
        or volumes, or float images out of range.

    Examples
    --------
    >>> import albumentations as A, numpy as np
    >>> from sasaug.adapters.albumentations import SAS
    >>> pipeline = A.Compose([SAS(canvas=256), A.HorizontalFlip()], seed=7)
    >>> image, mask = np.full((300, 400), 99, np.uint8), np.ones((300, 400), np.uint8)
    >>> out = pipeline(image=image, mask=mask)
    >>> out["image"].shape, out["mask"].shape
    ((256, 256), (256, 256))
    """

    _targets = (A.core.type_definitions.Targets.IMAGE,)

    @property
    def targets(self) -> dict[str, Any]:
        return {
            "image": self.apply,
            "mask": self.apply_to_mask,
            "masks": self.apply_to_masks,
            "bboxes": self.apply_to_bboxes,
            "keypoints": self.apply_to_keypoints,
        }

    def apply_to_mask(self, mask: NDArray[Any], sample: Sample, **params: Any) -> NDArray[Any]:
        moved = sample.masks(_planes(mask))
        return np.asarray(moved[0] if mask.ndim == 2 else np.moveaxis(moved, 0, -1))

    def apply_to_masks(self, masks: Any, sample: Sample, **params: Any) -> NDArray[Any]:
        """Masks [n h w] or [n h w c], each a mask of its own."""
        masks = np.asarray(masks)
        moved = np.asarray(sample.masks(_flat(masks)))
        if masks.ndim == 3:
            return moved
        return np.moveaxis(moved.reshape(len(masks), masks.shape[-1], *moved.shape[1:]), 1, -1)

    def apply_to_bboxes(self, bboxes: NDArray[Any], sample: Sample, **params: Any) -> NDArray[Any]:
        """Boxes [n 4+] as the host passes them, in fractions of the image."""
        if not len(bboxes):
            return bboxes
        (height, width), (to_height, to_width) = params["shape"][:2], sample.plan.canvas
        moved = bboxes.copy()
        pixels = bboxes[:, :4] * (width, height, width, height)
        moved[:, :4] = sample.plan.transform_boxes(pixels)
        moved[:, :4] /= (to_width, to_height, to_width, to_height)
        return moved

    def apply_to_keypoints(
        self, keypoints: NDArray[Any], sample: Sample, **params: Any
    ) -> NDArray[Any]:
        """Key points [n 5+] as the host passes them: x, y, z, angle, scale."""
        if not len(keypoints):
            return keypoints
        moved = keypoints.copy()
        moved[:, :2] = sample.plan.transform_points(keypoints[:, :2])
        moved[:, SCALE] *= sample.plan.scale.max()
        return moved


@shows_settings
class Thumbnail(SAS):
    """Step 1 alone: a thumbnail of random size on a black canvas; it needs no mask.

    Settings: ``canvas``, ``thumbnail`` (the range of its longer side), ``position``, ``antialias``
    and ``p`` (default 1). See :class:`SAS` for the rest.
    """

    _step = "thumbnail"


@shows_settings
class MaskedNoise(_Step, A.ImageOnlyTransform):
    """Step 2 alone: one of the kinds of noise, inside the mask only.

    Settings: ``noise``, ``labels``, ``per_channel``, ``salt_vs_pepper`` and ``p`` (default 1). All
    but the image passes through. See :class:`SAS` for the rest.
    """

    _step = "noise"
    _targets = (A.core.type_definitions.Targets.IMAGE,)

    @property
    def targets(self) -> dict[str, Any]:
        return {"image": self.apply}


def _planes(mask: NDArray[Any]) -> NDArray[Any]:
    return mask[None] if mask.ndim == 2 else np.moveaxis(mask, -1, 0)


def _flat(masks: Any) -> NDArray[Any]:
    """Masks [n h w] or [n h w c], or a list of them, as planes."""
    masks = np.asarray(masks)
    return masks if masks.ndim == 3 else np.moveaxis(masks, -1, 1).reshape(-1, *masks.shape[1:3])
