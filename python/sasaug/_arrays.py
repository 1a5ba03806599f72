"""One job: check the caller's images and masks, and describe them as the kernels read them.

Every rule about shapes, sizes and element types is here, each raised before anything is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from . import _core
from ._frontends import Frontend, adopt
from ._layout import axes_of, layout

IMAGE_TYPES: dict[str, int] = _core.PIXEL_TYPES  # their numbers
MASK_TYPES = {  # their bytes
    "bool": 1, "uint8": 1, "int8": 1, "uint16": 2, "int16": 2,
    "uint32": 4, "int32": 4, "uint64": 8, "int64": 8,
}  # fmt: skip


@dataclass(slots=True)
class ArrayBatch:
    """Images or masks of a batch, either one array or, ragged, a list of them.

    ``sizes``, ``strides``, ``frames`` and ``frame_steps`` hold one entry for a stacked batch, ``n``
    for a ragged one; strides are bytes along (y, x, channel), ``frame_steps`` bytes from frame to
    frame. ``step`` is the bytes from sample to sample, 0 when ragged.
    """

    frontend: Frontend
    device: int | None  # of CUDA; None: the CPU
    arrays: list[Any]
    dtype: str
    n: int
    c: int
    sizes: Sequence[tuple[int, int]]
    strides: Sequence[tuple[int, int, int]]
    step: int
    ragged: bool
    single: bool  # without a batch axis: [h w]
    channel_axis: bool
    frames: Sequence[int] = (1,)
    frame_steps: Sequence[int] = (0,)
    clips: bool = False  # whether there is an axis of frames

    def size(self, s: int) -> tuple[int, int]:
        """(h, w) of sample s."""
        return self.sizes[s if self.ragged else 0]

    def common_size(self) -> tuple[int, int] | None:
        """(h, w) of all samples; None where they differ, or where there is none."""
        return self.sizes[0] if len(set(self.sizes)) == 1 else None


def image_batch(
    images: Any, channels: str | None, one: bool = False, clips: bool = False
) -> ArrayBatch:
    """Check images: [h w], [n h w], [n h w c], [n c h w]; or a list of [h w], [h w c], [c h w].

    ``one``: a single image that may have a channel axis, [h w c] or [c h w]. ``clips``: frames come
    before height and width, [n t h w], [n t h w c] or [n c t h w].
    """
    return _batch(images, "images", channels, IMAGE_TYPES, one, clips)


def mask_batch(
    masks: Any, channels: str | None, one: bool = False, clips: bool = False
) -> ArrayBatch:
    """Check masks: as images, with a channel axis of one where there is any."""
    batch = _batch(masks, "masks", channels, MASK_TYPES, one, clips)
    if batch.c != 1:
        shape = tuple(batch.arrays[0].shape)
        raise ValueError(
            f"masks must have one channel where they have a channel axis, got {shape}; pass "
            "the label map of one-hot masks"
        )
    return batch


def is_single_image(images: Any, masks: Any, channels: str | None, clips: bool = False) -> bool:
    """Whether three axes are those of one image with channels, which its mask tells.

    The mask is [h w], or has a channel axis of one where the image has two to four channels.
    Clips: four axes, and a mask [t h w].
    """
    if isinstance(images, (list, tuple)) or isinstance(masks, (list, tuple)):
        return False
    image, mask = _shape(images, "images"), _shape(masks, "masks")
    axes = 4 if clips else 3
    if image == mask or len(image) != axes or len(mask) not in (axes - 1, axes):
        return False
    first = (checked_channels(channels) or adopt(images, "images")[0].channels) == "first"
    return _one_image(image, mask, 0 if first else axes - 1)


def _shape(array: Any, argument: str) -> tuple[int, ...]:
    shape = getattr(array, "shape", None)
    return tuple(adopt(array, argument)[1].shape if shape is None else shape)


def _one_image(image: tuple[int, ...], mask: tuple[int, ...], axis: int) -> bool:
    c, size = image[axis], image[:axis] + image[axis + 1 :]
    if len(mask) < len(image):
        return size == mask and 1 <= c <= _core.MAX_CHANNELS
    return size == mask[:axis] + mask[axis + 1 :] and mask[axis] == 1 < c <= _core.MAX_CHANNELS


def _batch(
    arrays: Any, argument: str, channels: str | None, types: dict[str, int], one: bool, clips: bool
) -> ArrayBatch:
    ragged = isinstance(arrays, (list, tuple))
    items: list[Any] = list(arrays) if ragged else [arrays]
    if not items:
        raise ValueError(f"{argument} must hold at least one array, got an empty list")
    frontend, items[0] = adopt(items[0], f"{argument}[0]" if ragged else argument)
    device = frontend.device(items[0])
    channels = checked_channels(channels) or frontend.channels
    dtype = frontend.dtype(items[0])
    if dtype not in types:
        raise TypeError(
            f"{argument} must be of type {', '.join(types)} in native byte order, "
            f"got {getattr(items[0], 'dtype', dtype)}{_conversion(frontend, items[0], types)}"
        )
    if not ragged:
        shape, step = tuple(items[0].shape), frontend.strides(items[0])
        return ArrayBatch(
            frontend, device, items, dtype, *_stacked(shape, step, argument, one, channels, clips)
        )
    sizes: list[tuple[int, int]] = []
    strides: list[tuple[int, int, int]] = []
    frames: list[int] = []
    frame_steps: list[int] = []
    first: tuple[int, int, bool] | None = None  # ndim, c, channel axis
    for place, item in enumerate(items):
        name = f"{argument}[{place}]"
        if place > 0:
            items[place] = item = as_first(item, name, frontend, device, dtype)
        shape = tuple(item.shape)
        size, step, c, axis, t, t_step = layout(
            shape, frontend.strides(item), name, 0, channels, clips
        )
        if first is None:
            first = (len(shape), c, axis)
        elif first != (len(shape), c, axis):
            raise ValueError(
                f"{name} must have the axes and channels of the first, "
                f"{tuple(items[0].shape)}, got {shape}"
            )
        sizes.append(size)
        strides.append(step)
        frames.append(t)
        frame_steps.append(t_step)
    assert first is not None
    return ArrayBatch(
        frontend=frontend,
        device=device,
        arrays=items,
        dtype=dtype,
        n=len(items),
        c=first[1],
        sizes=sizes,
        strides=strides,
        step=0,
        ragged=True,
        single=False,
        channel_axis=first[2],
        frames=frames,
        frame_steps=frame_steps,
        clips=clips,
    )


@lru_cache(maxsize=4096)  # the arrays of a training loop have the same layout in every call
def _stacked(
    shape: tuple[int, ...],
    step: tuple[int, ...],
    argument: str,
    one: bool,
    channels: str,
    clips: bool,
) -> tuple[Any, ...]:
    """The fields of an ArrayBatch from ``n`` on, for one array."""
    single = one or len(shape) == 2 + clips
    lead = 0 if single else 1
    size, strides, c, axis, t, t_step = layout(shape, step, argument, lead, channels, clips)
    n, batch_step = (1, 0) if single else (shape[0], step[0])
    return n, c, (size,), (strides,), batch_step, False, single, axis, (t,), (t_step,), clips


def _conversion(frontend: Frontend, array: Any, types: dict[str, int]) -> str:
    """The call that would make an array of an allowed type."""
    dtype, torch = frontend.dtype(array), frontend.name == "torch"
    if not dtype and not torch:
        return '; convert it by .astype(a.dtype.newbyteorder("="))'
    to = ".to(torch.{})" if torch else ".astype(np.{})"
    if dtype.startswith(("float", "bfloat")) and types is MASK_TYPES:
        return f"; labels are integers: {'.long()' if torch else to.format('uint8')}"
    if dtype.startswith(("int", "uint")) and types is IMAGE_TYPES:
        return (
            f"; convert values of 0 to 255 by {to.format('uint8')}, others by "
            f"{to.format('float32')}, and give their value_range"
        )
    wanted = "float32" if types is IMAGE_TYPES else "uint8"
    return f"; convert it by {to.format(wanted)}"


def as_first(item: Any, name: str, frontend: Frontend, device: int | None, dtype: str) -> Any:
    """A further array of a list: of the first one's library, device and type."""
    owner, item = adopt(item, name)
    if owner is not frontend or frontend.dtype(item) != dtype:
        raise TypeError(
            f"{name} must be a {frontend.name} array of type {dtype} as the first is, "
            f"got {getattr(item, 'dtype', type(item))}"
        )
    if frontend.device(item) != device:
        raise ValueError(
            f"{name} must be on the device of the first, {place_name(device)}, "
            f"got {place_name(frontend.device(item))}"
        )
    return item


