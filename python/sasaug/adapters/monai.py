"""One job: SAS as transforms of MONAI, for arrays and for dictionaries.

Images are [c h w] with 1 to 4 channels, masks [k h w]: one channel of labels, or one-hot. With
``frames=True`` they are volumes or clips, whose slices ``spatial_dim`` names. As MONAI's own
transforms, these return tensors, ``MetaTensor`` where metadata is tracked.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping
from typing import Any, ClassVar

import torch
from monai.config import KeysCollection
from monai.data.meta_obj import get_track_meta
from monai.data.meta_tensor import MetaTensor
from monai.transforms.inverse import InvertibleTransform
from monai.transforms.transform import MapTransform, RandomizableTransform
from monai.utils import ensure_tuple
from monai.utils.enums import TraceKeys, TransformBackends

from .._undo import undone
from ..plan import Plan
from ._monai_axes import Axes
from ._origin import Origin
from ._planes import follow
from ._sample import Recipe, Sample
from ._settings import changed, shows_settings, step_settings, written

__all__ = [
    "RandMaskedNoise",
    "RandMaskedNoised",
    "RandSAS",
    "RandSASd",
    "RandThumbnail",
    "RandThumbnaild",
]

MASK_KEYS = ("label", "labels", "mask", "masks", "seg", "segmentation")  # as masks are called
BILINEAR, NEAREST = "bilinear", "nearest-exact"  # MONAI's names; Invertd exchanges them


@shows_settings
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
        Black and full scale of the images, in their own unit; "sample": each float image's least
        and greatest value. Default: (0, 1) for floats, the type's range for integers.
    sample_seed : int, optional
        With it the call needs a ``sample_id``, and the output depends on the two alone. Without,
        seeds come from the state that ``set_random_state`` sets; a torch worker that has a copy
        of it adds its own seed.
    one_hot : bool, optional
        True: channel 0 of a mask with several channels is the background. It is not part of the
        ROI, and it is set around the thumbnail; ``labels`` are channels. False: all channels are
        structures. Default: as False, but a mask that looks one-hot with a background is refused.
    spatial_dim : {0, 1, 2}, optional
        With ``frames=True``: which spatial axis the slices of a volume, or the frames of a clip,
        lie along. 2: [c h w d], as ``LoadImaged`` gives NIfTI and DICOM volumes; 0: [c d h w].
        There is no default, because the array does not tell.
    settings
        Those of :class:`sasaug.SAS`: ``canvas``, ``thumbnail``, ``noise``, ``labels``, ...; with
        ``frames=True`` all slices of a volume get one thumbnail, in-plane.

    Raises
    ------
    ValueError, TypeError
        If a setting breaks its rule; when called, if the image is not [c h w], with
        ``frames=True`` not 3-D, or floats are out of range.

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
        prob: float | None = None,
        *,
        value_range: tuple[float, float] | str | None = None,
        sample_seed: int | None = None,
        one_hot: bool | None = None,
        spatial_dim: int | None = None,
        **settings: Any,
    ) -> None:
        if "p" in settings:
            raise TypeError(f"the probability is called prob in MONAI, got p={settings['p']!r}")
        given = settings if prob is None else {**settings, "p": prob}
        chosen = step_settings(self._step, given, "prob")
        RandomizableTransform.__init__(self, chosen.p)
        self._axes = Axes.checked(spatial_dim, chosen.frames)
        self._recipe = Recipe(chosen, value_range, sample_seed, one_hot)
        self._seed = 0
        self._origin = Origin()

    @property
    def settings(self) -> Any:
        """The :class:`sasaug.SAS` that it applies."""
        return self._recipe.settings

    def set_random_state(self, seed: int | None = None, state: Any = None) -> RandSAS:
        super().set_random_state(seed, state)
        self._origin = Origin()
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({written(self._arguments())})"

    def _arguments(self) -> dict[str, Any]:
        """Return the arguments that are not the default."""
        names = ("value_range", "sample_seed", "one_hot")
        options = {name: getattr(self._recipe, name) for name in names}
        arguments = changed(
            self._step, self.settings, **options, spatial_dim=self._axes.spatial_dim
        )
        return {"prob" if name == "p" else name: value for name, value in arguments.items()}

    def randomize(self, data: Any = None) -> None:
        """Draw the seed of the next sample."""
        self._seed = int.from_bytes(self.R.bytes(8), "little")

    def draw(self, img: Any, mask: Any, sample_id: int | None, randomize: bool = True) -> Sample:
        """Draw a plan for a sample, and apply it to the image and the mask."""
        if randomize and self._recipe.sample_seed is None:
            self.randomize()
        if mask is None and self._step != "thumbnail":
            raise ValueError("mask must be given, it holds the ROI; got None")
        planes = None if mask is None else self._axes.planes(mask, "mask")
        image = self._axes.image(img, "img")
        return self._recipe.draw(image, planes, lambda: self._origin.seed(self._seed), sample_id)

    def image(self, img: Any, sample: Sample) -> Any:
        x = self._axes.from_image(sample.image(self._axes.image(img, "img")))
        return self._moved(img, x, sample.plan, BILINEAR)

    def mask(self, mask: Any, sample: Sample) -> Any:
        y = self._axes.from_planes(sample.masks(self._axes.planes(mask, "mask")))
        return self._moved(mask, y, sample.plan, NEAREST)

    def _moved(self, source: Any, result: torch.Tensor, plan: Plan, mode: str) -> Any:
        out = _like(source, result)
        if isinstance(out, MetaTensor):
            self.push_transform(
                out,
                sp_size=tuple(result.shape[1:]),
                affine=self._axes.affine(plan),
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
        """Augment an image [c h w] and its mask [k h w]; return both, or the image alone.

        With ``frames=True`` both have one axis more, the slices' at ``spatial_dim``.
        """
        sample = self.draw(img, mask, sample_id, randomize)
        x = self.image(img, sample)
        return x if mask is None else (x, self.mask(mask, sample))

    def inverse(self, data: Any) -> Any:
        """Take an image, mask or prediction back to its source's place and size."""
        done = self.pop_transform(data)
        plan = Plan.from_json(done[TraceKeys.EXTRA_INFO]["plan"])
        size = self._axes.in_plane(done[TraceKeys.ORIG_SIZE])
        if done[TraceKeys.EXTRA_INFO]["mode"] == BILINEAR:
            x = plan.undo(self._axes.image(data, "data"), sizes=size)[0]
            result = self._axes.from_image(x)
        else:
            y = follow(undone(plan, size), self._axes.planes(data, "data"))
            result = self._axes.from_planes(y)
        out = _like(data, result)
        with self.trace_transform(False):
            self.push_transform(out, affine=torch.linalg.inv(self._axes.affine(plan)))
        return out


