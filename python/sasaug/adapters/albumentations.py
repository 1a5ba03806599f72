"""One job: SAS as transforms of albumentations 2.0.8, the release under the MIT licence.

Images are [h w] or [h w c], masks [h w] or [h w c], all of numpy; boxes and key points follow.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import albumentations as A
import numpy as np
from numpy.typing import NDArray

from ..plan import Plan
from ..settings import SAS as Settings
from .sample import Recipe, follow, geometry, step_settings

__all__ = ["SAS", "MaskedNoise", "Thumbnail"]

#: Targets of the host that no plan for one image is for.
REFUSED = ("images", "volume", "volumes", "mask3d", "masks3d")
SCALE = 4  # a key point's column: x, y, z, angle, scale


class _Step(A.BasicTransform):
    """What the transforms share: the settings, the ROI, the plan, and how they are written down."""

    _step = "sas"

    def __init__(
        self,
        p: float | None = None,
        *,
        value_range: tuple[float, float] | str | None = None,
        sample_seed: int | None = None,
        mask_key: str = "mask",
        id_key: str = "sample_id",
        **settings: Any,
    ) -> None:
        given = settings if p is None else {**settings, "p": p}
        if isinstance(value_range, list):  # as JSON keeps it
            value_range = (value_range[0], value_range[1])
        self._recipe = Recipe(step_settings(self._step, given), value_range, sample_seed)
        super().__init__(p=self._recipe.settings.p)
        self.mask_key, self.id_key = mask_key, id_key
        self._available_keys.add(id_key)
        self._recipe_now = self._recipe

    @property
    def settings(self) -> Settings:
        """The :class:`sasaug.SAS` that it applies."""
        return self._recipe.settings

    def should_apply(self, force_apply: bool = False) -> bool:
        """Always: who is transformed is in the plan; the others are fitted to the canvas.

        Inside ``OneOf`` and its like, which force what they choose, everyone is.
        """
        forced = replace(self._recipe, settings=replace(self.settings, p=1.0))
        self._recipe_now = forced if force_apply else self._recipe
        return True

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        """The plan as JSON, which ``ReplayCompose`` and ``save_applied_params`` keep."""
        refused = [key for key in REFUSED if data.get(key) is not None]
        if refused:
            raise ValueError(f"the sample must be one image, image=, got {refused[0]}=")
        plan = self._recipe_now.plan(
            self._roi(data), lambda: self.random_generator, data.get(self.id_key)
        )
        return {"plan": plan.to_json()}

    def apply_with_params(self, params: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        # a replay comes here too, with another sample's mask, perhaps
        plan = Plan.from_json(params["plan"])
        ready = {**params, "plan": plan, "roi": self._roi(kwargs)}
        return super().apply_with_params(ready, *args, **kwargs)

    def _roi(self, data: dict[str, Any]) -> NDArray[np.bool_]:
        if (mask := data.get(self.mask_key)) is not None:
            roi = self._recipe.roi(_planes(mask))
        elif (masks := data.get("masks")) is not None and len(masks):
            roi = self._recipe.roi(np.asarray(masks))
        elif self._step == "thumbnail":
            roi = np.zeros(data["image"].shape[:2], bool)
        else:
            raise ValueError(
                f"the sample must hold a mask, {self.mask_key}= or masks=, got {sorted(data)}"
            )
        return np.asarray(roi)

    def apply(self, img: NDArray[Any], plan: Plan, roi: Any, **params: Any) -> Any:
        return self._recipe.image(plan, img, roi)

    def get_transform_init_args(self) -> dict[str, Any]:
        """What is not the default, for ``to_dict`` and ``repr``."""
        default = type(self)()
        settings, usual = asdict(self.settings), asdict(default.settings)
        given = {name: value for name, value in settings.items() if value != usual[name]}
        given.pop("p", None)
        others = {"mask_key": self.mask_key, "id_key": self.id_key}
        others |= {name: getattr(self._recipe, name) for name in ("value_range", "sample_seed")}
        usual = {"mask_key": "mask", "id_key": "sample_id", "value_range": None}
        return given | {k: value for k, value in others.items() if value != usual.get(k)}


class SAS(_Step, A.DualTransform):
    """The SAS augmentation (:class:`sasaug.SAS`) in an ``albumentations.Compose``.

    Targets: image, mask, masks, bboxes, keypoints. Samples that are not transformed still become
    thumbnails of full size on the canvas, so that the output has one size. The ROI comes from
    ``mask``, or else from all of ``masks``.

    Parameters
    ----------
    p : float
        Probability in [0, 1] that a sample that is not small is transformed; default 0.5. Inside
        ``OneOf`` and ``SomeOf`` it is their weight, as the host has it.
    value_range : (float, float) or "sample", optional
        What black and full scale are in float32 images; "sample": each image's least and greatest
        value. Default: (0, 1). uint8 and uint16 images have their type's range.
    sample_seed : int, optional
        With it the sample must hold its id, and its picture depends on the two alone, for any
        number of workers. Without, seeds come from the generator that ``Compose(seed=)`` sets.
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

    def apply_to_mask(self, mask: NDArray[Any], plan: Plan, **params: Any) -> NDArray[Any]:
        moved = follow(plan, _planes(mask))
        return moved[0] if mask.ndim == 2 else np.moveaxis(moved, 0, -1)

    def apply_to_masks(self, masks: NDArray[Any], plan: Plan, **params: Any) -> NDArray[Any]:
        return np.asarray(follow(plan, masks))

    def apply_to_bboxes(self, bboxes: NDArray[Any], plan: Plan, **params: Any) -> NDArray[Any]:
        """Boxes [n 4+] as the host passes them, in fractions of the image."""
        sx, sy, dx, dy = geometry(plan)
        (height, width), (to_height, to_width) = params["shape"][:2], plan.canvas
        moved = bboxes.copy()
        moved[:, [0, 2]] = (bboxes[:, [0, 2]] * width * sx + dx) / to_width
        moved[:, [1, 3]] = (bboxes[:, [1, 3]] * height * sy + dy) / to_height
        return moved

    def apply_to_keypoints(
        self, keypoints: NDArray[Any], plan: Plan, **params: Any
    ) -> NDArray[Any]:
        """Key points [n 5+] as the host passes them: x, y, z, angle, scale."""
        sx, sy, dx, dy = geometry(plan)
        moved = keypoints.copy()
        moved[:, 0], moved[:, 1] = keypoints[:, 0] * sx + dx, keypoints[:, 1] * sy + dy
        moved[:, SCALE] = keypoints[:, SCALE] * max(sx, sy)
        return moved


class Thumbnail(SAS):
    """Step 1 alone: a thumbnail of random size on a black canvas; it needs no mask.

    Settings: ``canvas``, ``thumbnail`` (the range of its longer side), ``position``, ``antialias``
    and ``p`` (default 1). See :class:`SAS` for the rest.
    """

    _step = "thumbnail"


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
