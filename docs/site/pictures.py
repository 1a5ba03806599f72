"""One job: draw the site's pictures, on simulated ultrasound.

Run alone it draws them too: ``python docs/site/pictures.py [folder]``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sasaug
from sasaug.noise import KINDS
from sasaug.phantoms import phantoms
from sasaug.preview import Tile, contact_sheet, encode_png

SEED, PHANTOM = 7, 33
SIZES = (256, 192, 128, 64)  # pixels
TILE = 224

Picture = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def subject() -> Picture:
    """Return a phantom whose one inclusion is neither black nor white, image [h w], mask [h w]."""
    images, masks = phantoms(PHANTOM + 1, seed=SEED)
    return images[PHANTOM], masks[PHANTOM]


def strengths(kind: str) -> tuple[float, float, float]:
    """Return three strengths: the ends of the default range, and one beyond the strong end."""
    low, high = KINDS[kind]["usual"]
    return (high, low, low / 4) if kind == "poisson" else (low, high, min(2 * high, 1.0))


def closer(image: NDArray[Any], mask: NDArray[Any]) -> NDArray[Any]:
    """Cut a square around the ROI out of an image, with some of what lies around it."""
    rows, columns = (np.flatnonzero((mask > 0).any(axis=axis)) for axis in (1, 0))
    side = min(max(np.ptp(rows), np.ptp(columns)) + 24, *image.shape)
    y, x = (
        int(np.clip((span[0] + span[-1] - side) // 2, 0, whole - side))
        for span, whole in zip((rows, columns), image.shape, strict=True)
    )
    return image[y : y + side, x : x + side]


def noise_sheet(kind: str, image: NDArray[Any], mask: NDArray[Any]) -> NDArray[np.uint8]:
    """Draw one kind at three strengths: the whole picture, and below it the ROI, enlarged."""
    name = KINDS[kind]["strength"]
    noisy = {
        f"{name} = {strength:g}": getattr(sasaug, kind)(image, mask, strength, seed=SEED)
        for strength in strengths(kind)
    }
    whole = [Tile(image, mask, "original"), *(Tile(x, mask, text) for text, x in noisy.items())]
    near = [Tile(closer(tile.image, mask), caption="the ROI, enlarged") for tile in whole]
    return contact_sheet([whole, near], tile=TILE)


def thumbnail_sheet(image: NDArray[Any], mask: NDArray[Any]) -> NDArray[np.uint8]:
    """Draw thumbnails of several sizes, and at the four positions."""
    sizes = [
        Tile(*sasaug.thumbnail(image, mask, size=size), f"size = {size}")  # type: ignore[misc]
        for size in SIZES
    ]
    places = [
        Tile(
            *sasaug.thumbnail(image, mask, size=96, position=position, seed=seed),
            f'"{position}"' + (f", seed {seed}" if position == "random" else ""),
        )  # type: ignore[misc]
        for position, seed in (("center", 0), ("top_left", 0), ("top_center", 0), ("random", 1))
    ]
    return contact_sheet([sizes, places], tile=TILE)


def preset_sheet(image: NDArray[Any], mask: NDArray[Any]) -> NDArray[np.uint8]:
    """Draw the ROI under every preset, each kind at the middle of its range."""
    rows: list[Sequence[Tile]] = []
    for preset, ranges in sasaug.PRESETS.items():
        row = [Tile(closer(image, mask), caption=f'"{preset}"')]
        for kind, limits in ranges.items():
            strength = float(np.mean(limits))
            noisy = getattr(sasaug, kind)(image, mask, strength, seed=SEED)
            row.append(Tile(closer(noisy, mask), caption=f"{kind} {strength:.3g}"))
        rows.append(row)
    return contact_sheet(rows, tile=TILE)


def clip_sheet(image: NDArray[Any], mask: NDArray[Any]) -> NDArray[np.uint8]:
    """Draw frames of a clip whose structure moves, and the same frames under one draw."""
    steps = (0, 5, 10, 15)  # pixels
    seen = image > 0
    fan = np.logical_or.accumulate(seen, 1) & np.logical_or.accumulate(seen[:, ::-1], 1)[:, ::-1]
    clip, masks = np.stack([image] * len(steps)), np.stack([mask] * len(steps))
    for frame, step in enumerate(steps[1:], start=1):  # the tissue moves, the probe does not
        shifted = np.roll(image, step, 1)
        clip[frame] = np.where(fan & (shifted > 0), shifted, image)
        masks[frame] = np.roll(mask, step, 1) * fan
    augment = sasaug.SAS(
        thumbnail=(144, 144), noise={"speckle": (0.4, 0.4)}, p=1.0, apply_to="all", frames=True
    )
    x, y = augment(clip, masks, seed=SEED)
    before = [Tile(clip[f], masks[f], f"frame {f}") for f in range(len(steps))]
    after = [Tile(x[f], y[f], f"frame {f}, one draw") for f in range(len(steps))]
    near = [Tile(closer(x[f], y[f]), caption="the ROI, enlarged") for f in range(len(steps))]
    return contact_sheet([before, after, near], tile=TILE)


#: The picture of each name, drawn of an image [h w] and its mask [h w].
SHEETS: dict[str, Callable[..., NDArray[np.uint8]]] = {
    "thumbnail": thumbnail_sheet,
    **{f"noise-{kind}": partial(noise_sheet, kind) for kind in sasaug.NOISES},
    "presets": preset_sheet,
    "clip": clip_sheet,
}


def draw(folder: Path) -> list[Path]:
    """Write the pictures as PNG files, and return these."""
    folder.mkdir(parents=True, exist_ok=True)
    image, mask = subject()
    files = []
    for name, sheet in SHEETS.items():
        files.append(folder / f"{name}.png")
        files[-1].write_bytes(encode_png(sheet(image, mask)))
    return files


if __name__ == "__main__":
    print(*draw(Path(sys.argv[1] if len(sys.argv) > 1 else "build/pictures")), sep="\n")
