"""One job: the public calls: check, plan, allocate, run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core
from .arguments import (
    check_canvas_area,
    check_choice,
    checked_canvas,
    checked_flag,
    checked_fraction,
    checked_ids,
    checked_image_type,
    checked_labels,
    checked_seed,
    checked_thumbnail,
    checked_windows,
    label_bits,
)
from .batch import (
    IMAGE_TYPES,
    MASK_TYPES,
    Stack,
    apart,
    canvas_shape,
    check_pair,
    checked_channels,
    output,
    overlap,
    sources,
    stack_images,
    stack_masks,
)
from .noise import NUMBERS, resolve
from .plan import OnDevice, Plan, empty_samples
from .threads import resolve_threads

#: How ``_core.run`` draws a plan: (settings, ids, windows, sides, strengths).
Drawing = tuple[Any, ...]

POSITIONS = {"center": 0, "random": 1, "top_left": 2}


@dataclass(frozen=True)
class SAS:
    """The SAS augmentation (arXiv 2503.05916, section 2.2) with its settings.

    Parameters
    ----------
    canvas : int or (int, int), optional
        Output size in pixels, (height, width); an int is both. Default: the input's own size.
    thumbnail : (float, float) or (int, int), optional
        Step 1: the range of the thumbnail's longer side. Two floats of (0, 1] are fractions of S,
        the longer side of the largest thumbnail that fits the canvas; two ints >= 1 are pixels,
        clipped to S. Ends included. None: no resizing.
    position : {"center", "random", "top_left"}
        Where the thumbnail lies on the canvas.
    noise : mapping, str or None
        Step 2: kind -> (low, high), the range of its strength; or a preset's name ("default",
        "scikit-image", "dali", "albumentations"). None or {}: no noise.
    p : float
        Probability in [0, 1] that a sample that is not small is transformed.
    small_fraction : float
        A sample is small when its ROI covers no more than this fraction of its image.
    apply_to : {"large", "all"}
        "large": small samples are never transformed.
    labels : sequence of int, optional
        Mask values that make the ROI, at most 16, not 0. Default: every value but 0.
    antialias : bool
        Widen the bilinear filter by the scale when shrinking, as Pillow does.
    per_channel : bool
        Draw noise for each channel; by default the channels of a pixel share one draw.
    salt_vs_pepper : float
        Share in [0, 1] of the pixels hit by salt-and-pepper noise that become full scale.
    channels : {"first", "last"}, optional
        Where the channel axis is. Default: the array library's habit ("last" for numpy).

    Raises
    ------
    ValueError, TypeError
        If a setting breaks its rule; the message names it, the rule and the value.

    Examples
    --------
    >>> import numpy, sasaug
    >>> images = numpy.full((2, 64, 64), 100, numpy.uint8)
    >>> masks = numpy.zeros((2, 64, 64), numpy.uint8)
    >>> masks[:, 16:48, 16:48] = 1
    >>> x, y = sasaug.SAS(p=1.0)(images, masks, seed=7)
    >>> x.shape, x.dtype, y.dtype
    ((2, 64, 64), dtype('uint8'), dtype('uint8'))
    """

    canvas: int | tuple[int, int] | None = None
    thumbnail: tuple[float, float] | None = (0.25, 1.0)
    position: str = "center"
    noise: Mapping[str, tuple[float, float]] | str | None = "default"
    p: float = 0.5
    small_fraction: float = 0.03
    apply_to: str = "large"
    labels: Sequence[int] | None = None
    antialias: bool = False
    per_channel: bool = False
    salt_vs_pepper: float = 0.5
    channels: str | None = None

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "canvas", None if self.canvas is None else checked_canvas(self.canvas))
        set_(self, "thumbnail", checked_thumbnail(self.thumbnail))
        check_choice("position", self.position, POSITIONS)
        set_(self, "noise", resolve(self.noise))
        set_(self, "p", checked_fraction("p", self.p))
        set_(self, "small_fraction", checked_fraction("small_fraction", self.small_fraction))
        check_choice("apply_to", self.apply_to, ("large", "all"))
        set_(self, "labels", checked_labels(self.labels))
        for name in ("antialias", "per_channel"):
            set_(self, name, checked_flag(name, getattr(self, name)))
        set_(self, "salt_vs_pepper", checked_fraction("salt_vs_pepper", self.salt_vs_pepper))
        checked_channels(self.channels)
        assert not isinstance(self.noise, str)
        kinds = tuple((NUMBERS[kind], *limits) for kind, limits in (self.noise or {}).items())
        settings = (
            self.small_fraction, self.p, self.apply_to == "all", self.thumbnail,
            POSITIONS[self.position], kinds,
        )  # fmt: skip
        set_(self, "_settings", settings)  # as csrc/bindings.cpp reads them

    def __hash__(self) -> int:
        return hash(self.to_json())

    def to_json(self) -> str:
        """The settings as one JSON object.

        Examples
        --------
        >>> import sasaug
        >>> settings = sasaug.SAS(canvas=256, noise="dali")
        >>> sasaug.SAS.from_json(settings.to_json()) == settings
        True
        """
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> SAS:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        ValueError
            If the text is no JSON, or names what is no setting, or a setting breaks its rule.
        """
        settings = json.loads(text)
        if not isinstance(settings, dict) or not settings.keys() <= {f.name for f in fields(cls)}:
            raise ValueError(
                f"text must be settings as SAS.to_json writes them, got {text[:200]!r}"
            )
        for name in ("canvas", "thumbnail", "labels"):
            if isinstance(settings.get(name), list):
                settings[name] = tuple(settings[name])
        return cls(**settings)

    def plan(
        self,
        masks: Any,
        *,
        seed: Any = None,
        ids: ArrayLike | None = None,
        windows: ArrayLike | None = None,
        num_threads: int | None = None,
    ) -> Plan:
        """Draw what will be done to each sample, and do nothing yet.

        Parameters
        ----------
        masks, seed, ids, windows, num_threads
            As in :meth:`__call__`.

        Returns
        -------
        Plan
            Of n samples, for :func:`apply`.

        Raises
        ------
        ValueError, TypeError
            The message names the argument, the rule and the value.

        Examples
        --------
        >>> import numpy, sasaug
        >>> plan = sasaug.SAS(p=1.0).plan(numpy.ones((3, 64, 64), bool), seed=7)
        >>> len(plan), plan.seed, plan.canvas
        (3, 7, (64, 64))
        """
        stack = stack_masks(masks, self.channels)
        threads = resolve_threads(num_threads)
        plan, drawing = self.drawing(stack, seed, ids, windows)
        types = (0, 0, MASK_TYPES[stack.dtype])
        launch(plan, None, stack, types, None, None, drawing, threads)
        return plan

    def __call__(
        self,
        images: Any,
        masks: Any,
        *,
        seed: Any = None,
        ids: ArrayLike | None = None,
        windows: ArrayLike | None = None,
        out: tuple[Any, Any] | None = None,
        dtype: Any = None,
        num_threads: int | None = None,
    ) -> tuple[Any, Any]:
        """Augment a batch of images and their masks.

        Parameters
        ----------
        images : array [h w], [n h w], [n h w c] or [n c h w]; or a list
            uint8 and uint16 of their full range, float16 and float32 of [0, 1]; 1 to 4 channels.
            A list of arrays [h w], [h w c] or [c h w] may be of different sizes (set ``canvas``).
        masks : array or list
            bool or any integer type, of the images' sizes; 0 is background.
        seed : int or generator, optional
            In [0, 2^64); or drawn from a ``numpy.random.Generator`` (``torch.Generator`` for
            tensors). Default: drawn from the operating system (torch's own generator for tensors);
            ``plan`` tells which.
        ids : int or array [n], optional
            Sample ids in [0, 2^64), such as ``epoch * len(dataset) + index``. Default: 0..n-1.
        windows : array [4] or [n 4] of int, optional
            Ultrasound window (x, y, width, height) in pixels of each image. Default: all of it.
        out : pair of arrays, optional
            Filled and returned, instead of new arrays.
        dtype : optional
            Image type of the output; values are scaled from the one's range to the other's.
        num_threads : int, optional
            Threads at most; default: :func:`sasaug.get_num_threads`.

        Returns
        -------
        images, masks : array [h w], [n h w], [n h w c] or [n c h w], on the canvas
            New arrays of the same library and types.

        Raises
        ------
        ValueError, TypeError
            Before anything is written; the message names the argument, the rule and the value.

        Examples
        --------
        >>> import numpy, sasaug
        >>> images = [numpy.full((48, 64), 100, numpy.uint8), numpy.full((80, 60), 9, numpy.uint8)]
        >>> masks = [image > 0 for image in images]
        >>> x, y = sasaug.SAS(canvas=32)(images, masks, seed=7, ids=[5, 6])
        >>> x.shape, y.dtype
        ((2, 32, 32), dtype('bool'))
        """
        threads = resolve_threads(num_threads)
        if out is not None:
            images, masks = apart_from(out, images, masks)
        image_stack, mask_stack = pair(images, masks, self.channels)
        plan, drawing = self.drawing(mask_stack, seed, ids, windows)
        return run(
            plan, image_stack, mask_stack, out_pair(out), dtype, self.channels, threads, drawing
        )

    def drawing(
        self,
        masks: Stack,
        seed: Any,
        ids: Any,
        windows: Any,
        sides: NDArray[np.int32] | int | None = None,
        strengths: NDArray[np.float32] | int | None = None,
    ) -> tuple[Plan, Drawing]:
        """A plan for masks that are checked, its samples not set, and how ``_core`` draws them.

        ``sides`` [n] are the thumbnails' longer sides and ``strengths`` [n] those of the noise, if
        they are not to be drawn.
        """
        canvas = self.canvas or masks.common_size()
        if canvas is None:
            raise ValueError(
                "canvas must be given for a list of images of different sizes, got None"
            )
        assert isinstance(canvas, tuple)
        check_canvas_area(canvas)
        how = (
            self._settings,  # type: ignore[attr-defined]
            checked_ids(ids, masks),
            checked_windows(windows, masks),
            sides,
            strengths,
        )
        plan = Plan(
            samples=empty_samples(masks, canvas),  # type: ignore[arg-type]
            seed=checked_seed(seed, masks.frontend),
            canvas=canvas,
            antialias=self.antialias,
            per_channel=self.per_channel,
            salt_vs_pepper=self.salt_vs_pepper,
            labels=self.labels if self.labels is None else tuple(self.labels),
        )
        return plan, how


