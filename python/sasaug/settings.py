"""One job: the settings of SAS, each checked once, and the calls that they make possible."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core
from ._arrays import ArrayBatch, checked_channels, mask_batch
from ._call import PlanInputs, batch_pair, launch, out_pair, run
from ._checks import (
    check_canvas_area,
    check_choice,
    checked_canvas,
    checked_flag,
    checked_fraction,
    checked_ids,
    checked_integer,
    checked_labels,
    checked_seed,
    checked_thumbnail,
    checked_value_range,
    checked_windows,
)
from ._frontends import untraced
from ._records import Inputs, Settings
from ._threads import resolve_threads
from ._types import Images, Masks
from ._watch import Watch
from .noise import NUMBERS, resolve
from .plan import Plan, empty_samples


@dataclass(frozen=True)
class SAS:
    """The SAS augmentation (arXiv 2503.05916, section 2.2) with its settings.

    A small thumbnail of the image on a black canvas, then noise inside the mask.

    Parameters
    ----------
    canvas : int or (int, int), optional
        Output size in pixels: height and width, or one number for both. Default: the input's own
        size.
    thumbnail : (float, float) or (int, int), optional
        Step 1: the range of the thumbnail's longer side, ends included. Two floats of (0, 1] are
        fractions of S, the longer side of the largest thumbnail that fits the canvas; two ints >= 1
        are pixels, clipped to S: (1.0, 1.0) is the largest thumbnail, and (1, 1) one pixel. None:
        no resizing.
    position : {"center", "random", "top_left", "top_center"}
        Position of the thumbnail on the canvas. "top_center": as the same probe shows it at a
        larger depth.
    least_roi : int
        Step 1 draws only sizes at which the ROI, scaled with its image, keeps at least this many
        pixels. Where there are none the thumbnail has its full size. Default: 0, any size.
    noise : mapping, str or None
        Step 2: the name of a preset ("default", "scikit-image", "dali", "albumentations"); or
        kind -> (low, high), the range of its strength. None or {}: no noise.
    p : float
        Probability in [0, 1] that a sample that is not small is transformed.
    small_fraction : float
        A sample is small when its ROI covers no more than this fraction of its image.
    apply_to : {"large", "all"}
        "large": small samples are never transformed; "all": they are, with probability p.
    labels : sequence of int, optional
        Mask values that form the ROI (1 to 16 non-zero integers). Default: every value but 0.
    antialias : bool
        Widen the bilinear filter by the scale when shrinking, as Pillow does.
    per_channel : bool
        Draw noise for each channel. Default: the channels of a pixel share one draw.
    salt_vs_pepper : float
        Fraction in [0, 1] of the pixels hit by salt-and-pepper noise that become full scale.
    value_range : (float, float), optional
        Black and full scale in the images' own unit: (0, 255) for floats of 0..255, (0, 4095) for
        12-bit data in uint16, (-3, 3) for z-scores. The canvas is black, noise is relative to the
        range, and results are clipped to it. Default: (0, 1) for floats, the type's range for
        integers.
    check_values : bool, optional
        Refuse float images whose values, where noise is added, lie outside the value range by more
        than a quarter of it. Default: on the CPU only; on the GPU it waits for the device.
    channels : {"first", "last"}, optional
        Position of the channel axis. Default: the library's convention ("last" for numpy).
    frames : bool
        Each sample is a clip [t h w] (or [t h w c], [c t h w]) of video frames or slices, and has
        one id and one draw: the thumbnail, the kind and the strength of noise. Noise itself is
        drawn for each frame; "small" and least_roi go by the mean over the frames.

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
    least_roi: int = 0
    noise: Mapping[str, tuple[float, float]] | str | None = "default"
    p: float = 0.5
    small_fraction: float = 0.03
    apply_to: str = "large"
    labels: Sequence[int] | None = None
    antialias: bool = False
    per_channel: bool = False
    salt_vs_pepper: float = 0.5
    value_range: tuple[float, float] | None = None
    check_values: bool | None = None
    channels: str | None = None
    frames: bool = False

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "canvas", None if self.canvas is None else checked_canvas(self.canvas))
        set_(self, "thumbnail", checked_thumbnail(self.thumbnail))
        check_choice("position", self.position, _core.POSITIONS)
        set_(self, "least_roi", checked_integer("least_roi", self.least_roi, 2**31))
        set_(self, "noise", resolve(self.noise))
        set_(self, "p", checked_fraction("p", self.p))
        set_(self, "small_fraction", checked_fraction("small_fraction", self.small_fraction))
        check_choice("apply_to", self.apply_to, ("large", "all"))
        set_(self, "labels", checked_labels(self.labels))
        for name in ("antialias", "per_channel", "frames"):
            set_(self, name, checked_flag(name, getattr(self, name)))
        set_(self, "salt_vs_pepper", checked_fraction("salt_vs_pepper", self.salt_vs_pepper))
        set_(self, "value_range", checked_value_range(self.value_range))
        if self.check_values is not None:
            set_(self, "check_values", checked_flag("check_values", self.check_values))
        checked_channels(self.channels)
        set_(self, "_record", self._as_record())
        set_(self, "_watch", None if self.labels is None else Watch(whole=False))

    def _as_record(self) -> bytes:
        """The settings that plans are drawn by, as C++ reads them."""
        assert isinstance(self.noise, dict)
        record = Settings(
            small_fraction=self.small_fraction,
            p=self.p,
            apply_to_all=self.apply_to == "all",
            resize=self.thumbnail is not None,
            least_roi=self.least_roi,
            position=_core.POSITIONS[self.position],
            noise_count=len(self.noise),
        )
        if self.thumbnail is not None:
            record.side_low, record.side_high = self.thumbnail
            record.fractions = isinstance(self.thumbnail[0], float)
        for place, (kind, (low, high)) in enumerate(self.noise.items()):
            record.noises[place] = NUMBERS[kind]
            record.strength_low[place], record.strength_high[place] = low, high
        return bytes(Inputs(settings=record))

    def __reduce__(self) -> tuple[Any, ...]:
        return _with_settings, (type(self), {f.name: getattr(self, f.name) for f in fields(self)})

    def changed(self) -> dict[str, Any]:
        """Return the settings that differ from the defaults.

        Examples
        --------
        >>> import sasaug
        >>> sasaug.SAS(canvas=256, noise="default").changed()
        {'canvas': (256, 256)}
        """
        mine, default = asdict(self), asdict(SAS())
        return {name: value for name, value in mine.items() if value != default[name]}

    def __hash__(self) -> int:
        return hash(self.to_json())

    def to_json(self) -> str:
        """Return the settings as one JSON object.

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
            If the text is not valid JSON, names an unknown setting, or a setting is out of range.
        """
        settings = json.loads(text)
        if not isinstance(settings, dict) or not settings.keys() <= {f.name for f in fields(cls)}:
            raise ValueError(
                f"text must be settings as SAS.to_json writes them, got {text[:200]!r}"
            )
        return cls(**_without_lists(settings))

    @untraced
    def plan(
        self,
        masks: Any,
        *,
        seed: Any = None,
        ids: ArrayLike | None = None,
        windows: ArrayLike | None = None,
        num_threads: int | None = None,
    ) -> Plan:
        """Draw the plan: what will be done to each sample. No pixels are touched.

        Parameters
        ----------
        masks, seed, ids, windows, num_threads
            As in :meth:`__call__`.

        Returns
        -------
        Plan
            One row per sample, for :func:`sasaug.apply`.

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
        batch = mask_batch(masks, self.channels, clips=self.frames)
        threads = resolve_threads(num_threads)
        plan, inputs = self._drawing(batch, seed, ids, windows)
        launch(plan, None, batch, None, None, inputs, threads)
        return plan

    @untraced
    def __call__(
        self,
        images: Images | Sequence[Images],
        masks: Masks | Sequence[Masks],
        *,
        seed: Any = None,
        ids: ArrayLike | None = None,
        windows: ArrayLike | None = None,
        out: tuple[Images, Masks] | None = None,
        dtype: Any = None,
        num_threads: int | None = None,
    ) -> tuple[Images, Masks]:
        """Augment a batch of images and their masks.

        Parameters
        ----------
        images : array [h w], [n h w], [n h w c] or [n c h w]; or a list
            uint8, uint16, float16, float32 (torch: bfloat16), in ``value_range``; 1 to 4 channels.
            A list of arrays [h w], [h w c] or [c h w] may be of different sizes (set ``canvas``).
            With ``frames=True`` clips [t h w], [n t h w], [n t h w c] or [n c t h w], or a list.
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
            New arrays of the same library and types. Clips: [t h w] in the place of [h w]; a list
            of clips of different lengths gives lists.

        Raises
        ------
        ValueError, TypeError
            Before anything is written; the message names the argument, the rule and the value.

        Warns
        -----
        UserWarning
            On the CPU, once: if the first 8 masks or more hold labels, but none of ``labels``.

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
        x, y = batch_pair(images, masks, self.channels, out, self.frames)
        plan, inputs = self._drawing(y, seed, ids, windows)
        made = run(
            plan, x, y, out_pair(out), dtype, self.channels, threads, inputs,
            check_values=self.check_values,
        )  # fmt: skip
        if self.labels is not None:
            self._look(y)
        return made

    def _look(self, masks: ArrayBatch) -> None:
        """Warn once if the first masks hold labels, but none of those that are the ROI.

        On a GPU it would wait for the device.
        """
        watch: Watch = self._watch  # type: ignore[attr-defined]  # set by __post_init__
        if masks.device is None and watch.open:
            for array in masks.arrays:
                count = 1 if masks.ragged else masks.n
                watch.look(masks.frontend.to_numpy(array), count, self.labels)

    def _drawing(
        self,
        masks: ArrayBatch,
        seed: Any,
        ids: Any,
        windows: Any,
        sides: NDArray[np.int32] | int | None = None,
        strengths: NDArray[np.float32] | int | None = None,
    ) -> tuple[Plan, PlanInputs]:
        """A plan for checked masks, its samples still to be drawn, and the values they depend on.

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
        inputs = PlanInputs(
            self._record,  # type: ignore[attr-defined]  # set by __post_init__, not a setting
            checked_ids(ids, masks),
            checked_windows(windows, masks),
            sides,
            strengths,
        )
        plan = Plan(
            samples=empty_samples(masks, canvas),  # type: ignore[arg-type]  # or on the device
            seed=checked_seed(seed, masks.frontend),
            canvas=canvas,
            antialias=self.antialias,
            per_channel=self.per_channel,
            salt_vs_pepper=self.salt_vs_pepper,
            labels=None if self.labels is None else tuple(self.labels),
            value_range=self.value_range,
            frames=self.frames,
        )
        return plan, inputs


def _with_settings(kind: type[SAS], settings: dict[str, Any]) -> SAS:
    return kind(**settings)


def _without_lists(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with tuples, which files of JSON and TOML do not have."""
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()
    }


def _descriptions() -> dict[str, tuple[str, str]]:
    """Read the type and the description of each setting in the docstring, absent in python -OO."""
    section = inspect.cleandoc(SAS.__doc__ or "").partition("Parameters\n----------\n")[2]
    entries = re.findall(r"^(\w+) : (.+)\n((?: {4}.+\n?)+)", section.partition("\n\n")[0], re.M)
    return {name: (kind, " ".join(text.split())) for name, kind, text in entries}
