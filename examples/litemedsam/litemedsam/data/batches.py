"""One job: batches on a 256 x 256 canvas, augmented, the same for any number of workers.

What happens to an image is drawn from the seed and its sample id, ``epoch * len(cases) + index``,
never from a worker's state. It is drawn where the ragged masks are, on the CPU; the pixels are
computed there too, or, with ``defer``, on the GPU after the copy. Both give the same images.

Order: resize and noise (sasaug, in float32), then min-max to [0, 1] over the image, not over the
padding, then three channels. The paper scales before padding too; it does not say whether before
the augmentation. We scale last, so that every image that the model sees spans [0, 1] exactly, in
training as in testing.

Padding: an untransformed image lies at the top left with zeros to its right and below, as
LiteMedSAM's code pads and as it was pretrained, and so does every image of validation and test.
Only thumbnails are placed elsewhere: in the middle, as the paper's figures show them, or as
``position`` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

import sasaug
import sasaug.torch

from . import dicom
from .cases import Case, Picture, read_with_window

MODES = ("none", "thumbnail", "noise", "both")

Sample = tuple[Tensor, Tensor, int]


class Batch(NamedTuple):
    """What a model is given; unpacks as ``images, masks, ids``.

    Attributes
    ----------
    images : float32 [b 3 256 256]
        In [0, 1]; the channels are copies of a grey image, or RGB.
    masks : uint8 [b 256 256]
        0 and 1.
    ids : int64 [b]
        Sample ids; the case is ``cases[id % len(cases)]``.
    """

    images: Tensor
    masks: Tensor
    ids: Tensor


class Raw(NamedTuple):
    """A batch whose pixels are still to be made: small enough to copy to a GPU.

    Attributes
    ----------
    images : uint8 [b c h w]
        Zero padded at the right and below to the largest of the batch.
    masks : uint8 [b h w]
    ids : int64 [b]
    plan : sasaug.Plan
        What to do to each; its windows leave the padding out.
    """

    images: Tensor
    masks: Tensor
    ids: Tensor
    plan: sasaug.Plan


class Cases(Dataset[Sample]):
    """Cases as tensors of their own size (their window's, if they have one), by sample id.

    ``cases[id]`` is (image uint8 [c h w], mask uint8 [h w] of 0 and 1, id).

    Parameters
    ----------
    cases : sequence of Case
        Such as ``read_manifest(folder)`` or a part of ``split``.
    channels : {1, 3}
        1: grey, colour images too; 3: RGB, grey images copied.
    """

    def __init__(self, cases: Sequence[Case], channels: int = 1) -> None:
        if not cases:
            raise ValueError("cases must not be empty")
        if channels not in (1, 3):
            raise ValueError(f"channels must be 1 or 3, got {channels}")
        self.cases, self.channels = list(cases), channels

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, id: int) -> Sample:
        image, mask, (x, y, w, h) = read_with_window(self.cases[id % len(self)])
        image, mask = image[y : y + h, x : x + w], mask[y : y + h, x : x + w]
        pixels = dicom.to_grey(image)[None] if self.channels == 1 else planes(image)
        return torch.from_numpy(pixels.copy()), torch.from_numpy(mask.astype(np.uint8)), id


class SampleIds(Sampler[int]):
    """The ids of an epoch, shuffled by the seed and the epoch; this rank's share of them.

    With several ranks the rest that cannot be shared out evenly is left out: all take the same
    number of steps. Not shuffled, nothing is left out.
    """

    def __init__(
        self,
        length: int,
        epoch: int = 0,
        *,
        shuffle: bool = True,
        seed: int = 0,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        order = torch.arange(length)
        if shuffle:
            draw = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
            order = torch.randperm(length, generator=draw)[: length // ranks * ranks]
        self.ids: list[int] = (epoch * length + order)[rank::ranks].tolist()

    def __iter__(self) -> Iterator[int]:
        return iter(self.ids)

    def __len__(self) -> int:
        return len(self.ids)


class Augment:
    """Turns samples of any size into a batch; picklable, without state.

    Parameters
    ----------
    mode : {"none", "thumbnail", "noise", "both"}
        Which steps of SAS. "none" resizes and pads, as for validation and test.
    canvas : int
        Side of the batch's images in pixels.
    scale : (low, high)
        Longer side of a thumbnail, as a share in (0, 1] of the largest that fits.
    strength : float or mapping
        Factor on the deviations of sasaug's default noise (its "default" preset; the amount of
        salt and pepper times the factor, at most 1; photons divided by its square; 0: no noise),
        or ranges by kind: ``{"speckle": (0.05, 0.25)}``.
    p : float
        Probability [0, 1] that an image whose structure is not small (3 %) is transformed.
    apply_to : {"large", "all"}
        "all" transforms images of small structures too.
    position : {"center", "random", "top_left"}
        Where a thumbnail lies on the canvas.
    seed : int
    """

    def __init__(
        self,
        mode: str = "both",
        *,
        canvas: int = 256,
        scale: tuple[float, float] = (0.25, 1.0),
        strength: float | Mapping[str, tuple[float, float]] = 1.0,
        p: float = 0.5,
        apply_to: str = "large",
        position: str = "center",
        seed: int = 0,
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"mode must be one of {MODES}, got {mode!r}")
        resized = mode in ("thumbnail", "both")
        self.mode, self.canvas, self.seed = mode, canvas, seed
        self.sas = sasaug.torch.SAS(
            canvas=canvas,
            thumbnail=scale if resized else None,
            position=position if resized else "top_left",
            noise=ranges(strength) if mode in ("noise", "both") else None,
            p=0.0 if mode == "none" else p,
            apply_to=apply_to,
        )

    def __repr__(self) -> str:
        return f"Augment({self.mode!r}, seed={self.seed}: {self.sas.extra_repr()})"

    def plan(self, masks: Sequence[Tensor], ids: Sequence[int]) -> sasaug.Plan:
        """Draw what is done to each sample; "small" refers to the masks' own sizes."""
        plan = self.sas.plan(list(masks), seed=self.seed, ids=list(ids))
        plan.samples["thumbnail"][~plan.samples["transformed"], :2] = 0  # the top left
        return plan

    def collate(self, samples: Sequence[Sample]) -> Batch:
        """Make the whole batch here: for the data loader's workers."""
        images, masks, ids = zip(*samples, strict=True)
        plan = self.plan(masks, ids)
        return Batch(*_run(plan, list(images), list(masks)), torch.tensor(ids))

    def pack(self, samples: Sequence[Sample]) -> Raw:
        """Draw the plan here, and leave the pixels to :meth:`finish`."""
        images, masks, ids = zip(*samples, strict=True)
        plan = self.plan(masks, ids)
        height = max(mask.shape[0] for mask in masks)
        width = max(mask.shape[1] for mask in masks)
        x = torch.zeros(len(ids), images[0].shape[0], height, width, dtype=torch.uint8)
        y = torch.zeros(len(ids), height, width, dtype=torch.uint8)
        for k, (image, mask) in enumerate(zip(images, masks, strict=True)):
            h, w = mask.shape
            x[k, :, :h, :w] = image
            y[k, :h, :w] = mask
        return Raw(x, y, torch.tensor(ids), plan)

    @staticmethod
    def finish(raw: Raw, device: torch.device | str) -> Batch:
        """Copy to the device and make the pixels there; the same as :meth:`collate` makes."""
        images, masks, ids = (t.to(device, non_blocking=True) for t in raw[:3])
        return Batch(*_run(raw.plan, images, masks), ids)