def sas(
    images: Any,
    masks: Any,
    *,
    seed: Any = None,
    ids: ArrayLike | None = None,
    windows: ArrayLike | None = None,
    out: tuple[Any, Any] | None = None,
    dtype: Any = None,
    num_threads: int | None = None,
    **settings: Any,
) -> tuple[Any, Any]:
    """Augment a batch with SAS in one call: ``SAS(**settings)(images, masks, ...)``.

    See :class:`SAS` for the settings and :meth:`SAS.__call__` for the other arguments, their shapes
    and types, and what is returned.

    Raises
    ------
    ValueError, TypeError
        Before anything is written; the message names the argument, the rule and the value.

    Examples
    --------
    >>> import numpy, sasaug
    >>> images = numpy.full((2, 64, 64), 100, numpy.uint8)
    >>> masks = numpy.ones((2, 64, 64), bool)
    >>> x, y = sasaug.sas(images, masks, seed=7, p=1.0, position="top_left")
    >>> bool(x[0, 0, 0] > 0), x.shape
    (True, (2, 64, 64))
    """
    return SAS(**settings)(
        images,
        masks,
        seed=seed,
        ids=ids,
        windows=windows,
        out=out,
        dtype=dtype,
        num_threads=num_threads,
    )


def apply(
    plan: Plan,
    images: Any,
    masks: Any,
    *,
    out: tuple[Any, Any] | None = None,
    dtype: Any = None,
    channels: str | None = None,
    num_threads: int | None = None,
) -> tuple[Any, Any]:
    """Do to a batch what the plan says.

    The same plan on the same input gives the same bytes, today and on any machine.

    Parameters
    ----------
    plan : Plan
        Of as many samples as there are images; it may have been edited.
    images, masks, out, dtype, num_threads
        As in :meth:`SAS.__call__`.
    channels : {"first", "last"}, optional
        Where the channel axis is. Default: the array library's habit ("last" for numpy).

    Returns
    -------
    images, masks : array [h w], [n h w], [n h w c] or [n c h w], on the plan's canvas

    Raises
    ------
    ValueError, TypeError
        Before anything is written; the message names the argument, the rule and the value.

    Examples
    --------
    >>> import numpy, sasaug
    >>> images = numpy.full((2, 64, 64), 100, numpy.uint8)
    >>> masks = numpy.ones((2, 64, 64), bool)
    >>> plan = sasaug.SAS(p=1.0).plan(masks, seed=7)
    >>> x, y = sasaug.apply(plan, images, masks)
    >>> x2, y2 = sasaug.apply(sasaug.Plan.from_json(plan.to_json()), images, masks)
    >>> bool((x == x2).all())
    True
    """
    if not isinstance(plan, Plan):
        raise TypeError(f"plan must be a sasaug.Plan, got {type(plan).__name__}")
    threads = resolve_threads(num_threads)
    if out is not None:
        images, masks = apart_from(out, images, masks)
    image_stack, mask_stack = pair(images, masks, channels)
    if len(plan) != mask_stack.n:
        raise ValueError(
            f"plan must be of as many samples as images, {mask_stack.n}, got {len(plan)}"
        )
    checked_canvas(plan.canvas)
    check_canvas_area(plan.canvas)
    checked_seed(plan.seed)
    checked_fraction("plan.salt_vs_pepper", plan.salt_vs_pepper)
    checked_labels(plan.labels)
    plan.check(mask_stack)
    return run(plan, image_stack, mask_stack, out_pair(out), dtype, channels, threads)


