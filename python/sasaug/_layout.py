"""One job: which axis of an array is which: samples, frames, channels, height and width."""

from __future__ import annotations

from . import _core

MAX_SIDE = 2**29  # a value's place in a row of four channels fits 31 bits, products of sides 63


def layout(
    shape: tuple[int, ...],
    step: tuple[int, ...],
    name: str,
    lead: int,
    channels: str,
    clips: bool = False,
) -> tuple[tuple[int, int], tuple[int, int, int], int, bool, int, int]:
    """Size (h, w), strides along (y, x, channel), channels, whether these have an axis, and frames.

    The last two are the number of frames and their stride. ``lead`` is 1 where a batch axis comes
    first.
    """
    axes_left = len(shape) - lead - clips
    if axes_left not in (2, 3):
        raise ValueError(
            f"{name} must have shape {_allowed(lead, channels, clips)} (channels={channels!r}"
            f"{', frames=True' if clips else ''}), got {shape}{_for_clips(shape, lead, clips)}"
        )
    axis = axes_left == 3
    y = lead + clips + (1 if axis and channels == "first" else 0)
    k = (lead if channels == "first" else y + 2) if axis else None
    c = 1 if k is None else shape[k]
    if not 1 <= c <= _core.MAX_CHANNELS:
        axes = axes_of(lead, axis, channels, clips)
        raise ValueError(
            f"{name} must have 1 to {_core.MAX_CHANNELS} channels, got {c} in shape {shape}, "
            f"read as {axes}{_for_channels(shape, name, lead, channels)}"
        )
    if max(shape[y], shape[y + 1]) > MAX_SIDE:
        raise ValueError(f"{name} must have sides of at most {MAX_SIDE} pixels, got {shape}")
    strides = step[y], step[y + 1], 0 if k is None else step[k]
    if not clips:
        return (shape[y], shape[y + 1]), strides, c, axis, 1, 0
    frames = shape[y - 1]
    if frames > _core.MAX_FRAMES or frames * shape[y] * shape[y + 1] > MAX_SIDE**2:
        raise ValueError(
            f"{name} must have at most {_core.MAX_FRAMES} frames, and 2^58 pixels, got {frames} "
            f"frames in shape {shape}, read as {axes_of(lead, axis, channels, clips)}"
        )
    return (shape[y], shape[y + 1]), strides, c, axis, frames, step[y - 1]


def axes_of(lead: int, axis: bool, channels: str, clips: bool = False) -> str:
    size = "t h w" if clips else "h w"
    size = (f"c {size}" if channels == "first" else f"{size} c") if axis else size
    return f"[{'n ' if lead else ''}{size}]"


def _allowed(lead: int, channels: str, clips: bool) -> str:
    shapes = [(0, False), (1, False), (1, True)] if lead else [(0, False), (0, True)]
    names = [axes_of(first, axis, channels, clips) for first, axis in shapes]
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _for_channels(shape: tuple[int, ...], name: str, lead: int, channels: str) -> str:
    """The setting that would be right where the other order of axes has the channels."""
    other, c = ("last", shape[-1]) if channels == "first" else ("first", shape[lead])
    if name == "masks" and c != 1:
        return "; pass the label map of one-hot masks"
    if not 1 <= c <= _core.MAX_CHANNELS:
        return ""
    return f'; if the channels are {other} pass channels="{other}"'


def _for_clips(shape: tuple[int, ...], lead: int, clips: bool) -> str:
    """The setting that would be right where only it is missing."""
    if not clips and len(shape) - lead == 4:
        return "; clips need frames=True"
    if clips and len(shape) == 2:
        return "; images, which have no frames, need frames=False"
    return ""
