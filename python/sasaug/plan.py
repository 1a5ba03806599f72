"""One job: the plan of a batch as Python sees it: a table, JSON, and its rules."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _core
from ._arrays import ArrayBatch
from ._checks import (
    check_canvas_area,
    checked_canvas,
    checked_flag,
    checked_fraction,
    checked_integer,
    checked_labels,
    checked_value_range,
)
from ._frontends import Frontend
from ._geometry import Geometry
from .noise import KINDS, NOISES, NUMBERS, strength_rule

SAMPLE: np.dtype[Any] = _core.SAMPLE


@dataclass
class DeviceSamples:
    """Samples that a GPU drew and keeps."""

    frontend: Frontend
    device: int
    buffer: Any  # uint8 [n * SAMPLE.itemsize], of the caller's library
    sizes: Sequence[tuple[int, int]]  # of the images that they were drawn for
    canvas: tuple[int, int]
    ragged: bool
    n: int

    def __len__(self) -> int:
        return self.n

    def fits(self, masks: ArrayBatch, canvas: tuple[int, int]) -> bool:
        """Whether they can be applied where they are, unread."""
        return (self.device, self.n, self.ragged, self.sizes, self.canvas) == (
            masks.device, masks.n, masks.ragged, masks.sizes, canvas,
        )  # fmt: skip

    def address(self) -> int:
        return self.frontend.address(self.buffer)

    def to_numpy(self) -> NDArray[Any]:
        """Copied to the host, which waits for the GPU."""
        return self.frontend.to_numpy(self.buffer).view(SAMPLE)


def empty_samples(masks: ArrayBatch, canvas: tuple[int, int]) -> NDArray[Any] | DeviceSamples:
    """Room for one sample per mask, where the masks are."""
    if masks.device is None:
        return np.zeros(masks.n, SAMPLE)
    frontend, device = masks.frontend, masks.device
    buffer = frontend.empty((masks.n * SAMPLE.itemsize,), "uint8", device)
    return DeviceSamples(frontend, device, buffer, masks.sizes, canvas, masks.ragged, masks.n)


class _Stored:
    stored: NDArray[Any] | DeviceSamples


class _Samples:
    """``Plan.samples``: a numpy array, copied from the GPU when it is first asked for."""

    def __get__(self, plan: _Stored, owner: Any) -> NDArray[Any]:
        if isinstance(plan.stored, DeviceSamples):
            plan.stored = plan.stored.to_numpy()
        return plan.stored

    def __set__(self, plan: _Stored, samples: NDArray[Any] | DeviceSamples) -> None:
        dtype, ndim = getattr(samples, "dtype", type(samples)), getattr(samples, "ndim", 0)
        if (dtype != SAMPLE or ndim != 1) and not isinstance(samples, DeviceSamples):
            raise TypeError(
                "plan.samples must be a 1-D numpy array of the type that plans have "
                f"(fields {', '.join(SAMPLE.names or ())}), got {ndim}-D {dtype}"
            )
        plan.stored = samples


@dataclass(eq=False)
class Plan(Geometry, _Stored):
    """What will be done to each sample of a batch: a few numbers per sample.

    A plan prints as a table, goes to JSON and back, and replays byte for byte with
    :func:`sasaug.apply`. It may be edited: ``plan.samples["strength"][3] = 0.2``.

    Attributes
    ----------
    samples : numpy structured array [n]
        ``id`` uint64, the sample id; ``transformed`` bool; ``window`` int32 [4], (x, y, width,
        height) in pixels of the source image; ``thumbnail`` int32 [4], the same on the canvas;
        ``noise`` int32, the kind's place in ``sasaug.NOISES`` or -1 for none; ``strength``
        float32, in the kind's own unit. A plan drawn on a GPU stays there until this is read.
    seed : int
        Key of the random numbers, in [0, 2^64).
    canvas : tuple of int
        (height, width) of the output in pixels.
    antialias, per_channel, salt_vs_pepper, labels, value_range
        As in :class:`sasaug.SAS`.
    frames : bool
        As in :class:`sasaug.SAS`: a sample is a clip.

    Examples
    --------
    >>> import numpy, sasaug
    >>> masks = numpy.ones((2, 64, 64), bool)
    >>> plan = sasaug.SAS(p=1.0, noise={"speckle": (0.1, 0.1)}).plan(masks, seed=7)
    >>> plan.samples["strength"][1] = 0.2
    >>> [(row["noise"], row["strength"]) for row in plan.rows()]
    [('speckle', 0.1), ('speckle', 0.2)]
    """

    samples: NDArray[Any]
    seed: int
    canvas: tuple[int, int]
    antialias: bool = False
    per_channel: bool = False
    salt_vs_pepper: float = 0.5
    labels: tuple[int, ...] | None = None
    value_range: tuple[float, float] | None = None
    frames: bool = False

    def __len__(self) -> int:
        return len(self.stored)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Plan):
            return NotImplemented
        return self._head() == other._head() and self.rows() == other.rows()

    __hash__ = None  # type: ignore[assignment]  # it may be edited

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "stored": self.samples}  # its reader may have no GPU

    def __getitem__(self, which: slice | Sequence[int] | NDArray[Any]) -> Plan:
        """The plan of some of the samples: a slice, indices [m] or a boolean array [n]."""
        samples = np.atleast_1d(self.samples[which]).copy()
        return replace(self, samples=samples)

    def rows(self) -> list[dict[str, Any]]:
        """One dictionary per sample, of plain Python values; no noise is None."""
        _check_kinds(self.samples["noise"])
        rows = []
        for sample in self.samples:
            kind = int(sample["noise"])
            rows.append(
                {
                    "id": int(sample["id"]),
                    "transformed": bool(sample["transformed"]),
                    "window": [int(v) for v in sample["window"]],
                    "thumbnail": [int(v) for v in sample["thumbnail"]],
                    "noise": NOISES[kind] if 0 <= kind < len(NOISES) else None,
                    "strength": float(str(sample["strength"])) if kind >= 0 else None,
                }
            )
        return rows

    def __str__(self) -> str:
        head = ("id", "window", "thumbnail", "scale", "noise", "strength")
        body = [_cells(row) for row in self.rows()]
        self.check_settings()
        widths = [max(len(line[k]) for line in [head, *body]) for k in range(len(head))]
        height, width = self.canvas
        lines = [f"Plan of {len(self)} samples, canvas {height} x {width}, seed {self.seed}"]
        lines += [
            "  ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True))
            for line in [head, *body]
        ]
        return "\n".join(lines)

    __repr__ = __str__

    def _head(self) -> dict[str, Any]:
        self.check_settings()
        return {
            "stream_version": _core.STREAM_VERSION,
            "seed": self.seed,
            "canvas": list(self.canvas),
            "antialias": self.antialias,
            "per_channel": self.per_channel,
            "salt_vs_pepper": self.salt_vs_pepper,
            "labels": None if self.labels is None else list(self.labels),
            **({} if self.value_range is None else {"value_range": list(self.value_range)}),
            **({"frames": True} if self.frames else {}),
        }

    def to_json(self) -> str:
        """The plan as JSON text: a line of settings, then a line per sample."""
        rows = [
            {**row, "strength": "inf"} if row["strength"] == float("inf") else row
            for row in self.rows()
        ]
        head = json.dumps(self._head())[:-1]
        lines = ",\n  ".join(json.dumps(row, allow_nan=False) for row in rows)
        return f'{head}, "samples": [\n  {lines}\n]}}' if rows else f'{head}, "samples": []}}'

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        ValueError
            If the text is no plan, or one of another ``sasaug.STREAM_VERSION``, whose random
            numbers this version cannot repeat.
        """
        try:
            head = json.loads(text)
            rows = head.pop("samples")
            version = head.pop("stream_version")
            samples = np.zeros(len(rows), SAMPLE)
            for sample, row in zip(samples, rows, strict=True):
                for field in ("id", "transformed", "window", "thumbnail"):
                    sample[field] = row[field]
                sample["noise"] = -1 if row["noise"] is None else NUMBERS[row["noise"]]
                sample["strength"] = 0.0 if row["strength"] is None else float(row["strength"])
            head["canvas"] = (int(head["canvas"][0]), int(head["canvas"][1]))
            if head["labels"] is not None:
                head["labels"] = tuple(head["labels"])
            if "value_range" in head:
                head["value_range"] = tuple(head["value_range"])
            plan = cls(samples=samples, **head)
        except (
            KeyError,
            IndexError,
            TypeError,
            ValueError,
            AttributeError,
            OverflowError,
        ) as error:
            raise ValueError(
                f"text must be a plan as Plan.to_json writes it, got {error!r}"
            ) from error
        if version != _core.STREAM_VERSION:
            raise ValueError(
                f"text must be a plan of stream version {_core.STREAM_VERSION}, got {version}"
            )
        return plan

    def check_settings(self) -> None:
        """Raise ValueError or TypeError unless the numbers beside the samples keep their rules."""
        self.canvas = checked_canvas(self.canvas, "plan.canvas", 0)  # images may be empty
        check_canvas_area(self.canvas)
        self.seed = checked_integer("plan.seed", self.seed, 2**64)
        for name in ("antialias", "per_channel", "frames"):
            setattr(self, name, checked_flag(f"plan.{name}", getattr(self, name)))
        self.salt_vs_pepper = checked_fraction("plan.salt_vs_pepper", self.salt_vs_pepper)
        self.labels = checked_labels(self.labels, "plan.labels")
        self.value_range = checked_value_range(self.value_range, "plan.value_range")

    def check(self, masks: ArrayBatch) -> None:
        """Raise ValueError or TypeError unless the plan fits images of these masks' sizes."""
        self.check_settings()
        if isinstance(self.stored, DeviceSamples) and self.stored.fits(masks, self.canvas):
            return
        height, width = self.canvas
        samples = self.samples
        limits = np.array([(w, h) for h, w in masks.sizes], np.int64).reshape(-1, 2)
        _check_inside(samples["window"], limits, "window", "image")
        canvas = np.array([(width, height)], np.int64)
        _check_inside(samples["thumbnail"], canvas, "thumbnail", "canvas")
        empty = (samples["window"][:, 2:] == 0).any(axis=1)
        wrong = empty & (samples["thumbnail"][:, 2:] > 0).all(axis=1)
        if wrong.any():
            s = int(np.argmax(wrong))
            raise ValueError(
                f"plan.samples['window'][{s}] must not be empty, got width or height 0"
            )
        _check_kinds(samples["noise"])
        kinds, strengths = samples["noise"], samples["strength"]
        for number in set(kinds.tolist()) - {-1}:
            check_strength(NOISES[number], strengths[kinds == number], "plan.samples['strength']")