def pair(images: Any, masks: Any, channels: str | None) -> tuple[Stack, Stack]:
    image_stack, mask_stack = stack_images(images, channels), stack_masks(masks, channels)
    check_pair(image_stack, mask_stack)
    return image_stack, mask_stack


def run(
    plan: Plan,
    images: Stack,
    masks: Stack,
    out: tuple[Any, Any],
    dtype: Any,
    channels: str | None,
    threads: int,
    drawing: Drawing | None = None,
    write_masks: bool = True,
) -> tuple[Any, Any]:
    """Allocate, and hand a checked plan (or its drawing) and a checked batch to the kernels."""
    to = images.dtype if dtype is None else checked_image_type(dtype)
    shape = canvas_shape(images, plan.canvas, channels)
    mask_shape = canvas_shape(masks, plan.canvas, channels)
    x = output(out[0], "out[0]" if write_masks else "out", images, shape, to, channels)
    y = output(out[1], "out[1]", masks, mask_shape, masks.dtype, channels) if write_masks else None
    if y is not None and out[0] is not None and overlap(x.frontend, x.arrays[0], y.arrays[0]):
        raise ValueError("out must be two arrays that share no memory, got overlapping ones")
    types = (IMAGE_TYPES[images.dtype], IMAGE_TYPES[to], MASK_TYPES[masks.dtype])
    launch(plan, images, masks, types, x, y, drawing, threads)
    return x.arrays[0], None if y is None else y.arrays[0]


