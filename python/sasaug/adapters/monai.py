"""One job: SAS as transforms of MONAI, for arrays and for dictionaries.

Images are [c h w] with 1 to 4 channels, masks [k h w]: one channel of labels, or one-hot. As
MONAI's own transforms, these return tensors, ``MetaTensor`` where metadata is tracked.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, ClassVar

import torch
from monai.config import KeysCollection
from monai.data.meta_obj import get_track_meta
from monai.data.meta_tensor import MetaTensor
from monai.transforms.inverse import InvertibleTransform
from monai.transforms.transform import MapTransform, RandomizableTransform
from monai.utils import convert_to_tensor, ensure_tuple
from monai.utils.enums import TraceKeys, TransformBackends

from ..calls import apply
from ..plan import Plan
from .sample import Recipe, follow, geometry, step_settings, undone

__all__ = [
    "RandMaskedNoise",
    "RandMaskedNoised",
    "RandSAS",
    "RandSASd",
    "RandThumbnail",
    "RandThumbnaild",
]

BILINEAR, NEAREST = "bilinear", "nearest-exact"  # MONAI's names; Invertd exchanges them


class RandSAS(RandomizableTransform, InvertibleTransform):
    """The SAS augmentation (:class:`sasaug.SAS`) of an image and its mask.

    Samples that are not transformed still become thumbnails of full size on the canvas, so that
    the output has one size. The affine of a ``MetaTensor`` follows, and :meth:`inverse` takes
    images, masks and predictions back to the source's size; noise stays.

    Parameters
    ----------
    prob : float
        Probability in [0, 1] that a sample that is not small is transformed: the setting ``p``.
    value_range : (float, float) or "sample", optional
        What black and full scale are in float images; "sample": each image's least and greatest
        value. Default: (0, 1). uint8 and uint16 images have their type's range.
    sample_seed : int, optional
        With it the call needs a ``sample_id``, and the picture depends on the two alone. Without,
        seeds come from the state that ``set_random_state`` sets.
    settings
        Those of :class:`sasaug.SAS`: ``canvas``, ``thumbnail``, ``noise``, ``labels``, ...

    Raises
    ------
    ValueError, TypeError
        If a setting breaks its rule; when called, if the image is not [c h w] or floats are out of
        range.

    Examples
    --------
    >>> import torch
    >>> from sasaug.adapters.monai import RandSAS
    >>> augment = RandSAS(canvas=256).set_random_state(seed=7)
    >>> image, mask = torch.rand(1, 300, 400), torch.ones(1, 300, 400)
    >>> x, y = augment(image, mask)
    >>> x.shape, y.shape
    (torch.Size([1, 256, 256]), torch.Size([1, 256, 256]))
    """

    backend: ClassVar[list[TransformBackends]] = [TransformBackends.TORCH]
    _step = "sas"

    def __init__(
        self,
        prob: float = 0.5,
        *,
        value_range: tuple[float, float] | str | None = None,
        sample_seed: int | None = None,
        **settings: Any,
    ) -> None:
        if "p" in settings:
            raise TypeError(f"the probability is called prob in MONAI, got p={settings['p']!r}")
        how = step_settings(self._step, {**settings, "p": prob})
        RandomizableTransform.__init__(self, how.p)
        self._recipe = Recipe(how, value_range, sample_seed)
        self._seed = 0

    @property
    def settings(self) -> Any:
        """The :class:`sasaug.SAS` that it applies."""
        return self._recipe.settings

    def randomize(self, data: Any = None) -> None:
        """Draw the seed of the next sample."""
        self._seed = int.from_bytes(self.R.bytes(8), "little")

    def draw(
        self, img: Any, mask: Any, sample_id: int | None, randomize: bool = True
    ) -> tuple[Plan, torch.Tensor]:
        """The plan for a sample, and its ROI."""
        if randomize and self._recipe.sample_seed is None:
            self.randomize()
        if mask is not None:
            roi = self._recipe.roi(_plain(mask, "mask"))
        elif self._step == "thumbnail":
            image = _plain(img, "img")
            roi = torch.zeros(image.shape[1:], dtype=torch.bool, device=image.device)
        else:
            raise ValueError("mask must be given, it holds the ROI; got None")
        return self._recipe.plan(roi, lambda: self._seed, sample_id), roi

    def image(self, img: Any, plan: Plan, roi: torch.Tensor) -> Any:
        x = self._recipe.image(plan, _plain(img, "img"), roi)
        return self._moved(img, x, plan, BILINEAR)

    def mask(self, mask: Any, plan: Plan) -> Any:
        return self._moved(mask, follow(plan, _plain(mask, "mask")), plan, NEAREST)

    def _moved(self, source: Any, result: torch.Tensor, plan: Plan, mode: str) -> Any:
        out = _like(source, result)
        if isinstance(out, MetaTensor):
            self.push_transform(
                out,
                sp_size=plan.canvas,
                affine=_affine(plan),
                extra_info={"plan": plan.to_json(), "mode": mode},
                orig_size=tuple(source.shape[1:]),
            )
        return out

    def __call__(
        self,
        img: Any,
        mask: Any = None,
        sample_id: int | None = None,
        randomize: bool = True,
    ) -> Any:
        """Augment an image [c h w] and its mask [k h w]; the pair of them, or the image alone."""
        plan, roi = self.draw(img, mask, sample_id, randomize)
        x = self.image(img, plan, roi)
        return x if mask is None else (x, self.mask(mask, plan))

    def inverse(self, data: Any) -> Any:
        """Take an image, mask or prediction [c h w] back to its source's place and size."""
        done = self.pop_transform(data)
        plan = Plan.from_json(done[TraceKeys.EXTRA_INFO]["plan"])
        height, width = (int(side) for side in done[TraceKeys.ORIG_SIZE])
        back = undone(plan, (height, width))
        planes = _plain(data, "data")
        if done[TraceKeys.EXTRA_INFO]["mode"] == BILINEAR:
            nothing = torch.zeros(planes.shape, dtype=torch.bool, device=planes.device)
            result = apply(back[[0] * len(planes)], planes, nothing)[0]
        else:
            result = follow(back, planes)
        out = _like(data, result)
        with self.trace_transform(False):
            self.push_transform(out, affine=torch.linalg.inv(_affine(plan)))
        return out


