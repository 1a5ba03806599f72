"""One job: SAS on one sample, or one batch, of another library's pipeline."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .. import _core
from .._call import batch_pair, run
from .._checks import is_integer
from .._frontends import untraced
from .._threads import resolve_threads
from .._watch import Watch
from ..calls import apply
from ..plan import Plan
from ..settings import SAS
from ._planes import as_bits, as_type, follow, is_floating, partition, refuse_background, zeros


@dataclass(frozen=True)
class Recipe:
    """The settings and options of an adapter, applied to every sample.

    Attributes
    ----------
    settings : sasaug.SAS
        ``labels`` are those of a label map, or channels of a one-hot mask.
    value_range : (float, float) or "sample", optional
        As in :class:`sasaug.SAS`; "sample": the least and the greatest value of each float image.
    sample_seed : int, optional
        With it a sample's image depends on this seed and the sample's id, on nothing else.
        Without, seeds come from the host.
    one_hot : bool, optional
        True: channel 0 of a mask is the background. False: every channel is a structure. None: as
        False, but masks that look one-hot with a background are refused.
    signed : bool
        Mask values below 0 are not part of the ROI.
    """

    settings: SAS
    value_range: tuple[float, float] | str | None = None
    sample_seed: int | None = None
    one_hot: bool | None = None
    signed: bool = False
    watch: Watch = field(default_factory=Watch, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.sample_seed is not None:
            if not is_integer(self.sample_seed):
                raise TypeError(f"sample_seed must be an integer or None, got {self.sample_seed!r}")
            if not 0 <= self.sample_seed < 2**64:
                raise ValueError(f"sample_seed must be in [0, 2^64), got {self.sample_seed}")
        if self.one_hot not in (None, True, False):
            raise TypeError(f"one_hot must be True, False or None, got {self.one_hot!r}")
        if isinstance(self.value_range, str):
            if self.value_range != "sample":
                raise ValueError(
                    f'value_range must be (low, high), "sample" or None, got {self.value_range!r}'
                )
        elif self.value_range is not None:
            settings = replace(self.settings, value_range=self.value_range)
            object.__setattr__(self, "settings", settings)

    @functools.cached_property
    def unlabelled(self) -> SAS:
        """The settings for a mask that is the ROI itself."""
        return replace(self.settings, labels=None)

    @functools.cached_property
    def certain(self) -> Recipe:
        """The same recipe with p = 1."""
        return replace(self, settings=replace(self.settings, p=1.0))

    @property
    def needs_roi(self) -> bool:
        settings = self.settings
        return bool(settings.noise or settings.least_roi) or settings.apply_to != "all"

    def names(self, sample_id: Any) -> bool:
        """Return whether ids name the samples; raise if this one has none."""
        if self.sample_seed is None:
            return False
        if sample_id is None:
            raise ValueError(
                "sample_id must be given where sample_seed is: one integer of [0, 2^64) per "
                "augmentation of an image, such as epoch * len(dataset) + index; got None"
            )
        return True

    @untraced
    def draw(
        self, image: Any, planes: Any, seed: Callable[[], Any], sample_id: Any = None
    ) -> Sample:
        """Draw a plan and apply it to an image and the mask of its ROI.

        ``image`` is [c h w] of torch, or [h w] or [h w c] of numpy; ``planes`` [k h w] or None.
        Clips: [c t h w], [t h w] or [t h w c], and [t k h w]. ``seed`` gives the host's seed, or
        None for the array library's; it is not called where ids name the samples.
        """
        if self.names(sample_id):
            return self.draw_batch(image, planes, self.sample_seed, [int(sample_id)])
        return self.draw_batch(image, planes, seed(), None)

    @untraced
    def draw_batch(self, image: Any, planes: Any, seed: Any, ids: Any) -> Sample:
        """Do the same for a sample or a batch, [n c h w] of torch with planes [n k h w].

        Clips: [n c t h w] with planes [n t k h w].
        """
        if not self.settings.frames:
            _check_channels(image)
        mask, settings, whole = self.mask(image, planes)
        images, masks = _batched(image, mask, settings.frames)
        batches = batch_pair(images, masks, None, None, settings.frames)
        plan, inputs = settings._drawing(batches[1], seed, ids, None)
        plan.value_range = self.range_of(image)
        threads = resolve_threads(None)
        follows = whole and self.moves
        x, y = run(
            plan, *batches, (None, None), None, None, threads, inputs, follows,
            settings.check_values,
        )  # fmt: skip
        if images.ndim > image.ndim:
            x, y = x[0], y[0] if follows else None
        y = y if follows else None  # a ROI of several planes is not their values
        return Sample(self, plan, mask, image, x, planes, y)

    @untraced
    def replay(self, plan: Plan, image: Any, planes: Any) -> Sample:
        """Apply a plan that was drawn before to a sample."""
        mask, settings, _ = self.mask(image, planes)
        labels = None if settings.labels is None else tuple(settings.labels)
        plan = replace(plan, labels=labels)
        return Sample(self, plan, mask, None, None, None, None)

    @functools.cached_property
    def moves(self) -> bool:
        """Whether masks may change their place or size."""
        return self.settings.thumbnail is not None or self.settings.canvas is not None

    def mask(self, image: Any, planes: Any) -> tuple[Any, SAS, bool]:
        """Return the mask that the kernels read, and the settings for it.

        It is [h w], of a clip [t h w]; [n ...] of a batch. And whether it is the only plane, so
        that moving it moves the planes.
        """
        if planes is None or 0 in planes.shape[:-2]:
            return _nothing(image, self.settings.frames), self.unlabelled, False
        single = planes.shape[-3] == 1
        plane = as_bits(planes[..., 0, :, :])
        if not self.needs_roi:
            return plane, self.unlabelled, single
        roi = None
        if self.watch.open or not single or self.one_hot:
            roi = self._roi(planes)
            self._check(planes, roi)
        if single and not self.one_hot and self._readable(planes, plane):
            return plane, self.settings, True
        return self._roi(planes) if roi is None else roi, self.unlabelled, False

    def _readable(self, planes: Any, bits: Any) -> bool:
        """Return whether the kernels, which compare bits, find the ROI in the only plane."""
        if self.settings.labels is not None:
            return not is_floating(planes)
        if self.signed and bool((planes < 0).any()):
            return False
        # -0.0 has a bit set
        return not is_floating(planes) or not bool((bits == -(2 ** (8 * bits.itemsize - 1))).any())

    def _roi(self, planes: Any) -> Any:
        """Return where any of the planes [... k h w] holds one of the labels: bool [... h w]."""
        labels, channels = self.settings.labels, planes.shape[-3]
        if self.one_hot:
            if channels < 2:
                raise ValueError(
                    "mask must have a channel for the background and one for each structure where "
                    f"one_hot=True, got {channels} channel: a label map needs no one_hot"
                )
            chosen = range(1, channels) if labels is None else labels
            if not all(0 < label < channels for label in chosen):
                raise ValueError(
                    f"labels must be channels of the one-hot mask, 1 to {channels - 1}, "
                    f"got {list(chosen)}"
                )
            return (planes[..., list(chosen), :, :] != 0).any(-3)
        if labels is None:
            return (planes > 0 if self.signed else planes != 0).any(-3)
        return functools.reduce(operator.or_, (planes == label for label in labels)).any(-3)

    def _check(self, planes: Any, roi: Any) -> None:
        if self.one_hot is None and planes.shape[-3] > 1 and bool(roi.all()):
            refuse_background(planes)
        if self.watch.open and 0 not in roi.shape:
            count = len(roi) if roi.ndim > 2 + self.settings.frames else 1
            held = functools.partial(_values, planes, bool(self.one_hot))
            self.watch.see(roi, count, held, self.settings.labels)

    def range_of(self, image: Any) -> tuple[float, float] | None:
        """Return black and full scale of an image; None: those of its type."""
        if self.value_range != "sample":
            return self.settings.value_range
        if not is_floating(image) or 0 in image.shape:
            return None
        least, greatest = float(image.min()), float(image.max())
        return least, greatest if greatest > least else least + 1


@dataclass
class Sample:
    """A sample's plan and its outputs."""

    recipe: Recipe
    plan: Plan
    mask: Any  # that the kernels read
    source: Any
    x: Any  # of the source
    planes: Any
    y: Any  # of the planes, if there is one

    @untraced
    def image(self, image: Any) -> Any:
        """Apply the plan to the source, or to another image of the same sample."""
        if self.x is not None and _same(image, self.source):
            x, self.x = self.x, None  # given out once: another output shares no memory with it
            return x
        return self._applied(replace(self.plan, value_range=self.recipe.range_of(image)), image)

    def _applied(self, plan: Plan, image: Any) -> Any:
        images, masks = _batched(image, self.mask, plan.frames)
        check = self.recipe.settings.check_values
        x = apply(plan, images, masks, check_values=check)[0]
        return x[0] if images.ndim > image.ndim else x

    @untraced
    def without_noise(self, image: Any) -> Any:
        """Return an image of values in any range, moved but without noise."""
        quiet = replace(self.plan, samples=self.plan.samples.copy(), value_range=None)
        quiet.samples["noise"] = -1
        return self._applied(quiet, image)

    @untraced
    def masks(self, planes: Any) -> Any:
        """Move planes [... k h w] of any type by the plan."""
        source = _same(planes, self.planes)
        if source and self.y is not None:
            y, self.y = self.y, None
            return as_type(y, planes.dtype)[..., None, :, :]
        one_hot = self.recipe.one_hot
        if one_hot is None and not (source and self.recipe.needs_roi):  # or it is checked
            refuse_background(planes)
        one_hot = bool(one_hot) and (source or partition(planes))
        return follow(self.plan, planes, one_hot)