def launch(
    plan: Plan,
    images: Stack | None,
    masks: Stack,
    types: tuple[int, int, int],
    x: Stack | None,
    y: Stack | None,
    drawing: Drawing | None,
    threads: int,
) -> None:
    """Call the kernels on what is checked: on the CPU, or on the GPU's current stream."""
    if drawing is None and x is not None and 0 in x.arrays[0].shape:
        return  # nothing to do; and torch puts an array of nothing at address 0, which is no array
    labels = label_bits(plan.labels, masks.dtype)
    items, step = sources(images, masks)
    device = masks.device
    arguments = (
        masks.n,
        (*plan.canvas, 1 if images is None else images.c),
        types,
        items,
        step,
        None if x is None else (x.frontend.address(x.arrays[0]), (x.step, *x.strides[0])),
        None if y is None else (y.frontend.address(y.arrays[0]), (y.step, *y.strides[0][:2])),
        plan.stored.address() if isinstance(plan.stored, OnDevice) else plan.stored,
        plan.seed,
        (plan.antialias, plan.per_channel, plan.salt_vs_pepper),
        labels,
        drawing,
    )
    if device is None:
        return _core.run(*arguments, threads)
    # choosing a device by CUDA itself would leave a context behind on the one chosen before
    with masks.frontend.current(device):
        _core.run(*arguments, (device, masks.frontend.stream(device)))


def apart_from(out: tuple[Any, Any], images: Any, masks: Any) -> tuple[Any, Any]:
    outputs = out_pair(out)
    return apart(images, "images", outputs), apart(masks, "masks", outputs)


def out_pair(out: Any) -> tuple[Any, Any]:
    if out is None:
        return None, None
    if not isinstance(out, (tuple, list)) or len(out) != 2:
        raise TypeError(f"out must be a pair of arrays (images, masks), got {type(out).__name__}")
    return out[0], out[1]