def place_name(device: int | None) -> str:
    return "the CPU" if device is None else f"cuda:{device}"


def checked_channels(channels: str | None) -> str | None:
    """``"first"``, ``"last"`` or None: the library's own."""
    if channels not in (None, "first", "last"):
        raise ValueError(f'channels must be "first" or "last", got {channels!r}')
    return channels


def check_pair(images: ArrayBatch, masks: ArrayBatch) -> None:
    """Raise unless every image has a mask of its own size, from the same library."""
    if masks.frontend is not images.frontend:
        raise TypeError(
            f"masks must be of the images' library, {images.frontend.name}, "
            f"got {masks.frontend.name}"
        )
    if masks.device != images.device:
        raise ValueError(
            f"masks must be on the images' device, {place_name(images.device)}, "
            f"got {place_name(masks.device)}"
        )
    if (images.ragged, images.single, images.n) != (masks.ragged, masks.single, masks.n):
        raise ValueError(
            f"masks must match the images in number: expected {_count(images)}, "
            f"got {_count(masks)}{_batch_axis(images, masks)}"
        )
    if masks.channel_axis and not images.channel_axis:
        raise ValueError(
            "masks must have a channel axis only where the images have one, "
            f"got shape {tuple(masks.arrays[0].shape)}"
        )
    if images.sizes == masks.sizes and images.frames == masks.frames:
        return
    for s, (image, mask) in enumerate(zip(images.sizes, masks.sizes, strict=True)):
        if image != mask:
            name = f"masks[{s}]" if masks.ragged else "masks"
            raise ValueError(f"{name} must have the images' size (h, w) = {image}, got {mask}")
    for s, (image_frames, mask_frames) in enumerate(zip(images.frames, masks.frames, strict=True)):
        if image_frames != mask_frames:
            name = f"masks[{s}]" if masks.ragged else "masks"
            raise ValueError(
                f"{name} must have as many frames as the images, {image_frames}, got {mask_frames}"
            )