def planes(image: Picture) -> NDArray[np.uint8]:
    """[h w] or [h w 3] as [3 h w]."""
    return np.stack([image] * 3) if image.ndim == 2 else image.transpose(2, 0, 1)


def ranges(strength: float | Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """Ranges of noise by kind; see ``strength`` of :class:`Augment`."""
    if isinstance(strength, Mapping):
        return dict(strength)
    if not 0 <= strength < float("inf"):
        raise ValueError(f"strength must be a finite factor >= 0 or ranges, got {strength}")
    if strength == 0:
        return {}
    default = sasaug.PRESETS["default"]
    scaled = {kind: (low * strength, high * strength) for kind, (low, high) in default.items()}
    low, high = scaled["salt_pepper"]
    scaled["salt_pepper"] = (min(low, 1.0), min(high, 1.0))
    # the deviation of photon noise goes with one over the root of their number
    low, high = default["poisson"]
    scaled["poisson"] = (low / strength**2, high / strength**2)
    return scaled


def min_max(images: Tensor, rectangles: NDArray[np.int32]) -> Tensor:
    """Scale each image, in place, to span [0, 1] inside its rectangle.

    Parameters
    ----------
    images : float32 [b c h w]
        0 outside the rectangles, and left so.
    rectangles : int [b 4]
        (x, y, width, height) in pixels, not empty.

    Returns
    -------
    float32 [b c h w]
        ``images``; all channels by one scale; an image of one value becomes 0.
    """
    for image, (x, y, w, h) in zip(images, rectangles.tolist(), strict=True):
        inside = image[:, y : y + h, x : x + w]
        low, high = inside.aminmax()  # tensors: a GPU need not be waited for
        inside -= low
        inside /= torch.where(high > low, high - low, 1.0)
    return images


class Loaders:
    """Training and validation batches, as ``train`` asks for them.

    Parameters
    ----------
    training, validation : sequence of Case
    augment : Augment
        For training; validation is only resized and padded.
    batch_size : int
        Of this rank.
    workers : int
        Processes that read and augment; 0: none but this one.
    device : str
        Where ``defer`` makes the pixels.
    defer : bool
        Make the pixels on the device after the copy, not in the workers.
    """

    def __init__(
        self,
        training: Sequence[Case],
        validation: Sequence[Case],
        augment: Augment,
        *,
        batch_size: int = 8,
        channels: int = 1,
        workers: int = 0,
        seed: int = 0,
        rank: int = 0,
        ranks: int = 1,
        device: torch.device | str = "cpu",
        defer: bool = False,
    ) -> None:
        self.training, self.held_out = Cases(training, channels), Cases(validation, channels)
        self.augment = augment
        self.quiet = Augment("none", canvas=augment.canvas)
        self.seed, self.rank, self.ranks = seed, rank, ranks
        self.how: dict[str, Any] = {
            "batch_size": batch_size, "workers": workers, "device": device, "defer": defer,
        }  # fmt: skip

    def train(self, epoch: int) -> Batches:
        """The epoch's batches: shuffled, augmented, the same each time they are asked for."""
        ids = SampleIds(len(self.training), epoch, seed=self.seed, rank=self.rank, ranks=self.ranks)
        return Batches(self.training, self.augment, ids, **self.how)

    def validation(self) -> Batches:
        """The same batches every time, in the order of the cases."""
        ids = SampleIds(len(self.held_out), shuffle=False, rank=self.rank, ranks=self.ranks)
        return Batches(self.held_out, self.quiet, ids, **self.how)


class Batches:
    """The batches of some sample ids: iterable again and again, with a length.

    For a test: ``Batches(Cases(cases), Augment("none"), range(len(cases)))``.
    """

    def __init__(
        self,
        cases: Cases,
        augment: Augment,
        ids: SampleIds | Sequence[int],
        *,
        batch_size: int = 8,
        workers: int = 0,
        device: torch.device | str = "cpu",
        defer: bool = False,
    ) -> None:
        self.augment, self.device, self.defer = augment, device, defer
        self.loader: DataLoader[Any] = DataLoader(
            cases,
            batch_size=batch_size,
            sampler=ids,
            collate_fn=augment.pack if defer else augment.collate,
            num_workers=workers,
            pin_memory=torch.device(device).type == "cuda",
            # or the loader draws its workers' seeds from the global generator
            generator=torch.Generator().manual_seed(0),
        )

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.loader:
            if self.defer:
                yield self.augment.finish(batch, self.device)
            else:
                yield Batch(*(t.to(self.device, non_blocking=True) for t in batch))


def _run(
    plan: sasaug.Plan, images: Tensor | list[Tensor], masks: Tensor | list[Tensor]
) -> tuple[Tensor, Tensor]:
    """Images float32 [b 3 h w] in [0, 1] and masks uint8 [b h w], on the canvas."""
    x, y = sasaug.apply(plan, images, masks, dtype=torch.float32)
    return min_max(x, plan.samples["thumbnail"]).expand(-1, 3, -1, -1).contiguous(), y
