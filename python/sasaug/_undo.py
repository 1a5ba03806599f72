"""One job: what lies in the thumbnails of a batch, brought back to the sizes of the sources."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from . import _core
from ._arrays import checked_channels, image_batch, mask_batch
from ._call import run
from ._checks import checked_sizes
from ._frontends import Frontend, adopt
from ._threads import resolve_threads
from .plan import Plan


def undone(plan: Plan, size: tuple[int, int]) -> Plan:
    """Return the plan that moves thumbnails back into images of ``size`` (h, w).

    It restores geometry only: noise stays.
    """
    samples = plan.samples.copy()
    samples["window"], samples["thumbnail"] = plan.samples["thumbnail"], plan.samples["window"]
    samples["noise"] = -1
    return replace(plan, samples=samples, canvas=size, labels=None, value_range=None)


def undo(
    plan: Plan, images: Any, masks: Any, sizes: Any, channels: str | None, num_threads: int | None
) -> tuple[Any, Any]:
    """:meth:`sasaug.Plan.undo`, which says what the arguments are."""
    threads = resolve_threads(num_threads)
    if images is None and masks is None:
        raise ValueError("images or masks must be given, got neither")
    wanted = [(int(h), int(w)) for h, w in checked_sizes(sizes, plan.samples["window"])]
    given = [
        None if array is None else _batch(plan, array, name, channels)
        for array, name in ((images, "images"), (masks, "masks"))
    ]
    moved: list[Any] = []
    for batch in given:
        if batch is None:
            moved.append(None)
        elif len(set(wanted)) == 1:
            moved.append(batch.moved(undone(plan, wanted[0]), threads))
        else:
            parts = [slice(s, s + 1) for s in range(len(plan))]
            moved.append(
                [
                    batch.of(part).moved(undone(plan[part], size), threads)[0]
                    for part, size in zip(parts, wanted, strict=True)
                ]
            )
    return moved[0], moved[1]


@dataclass
class _Batch:
    """Images or masks on a plan's canvas, with all axes: [n h w c] or [n c h w].

    Clips: [n t h w c] or [n c t h w].
    """

    frontend: Frontend
    array: Any
    name: str
    channels: str
    single: bool  # the axis n was not there
    channel_axis: bool

    def of(self, part: slice) -> _Batch:
        return replace(self, array=self.array[part])

    def moved(self, back: Plan, threads: int) -> Any:
        """The pixels of the thumbnails in their windows' places, with the axes that came in."""
        frontend, first = self.frontend, self.channels == "first"
        n, c = len(self.array), self.array.shape[1 if first else -1]
        inner = tuple(self.array.shape[2:] if first else self.array.shape[1:-1])
        size = (*inner[:-2], *back.canvas)  # its frames kept
        shape = (n, c, *size) if first else (n, *size, c)
        device, dtype = frontend.device(self.array), frontend.dtype(self.array)
        out = frontend.empty(shape, dtype, device)
        # the kernels take both; without noise nothing depends on the other one's values
        other = frontend.empty((n, *inner), "uint8", device)
        for start in range(0, c, _core.MAX_CHANNELS):
            some = slice(start, start + _core.MAX_CHANNELS)
            where = (slice(None), some) if first else (..., some)
            if self.name == "images":
                x = image_batch(self.array[where], self.channels, clips=back.frames)
                y = mask_batch(other, self.channels, clips=back.frames)
            else:
                grey = other[:, None] if first else other[..., None]
                x = image_batch(grey, self.channels, clips=back.frames)
                y = mask_batch(self.array, self.channels, clips=back.frames)
            back.check(y)
            outputs = (out[where], None) if self.name == "images" else (None, out)
            run(
                back, x, y, outputs, None, self.channels, threads,
                write_masks=self.name == "masks",
            )  # fmt: skip
        if not self.channel_axis:
            out = out[:, 0] if first else out[..., 0]
        return out[0] if self.single else out


def _batch(plan: Plan, array: Any, name: str, channels: str | None) -> _Batch:
    """The images or masks, which have to be on the plan's canvas."""
    frontend, array = adopt(array, name)
    channels = checked_channels(channels) or frontend.channels
    shape, n, canvas = tuple(array.shape), len(plan), tuple(plan.canvas)
    k = 0 if channels == "first" else 2 + plan.frames  # the channels' axis where there is no n
    for single in (False, True):
        size = shape if single else shape[1:]
        if (shape[:1] != (n,) and not single) or (single and n != 1):
            continue
        channel_axis = len(size) == 3 + plan.frames
        inner = size[:k] + size[k + 1 :] if channel_axis else size
        if len(inner) == 2 + plan.frames and inner[-2:] == canvas:
            array = array[None] if single else array
            if not channel_axis:
                array = array[:, None] if channels == "first" else array[..., None]
            return _Batch(frontend, array, name, channels, single, channel_axis)
    pixels = "t h w" if plan.frames else "h w"
    axes = f"n c {pixels}" if channels == "first" else f"n {pixels} c"
    raise ValueError(
        f"{name} must be on the plan's canvas: [n {pixels}] or [{axes}] with n = {n} and "
        f"(h, w) = {canvas}, got {shape}"
    )