def _count(batch: ArrayBatch) -> str:
    if batch.ragged:
        return f"a list of {batch.n}"
    lead, channels = 0 if batch.single else 1, batch.frontend.channels
    axes = axes_of(lead, batch.channel_axis, channels, batch.clips)
    shape = f"{axes} {tuple(batch.arrays[0].shape)}"
    return (
        f"one without a batch axis, {shape}" if batch.single else f"a batch of {batch.n}, {shape}"
    )


def _batch_axis(images: ArrayBatch, masks: ArrayBatch) -> str:
    """The call that would be right where only a batch axis or the channels' place is missing."""
    if images.ragged or masks.ragged or images.single == masks.single:
        return ""
    image, mask = tuple(images.arrays[0].shape), tuple(masks.arrays[0].shape)
    axes, kind = (4, "clip") if images.clips else (3, "image")
    for channels, axis in (("first", 0), ("last", axes - 1)):
        if len(image) == axes and len(mask) == axes - 1 and _one_image(image, mask, axis):
            return f'; channels="{channels}" makes the images one {kind} with channels'
    if (masks if images.single else images).n == 1:
        return f"; {'images' if images.single else 'masks'}[None] adds a batch axis"
    deep = len(image) == 3 and mask in (image[:2], image[1:])
    return f"; an image has 1 to {_core.MAX_CHANNELS} channels" if deep else ""


def canvas_shape(
    batch: ArrayBatch, canvas: tuple[int, int], channels: str | None
) -> tuple[int, ...]:
    """Shape of the output that belongs to these images or masks."""
    shape: tuple[int, ...] = (batch.frames[0], *canvas) if batch.clips else canvas
    if batch.channel_axis:
        first = (channels or batch.frontend.channels) == "first"
        shape = (batch.c, *shape) if first else (*shape, batch.c)
    return shape if batch.single else (batch.n, *shape)