# after the dataclass is made, which would take it for a default
Plan.samples = _Samples()  # type: ignore[assignment]


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    width, height = row["window"][2:]
    longer, thumbnail = max(width, height), max(row["thumbnail"][2:])
    scale = f"{100 * thumbnail / longer:.0f} %" if longer else "-"
    rectangles = [f"{w} x {h} at {x},{y}" for x, y, w, h in (row["window"], row["thumbnail"])]
    strength = "-" if row["strength"] is None else f"{row['strength']:.4g}"
    return (str(row["id"]), *rectangles, scale, row["noise"] or "-", strength)


def _check_kinds(kinds: NDArray[Any]) -> None:
    wrong = (kinds < -1) | (kinds >= len(NOISES))
    if wrong.any():
        s = int(np.argmax(wrong))
        raise ValueError(
            f"plan.samples['noise'][{s}] must be in [-1, {len(NOISES) - 1}], got {kinds[s]}"
        )


def _check_inside(
    rectangles: NDArray[Any], limits: NDArray[np.int64], field: str, outer: str
) -> None:
    corner = rectangles[:, :2].astype(np.int64)
    size = rectangles[:, 2:].astype(np.int64)
    inside = ((corner >= 0) & (size >= 0) & (corner + size <= limits)).all(axis=1)
    if not inside.all():
        s = int(np.argmin(inside))
        width, height = limits[s if len(limits) > 1 else 0]
        raise ValueError(
            f"plan.samples[{field!r}][{s}] must lie inside the {outer} (width {width}, "
            f"height {height}), got (x, y, width, height) = {tuple(map(int, rectangles[s]))}"
        )


def check_strength(name: str, strengths: NDArray[Any], argument: str) -> None:
    """Raise ValueError unless all strengths are of the kind's range."""
    kind = KINDS[name]
    fits = (strengths >= kind["lowest"]) & (strengths <= kind["highest"])
    fits |= strengths == kind["identity"]
    if not fits.all():
        got = strengths[int(np.argmin(fits))]
        raise ValueError(f"{argument} must be {strength_rule(name)} for {name}, got {got}")
