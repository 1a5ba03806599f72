"""One job: SAS as transforms of albumentations 2.0.8, the release under the MIT licence.

Images are [h w] or [h w c], masks [h w] or [h w c], all of numpy; boxes and key points follow. With
``frames=True`` volumes and videos, [t h w] or [t h w c], take the place of images.
"""

from __future__ import annotations

from typing import Any

import albumentations as A
import numpy as np
from numpy.typing import NDArray

from ..plan import Plan
from ..settings import SAS as Settings
from ._origin import Origin
from ._sample import Recipe, Sample
from ._settings import changed, shows_settings, step_settings

__all__ = ["SAS", "MaskedNoise", "Thumbnail"]

#: By the setting ``frames``: targets that hold the image, or the clip; and those that must be none.
SOURCES = {False: ("image",), True: ("volume", "images")}
REFUSED = {
    False: ("images", "volume", "volumes", "mask3d", "masks3d"),
    True: ("image", "mask", "volumes", "masks3d"),
}
MASKS = {"volume": "mask3d", "images": "masks"}  # of a clip
KINDS = {False: ("mask",), True: tuple(MASKS.values())}  # of the mask that holds the ROI
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
        kinds = KINDS[self.settings.frames]
        kind = additional_targets.get(self.mask_key, kinds[0])
        if kind not in kinds:
            raise ValueError(
                f"additional_targets must make {self.mask_key!r} a mask, since mask_key names it: "
                f"{{{self.mask_key!r}: {kinds[0]!r}}}, got {kind!r}"
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
        image, planes = data[self._source(data)], self._planes(data)
        sample = self._recipe_now.draw(image, planes, self._seed, data.get(self.id_key))
        text = sample.plan.to_json()
        self._ready[id(text)] = text, sample
        return {"plan": text}

    def apply_with_params(self, params: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        text = params["plan"]
        drawn, sample = self._ready.pop(id(text), (None, None))
        if sample is None or drawn is not text:  # a replay, of another sample perhaps
            plan = Plan.from_json(text)
            image = kwargs[self._source(kwargs)]
            sample = self._recipe.replay(plan, image, self._planes(kwargs))
        return super().apply_with_params({**params, "sample": sample}, *args, **kwargs)

    def _seed(self) -> int:
        return self._origin.seed(int(self.random_generator.integers(2**64, dtype=np.uint64)))

    def _source(self, data: dict[str, Any]) -> str:
        """Return the target that holds the image, or the clip."""
        frames = self.settings.frames
        wrong = [key for key in REFUSED[frames] if data.get(key) is not None]
        found = [key for key in SOURCES[frames] if data.get(key) is not None]
        if wrong or len(found) != 1:
            got = " and ".join(f"{key}=" for key in wrong or found) or "none"
            if frames:
                raise ValueError(
                    "the sample must be one clip, volume= with mask3d= or images= with masks=, "
                    f"where frames=True; got {got}"
                )
            clips = "; volumes and videos need frames=True" if wrong else ""
            raise ValueError(f"the sample must be one image, image=, got {got}{clips}")
        return found[0]

    def _planes(self, data: dict[str, Any]) -> NDArray[Any] | None:
        """Return the planes [k h w] of the mask that holds the ROI; of a clip's, [t k h w]."""
        frames, name = self.settings.frames, self.mask_key
        if frames and name == "mask":
            name = MASKS[self._source(data)]
        if (mask := data.get(name)) is not None:
            if self._recipe.moves and name not in self._key2func:
                raise ValueError(
                    f"mask_key must name a target, or the mask would not follow the image: "
                    f"Compose(..., additional_targets={{{name!r}: {KINDS[frames][0]!r}}})"
                )
            return _planes(mask, frames)
        if not frames and (masks := data.get("masks")) is not None:
            return _flat(masks) if len(masks) else np.zeros((0, *data["image"].shape[:2]), bool)
        if self._step == "thumbnail":
            return None
        wanted = f"{name}=" if frames else f"{name}= or masks="
        raise ValueError(f"the sample must hold a mask, {wanted}, got {sorted(data)}")

    def apply(self, img: NDArray[Any], sample: Sample, **params: Any) -> Any:
        return sample.image(img)

    @property
    def targets(self) -> dict[str, Any]:
        return {key: self.apply for key in SOURCES[self.settings.frames]}

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
    ``mask``, or else from all of ``masks``. With ``frames=True`` a sample is a ``volume`` with its
    ``mask3d``, or a video, ``images`` with ``masks``: all slices or frames get one thumbnail.

    Parameters
    ----------
    p : float
        Probability in [0, 1] that a sample that is not small is transformed; default 0.5. Inside
        ``OneOf`` it is the weight of the choice, and a chosen sample is transformed unless it is
        small. Inside ``SomeOf``, which chooses evenly, it stays the probability.
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
        If a setting breaks its rule; when called, if there is no mask, if there are volumes or
        ``images`` without ``frames=True``, or float images out of range.

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
        masks: dict[str, Any] = {"mask": self.apply_to_mask, "masks": self.apply_to_masks}
        if self.settings.frames:
            masks = dict.fromkeys(MASKS.values(), self.apply_to_mask)
        return {
            **super().targets,
            **masks,
            "bboxes": self.apply_to_bboxes,
            "keypoints": self.apply_to_keypoints,
        }

    def apply_to_mask(self, mask: NDArray[Any], sample: Sample, **params: Any) -> NDArray[Any]:
        frames = self.settings.frames
        moved = sample.masks(_planes(mask, frames))
        single = mask.ndim == 2 + frames
        return np.asarray(moved[..., 0, :, :] if single else np.moveaxis(moved, -3, -1))

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

    Settings: ``canvas``, ``thumbnail`` (the range of its longer side), ``position``,
    ``antialias``, ``frames`` and ``p`` (default 1). See :class:`SAS` for the rest.
    """

    _step = "thumbnail"


@shows_settings
class MaskedNoise(_Step, A.ImageOnlyTransform):
    """Step 2 alone: one of the kinds of noise, inside the mask only.

    Settings: ``noise``, ``labels``, ``per_channel``, ``salt_vs_pepper``, ``frames`` and ``p``
    (default 1). All but the image passes through. See :class:`SAS` for the rest.
    """

    _step = "noise"
    _targets = (A.core.type_definitions.Targets.IMAGE,)


def _planes(mask: Any, frames: bool) -> NDArray[Any]:
    """Return [h w] or [h w k] as planes [k h w]; of a clip, with t before."""
    mask = np.asarray(mask)
    return mask[..., None, :, :] if mask.ndim == 2 + frames else np.moveaxis(mask, -1, -3)


def _flat(masks: Any) -> NDArray[Any]:
    """Masks [n h w] or [n h w c], or a list of them, as planes."""
    masks = np.asarray(masks)
    return masks if masks.ndim == 3 else np.moveaxis(masks, -1, 1).reshape(-1, *masks.shape[1:3])