class RandThumbnail(RandSAS):
    """Step 1 alone: a thumbnail of random size on a black canvas; it needs no mask.

    Settings: ``canvas``, ``thumbnail`` (the range of its longer side), ``position`` and
    ``antialias``. See :class:`RandSAS` for the rest.
    """

    _step = "thumbnail"

    def __init__(self, prob: float = 1.0, **options: Any) -> None:
        super().__init__(prob, **options)


class RandMaskedNoise(RandSAS):
    """Step 2 alone: one of the kinds of noise, inside the mask only; returns the image.

    Settings: ``noise``, ``labels``, ``per_channel`` and ``salt_vs_pepper``. See :class:`RandSAS`
    for the rest. Noise has no inverse: an inverse passes it by.
    """

    _step = "noise"

    def __init__(self, prob: float = 1.0, **options: Any) -> None:
        super().__init__(prob, **options)

    def __call__(
        self, img: Any, mask: Any = None, sample_id: int | None = None, randomize: bool = True
    ) -> Any:
        """Add noise to an image [c h w] inside its mask [k h w]."""
        plan, roi = self.draw(img, mask, sample_id, randomize)
        return self.image(img, plan, roi)

    def _moved(self, source: Any, result: torch.Tensor, plan: Plan, mode: str) -> Any:
        return _like(source, result)

    def inverse(self, data: Any) -> Any:
        """The data themselves."""
        return data