@shows_settings
class RandThumbnail(RandSAS):
    """Step 1 alone: a thumbnail of random size on a black canvas; it needs no mask.

    Settings: ``canvas``, ``thumbnail`` (the range of its longer side), ``position``, ``antialias``
    and ``frames``. See :class:`RandSAS` for the rest.
    """

    _step = "thumbnail"


@shows_settings
class RandMaskedNoise(RandSAS):
    """Step 2 alone: one of the kinds of noise, inside the mask only; returns the image.

    Settings: ``noise``, ``labels``, ``per_channel``, ``salt_vs_pepper`` and ``frames``. See
    :class:`RandSAS` for the rest. Noise is not invertible: ``inverse`` returns the data unchanged.
    """

    _step = "noise"

    def __call__(
        self, img: Any, mask: Any = None, sample_id: int | None = None, randomize: bool = True
    ) -> Any:
        """Add noise to an image [c h w] inside its mask [k h w]."""
        return self.image(img, self.draw(img, mask, sample_id, randomize))

    def _moved(self, source: Any, result: torch.Tensor, plan: Plan, mode: str) -> Any:
        return _like(source, result)

    def inverse(self, data: Any) -> Any:
        """Return the data unchanged."""
        return data


@shows_settings
class RandSASd(RandomizableTransform, MapTransform, InvertibleTransform):
    """Dictionary version of :class:`RandSAS`.

    Parameters
    ----------
    keys : str or sequence of str
        The images; all of them, such as views of one frame, get the same thumbnail and noise.
        Masks may be named here too, as MONAI's transforms have it.
    mask_key : str or sequence of str, optional
        The masks, which follow the thumbnail; the first of them holds the ROI.
    id_key : str
        Where the sample id is, with ``sample_seed``.
    allow_missing_keys : bool
        Pass over images that a sample does not have.
    prob, value_range, sample_seed, one_hot, spatial_dim, settings
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
    _step = "sas"

    def __init__(
        self,
        keys: KeysCollection,
        mask_key: KeysCollection | None = None,
        prob: float | None = None,
        *,
        id_key: Hashable = "sample_id",
        allow_missing_keys: bool = False,
        value_range: tuple[float, float] | str | None = None,
        sample_seed: int | None = None,
        one_hot: bool | None = None,
        spatial_dim: int | None = None,
        **settings: Any,
    ) -> None:
        self.mask_keys = () if mask_key is None else tuple(dict.fromkeys(ensure_tuple(mask_key)))
        every = tuple(dict.fromkeys(ensure_tuple(keys)))
        images = tuple(key for key in every if key not in self.mask_keys)
        if every and not images:
            raise ValueError(
                f"keys must name an image besides the masks, as in keys=['image', 'label'], "
                f"mask_key='label'; got keys {list(every)} and mask_key {list(self.mask_keys)}"
            )
        MapTransform.__init__(self, images, allow_missing_keys)
        self.rand_sas = self._array(
            prob, value_range=value_range, sample_seed=sample_seed, one_hot=one_hot,
            spatial_dim=spatial_dim, **settings,
        )  # fmt: skip
        RandomizableTransform.__init__(self, self.rand_sas.prob)
        self.id_key = id_key
        if not self.mask_keys and self._step != "thumbnail":
            raise ValueError("mask_key must name the mask that holds the ROI, got None")
        if mask_key is None and len(images) > 1:
            raise ValueError(
                "mask_key must tell masks from images where there are several keys: "
                f"mask_key={images[-1]!r}, or mask_key=() if all are images; got {list(images)}"
            )
        likely = next((key for key in images if key in MASK_KEYS), None)
        if likely is not None:
            warnings.warn(
                f"keys name {likely!r}, which becomes an image with noise. If it "
                f"is a mask, name it in mask_key too; got mask_key {list(self.mask_keys)}",
                stacklevel=2,
            )

    @property
    def settings(self) -> Any:
        """The :class:`sasaug.SAS` that it applies."""
        return self.rand_sas.settings

    def set_random_state(self, seed: int | None = None, state: Any = None) -> RandSASd:
        super().set_random_state(seed, state)
        self.rand_sas.set_random_state(seed, state)
        return self

    def __repr__(self) -> str:
        arguments = {"keys": self.keys, "mask_key": self.mask_keys, **self.rand_sas._arguments()}
        if self.id_key != "sample_id":
            arguments["id_key"] = self.id_key
        if self.allow_missing_keys:
            arguments["allow_missing_keys"] = True
        return f"{type(self).__name__}({written(arguments)})"

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        images = list(self.key_iterator(d))
        for key in self.mask_keys:
            if key not in d:
                raise KeyError(f"mask_key must be in the sample, got {key!r} and {list(d)}")
        if not images:
            return d
        mask = d[self.mask_keys[0]] if self.mask_keys else None
        sample = self.rand_sas.draw(d[images[0]], mask, d.get(self.id_key))
        for key in images:
            d[key] = self.rand_sas.image(d[key], sample)
        for key in self.mask_keys:
            d[key] = self._mask(d[key], sample)
        return d

    def _mask(self, mask: Any, sample: Sample) -> Any:
        return self.rand_sas.mask(mask, sample)

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Take the sample's images and masks back to their source's place and size."""
        d = dict(data)
        masks = [key for key in self.mask_keys if key in d]
        for key in [*self.key_iterator(d), *masks]:
            d[key] = self.rand_sas.inverse(d[key])
        return d


@shows_settings
class RandThumbnaild(RandSASd):
    """Dictionary version of :class:`RandThumbnail`; see :class:`RandSASd`."""

    _array = RandThumbnail
    _step = "thumbnail"


@shows_settings
class RandMaskedNoised(RandSASd):
    """Dictionary version of :class:`RandMaskedNoise`, which leaves masks as they are.

    See :class:`RandSASd`.
    """

    _array = RandMaskedNoise
    _step = "noise"

    def _mask(self, mask: Any, sample: Sample) -> Any:
        return mask


RandSASD = RandSASDict = RandSASd
RandThumbnailD = RandThumbnailDict = RandThumbnaild
RandMaskedNoiseD = RandMaskedNoiseDict = RandMaskedNoised


def _like(source: Any, result: torch.Tensor) -> torch.Tensor:
    """Return the result with the source's metadata, if MONAI tracks metadata."""
    if not get_track_meta():
        return result
    out = MetaTensor(result)
    return out.copy_meta_from(source) if isinstance(source, MetaTensor) else out