def _check_channels(image: Any) -> None:
    """Refuse what the kernels would, but without advice on ``channels``, which hosts have not."""
    last = isinstance(image, np.ndarray)
    if last and image.ndim == 2:
        return
    axes, channels, other = "h w c" if last else "c h w", -1 if last else -3, -3 if last else -1
    c, shape = image.shape[channels], tuple(image.shape)
    if not 1 <= c <= _core.MAX_CHANNELS:
        call = "np.moveaxis(a, 0, -1)" if last else "a.movedim(-1, -3)"
        fits = 1 <= shape[other] <= _core.MAX_CHANNELS
        raise ValueError(
            f"the image must have 1 to {_core.MAX_CHANNELS} channels, got {c} in shape {shape}, "
            f"read as [{axes}]" + (f"; {call} makes them the right axis" if fits else "")
        )


def _batched(image: Any, mask: Any, clips: bool) -> tuple[Any, Any]:
    """Return one image with channels and its mask as batches; others as they are."""
    one = (image.ndim, mask.ndim) == (3 + clips, 2 + clips)
    return (image[None], mask[None]) if one else (image, mask)


def _nothing(image: Any, clips: bool) -> Any:
    """Return an empty ROI for an image or a batch: bool [h w], of a clip [t h w]; or [n ...]."""
    axes = 2 + clips
    if isinstance(image, np.ndarray):
        return np.zeros(image.shape[:axes], bool)
    shape = image.shape[-axes:]
    return zeros(image, shape if image.ndim == 1 + axes else (len(image), *shape), "bool")


def _values(planes: Any, one_hot: bool) -> list[float]:
    """Return the values in label maps, or the channels of one-hot masks that are not empty."""
    if one_hot:
        return [c for c in range(planes.shape[-3]) if bool((planes[..., c, :, :] != 0).any())]
    if isinstance(planes, np.ndarray):
        return np.unique(planes).tolist()
    return planes.double().unique().tolist()


def _same(array: Any, source: Any) -> bool:
    """Return whether the array is the source, or another view of the same memory."""
    if array is source or source is None:
        return array is source
    return (array.shape, array.dtype) == (source.shape, source.dtype) and _place(array) == _place(
        source
    )


def _place(array: Any) -> tuple[int, Any]:
    if isinstance(array, np.ndarray):
        return _core.address(array), array.strides
    return array.data_ptr(), array.stride()