class RandSASd(RandomizableTransform, MapTransform, InvertibleTransform):
    """Dictionary version of :class:`RandSAS`.

    Parameters
    ----------
    keys : str or sequence of str
        The images; all of them, such as views of one frame, get the same thumbnail and noise.
    mask_key : str or sequence of str, optional
        The masks, which follow the thumbnail; the first of them holds the ROI.
    id_key : str
        Where the sample id is, with ``sample_seed``.
    allow_missing_keys : bool
        Pass over images that a sample does not have.
    prob, options
        As in :class:`RandSAS`.

    Raises
    ------
    KeyError
        If a sample does not have an image or a mask.
    ValueError, TypeError
        As :class:`RandSAS`.

    Examples
    --------
    >>> import torch
    >>> from sasaug.adapters.monai import RandSASd
    >>> augment = RandSASd(keys="image", mask_key="label", canvas=256).set_random_state(seed=7)
    >>> sample = {"image": torch.rand(1, 300, 400), "label": torch.ones(1, 300, 400)}
    >>> {key: tuple(value.shape) for key, value in augment(sample).items()}
    {'image': (1, 256, 256), 'label': (1, 256, 256)}
    """

    backend: ClassVar[list[TransformBackends]] = RandSAS.backend
    _array: type[RandSAS] = RandSAS

    def __init__(
        self,
        keys: KeysCollection,
        mask_key: KeysCollection | None = None,
        prob: float | None = None,
        *,
        id_key: Hashable = "sample_id",
        allow_missing_keys: bool = False,
        **options: Any,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.rand_sas = self._array(**options) if prob is None else self._array(prob, **options)
        RandomizableTransform.__init__(self, self.rand_sas.prob)
        self.mask_keys = () if mask_key is None else ensure_tuple(mask_key)
        self.id_key = id_key
        if not self.mask_keys and self._array is not RandThumbnail:
            raise ValueError("mask_key must name the mask that holds the ROI, got None")

    @property
    def settings(self) -> Any:
        """The :class:`sasaug.SAS` that it applies."""
        return self.rand_sas.settings

    def set_random_state(self, seed: int | None = None, state: Any = None) -> RandSASd:
        super().set_random_state(seed, state)
        self.rand_sas.set_random_state(seed, state)
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        images = list(self.key_iterator(d))
        for key in self.mask_keys:
            if key not in d:
                raise KeyError(f"mask_key must be in the sample, got {key!r} and {list(d)}")
        if not images:
            return d
        mask = d[self.mask_keys[0]] if self.mask_keys else None
        plan, roi = self.rand_sas.draw(d[images[0]], mask, d.get(self.id_key))
        for key in images:
            d[key] = self.rand_sas.image(d[key], plan, roi)
        for key in self.mask_keys:
            d[key] = self._mask(d[key], plan)
        return d

    def _mask(self, mask: Any, plan: Plan) -> Any:
        return self.rand_sas.mask(mask, plan)

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Take the sample's images and masks back to their source's place and size."""
        d = dict(data)
        masks = [key for key in self.mask_keys if key in d]
        for key in [*self.key_iterator(d), *masks]:
            d[key] = self.rand_sas.inverse(d[key])
        return d


class RandThumbnaild(RandSASd):
    """Dictionary version of :class:`RandThumbnail`; see :class:`RandSASd`."""

    _array = RandThumbnail


class RandMaskedNoised(RandSASd):
    """Dictionary version of :class:`RandMaskedNoise`, which leaves masks as they are.

    See :class:`RandSASd`.
    """

    _array = RandMaskedNoise

    def _mask(self, mask: Any, plan: Plan) -> Any:
        return mask


RandSASD = RandSASDict = RandSASd
RandThumbnailD = RandThumbnailDict = RandThumbnaild
RandMaskedNoiseD = RandMaskedNoiseDict = RandMaskedNoised


def _plain(array: Any, argument: str) -> torch.Tensor:
    tensor: torch.Tensor = convert_to_tensor(array, track_meta=False)
    if tensor.ndim != 3:
        raise ValueError(f"{argument} must be [c h w], got shape {tuple(tensor.shape)}")
    return tensor


def _like(source: Any, result: torch.Tensor) -> torch.Tensor:
    """The result with the source's metadata, where MONAI tracks any."""
    if not get_track_meta():
        return result
    out = MetaTensor(result)
    return out.copy_meta_from(source) if isinstance(source, MetaTensor) else out


def _affine(plan: Plan) -> torch.Tensor:
    """From indices (row, column, 1) of the canvas to those of the source."""
    sx, sy, dx, dy = geometry(plan)
    rows = [
        [1 / sy, 0, (0.5 - dy) / sy - 0.5],
        [0, 1 / sx, (0.5 - dx) / sx - 0.5],
        [0, 0, 1],
    ]
    return torch.tensor(rows, dtype=torch.float64)