def allocate(
    out: Any,
    argument: str,
    like: ArrayBatch,
    canvas: tuple[int, int],
    dtype: str,
    channels: str | None,
) -> ArrayBatch:
    """The array to fill, new or the caller's, described as the kernels write it."""
    frontend = like.frontend
    shape = canvas_shape(like, canvas, channels)
    if out is None:
        out = frontend.empty(shape, dtype, like.device)
    elif not frontend.owns(out) or tuple(out.shape) != shape or frontend.dtype(out) != dtype:
        got = f"{getattr(out, 'dtype', type(out))} {tuple(getattr(out, 'shape', ()))}"
        raise ValueError(f"{argument} must be a {frontend.name} {dtype} array {shape}, got {got}")
    else:
        frontend.check(out, argument)
        _check_output(frontend, out, argument, like.device)
    first = (channels or frontend.channels) == "first"
    step, frame_step, strides = _written(
        shape, frontend.strides(out), like.single, like.channel_axis, first, like.clips
    )
    return ArrayBatch(
        frontend, like.device, [out], dtype, like.n, like.c, (), (strides,), step, False,
        like.single, like.channel_axis, like.frames, (frame_step,), like.clips,
    )  # fmt: skip


@lru_cache(maxsize=4096)  # as for _stacked
def _written(
    shape: tuple[int, ...],
    step: tuple[int, ...],
    single: bool,
    channel_axis: bool,
    first: bool,
    clips: bool,
) -> tuple[int, int, tuple[int, int, int]]:
    """The strides of an output: along the samples, the frames, and (y, x, channel)."""
    if 0 in shape:  # nothing will be written
        return 0, 0, (0, 0, 0)
    n, step = (0, step) if single else (step[0], step[1:])
    k = 0
    if channel_axis:
        k, step = (step[0], step[1:]) if first else (step[-1], step[:-1])
    t, step = (step[0], step[1:]) if clips else (0, step)
    return n, t, (step[0], step[1], k)


def _check_output(frontend: Frontend, out: Any, argument: str, device: int | None) -> None:
    if not frontend.writable(out):
        raise ValueError(f"{argument} must be writable, got a read-only array")
    if frontend.device(out) != device:
        raise ValueError(
            f"{argument} must be on the images' device, {place_name(device)}, "
            f"got {place_name(frontend.device(out))}"
        )
    reach = out.itemsize  # bytes that the axes so far, from the shortest stride on, extend over
    for stride, size in sorted(zip(map(abs, frontend.strides(out)), out.shape, strict=True)):
        if size > 1 and stride < reach and 0 not in out.shape:
            raise ValueError(
                f"{argument} must not overlap itself, got strides {frontend.strides(out)} "
                f"for shape {tuple(out.shape)}"
            )
        reach += stride * max(size - 1, 0)


def extent(frontend: Frontend, array: Any) -> tuple[int, int]:
    """Addresses of the first byte and of the one past the last."""
    if 0 in array.shape:
        return 0, 0
    first = last = frontend.address(array)
    for stride, size in zip(frontend.strides(array), array.shape, strict=True):
        reach = stride * (size - 1)
        first, last = first + min(reach, 0), last + max(reach, 0)
    return first, last + int(array.itemsize)


def overlap(frontend: Frontend, a: Any, b: Any) -> bool:
    """Whether two arrays of a library may share memory."""
    (first_a, last_a), (first_b, last_b) = extent(frontend, a), extent(frontend, b)
    return frontend.device(a) == frontend.device(b) and first_a < last_b and first_b < last_a


def copy_if_overlapping(arrays: Any, argument: str, outputs: Sequence[Any]) -> Any:
    """The arrays themselves, or copies where writing the outputs would change them."""
    if isinstance(arrays, (list, tuple)):
        return [copy_if_overlapping(array, argument, outputs) for array in arrays]
    frontend, arrays = adopt(arrays, argument)
    shared = any(frontend.owns(out) and overlap(frontend, arrays, out) for out in outputs)
    return frontend.copy(arrays) if shared else arrays
