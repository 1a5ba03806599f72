"""One job: make ultrasound pictures with known masks, from a seed and NumPy alone.

A small honest simulator. Scatterers are a complex Gaussian field on the scanner's own grid
(depth x beam), weighted by the echogenicity of layered tissue and of one to three inclusions.
The point-spread function blurs them, a few looks are compounded, the envelope is attenuated on
its way, log-compressed and converted to the sector of a curved array. Posterior enhancement,
edge shadows and bright front and back walls follow from the attenuation and the walls of the
inclusions; nobody paints them in.

The pictures show what SAS does and feed tests. They are no substitute for patients.

Units: lengths are in imaging depths (the deepest echo is 1 below the probe), levels are in dB.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["phantoms"]

Floats = NDArray[np.float32]

DEPTHS, BEAMS = 384, 224  # the scanner's grid; the picture is interpolated from it
LOOKS = 3  # compounded frames: speckle contrast falls with the square root
AXIAL = 1.0 / 430.0  # standard deviation of the pulse, in imaging depths
LATERAL = 1.0 / 150.0  # the same of the beam at its focus
AVERAGE = -2.0  # echo of tissue, in dB of the display's reference
MIN_SIZE = 16
SMALL_SHARE = 0.25  # of the samples: mask below the 3 % at which the paper leaves samples alone
LARGE_AREA = (0.045, 0.19)  # mask of the main inclusion as a fraction of the picture
SMALL_AREA = (0.004, 0.018)


@dataclass(frozen=True)
class Sector:
    """The field of view of a curved array."""

    radius: float  # of the probe's face
    half_angle: float  # in radians
    left: float  # of the picture; the probe's axis is x = 0, the centre of its curvature (0, 0)
    top: float
    side: float  # of the square picture


@dataclass(frozen=True)
class Tissue:
    """How one kind of inclusion echoes and attenuates, relative to what surrounds it."""

    echo: tuple[float, float]  # dB
    loss: tuple[float, float]  # dB per imaging depth, beyond what the scanner's gain corrects
    wall: float  # dB, of a wall facing the beam
    rough: float  # of the outline, as a fraction of the radius
    patches: float  # dB, standard deviation of the level inside


CYST = Tissue(echo=(-46.0, -34.0), loss=(-44.0, -26.0), wall=17.0, rough=0.03, patches=2.0)
HYPOECHOIC = Tissue(echo=(-20.0, -12.0), loss=(-12.0, 40.0), wall=9.0, rough=0.13, patches=3.2)
HYPERECHOIC = Tissue(echo=(7.0, 11.0), loss=(-4.0, 8.0), wall=4.0, rough=0.1, patches=2.2)
TISSUES = (CYST, HYPOECHOIC, HYPERECHOIC)
TISSUE_ODDS = (0.4, 0.42, 0.18)


@dataclass(frozen=True)
class Inclusion:
    """An ellipse with a gently waved outline."""

    tissue: Tissue
    x: float
    y: float
    across: float  # radii
    along: float
    tilt: float  # in radians
    waves: tuple[tuple[int, float, float], ...]  # (periods, amplitude, phase)

    def level(self, x: Floats, y: Floats) -> Floats:
        """Return 0 at the centre, 1 on the outline, more outside; shaped like `x` and `y`."""
        cos, sin = math.cos(self.tilt), math.sin(self.tilt)
        u = (cos * (x - self.x) + sin * (y - self.y)) / self.across
        v = (cos * (y - self.y) - sin * (x - self.x)) / self.along
        angle = np.arctan2(v, u)
        radius = np.ones_like(angle)
        for periods, amplitude, phase in self.waves:
            radius += amplitude * np.cos(periods * angle + phase)
        return np.asarray(np.hypot(u, v) / radius, np.float32)


def phantoms(n: int, size: int = 256, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Simulate ultrasound pictures with one to three labelled inclusions each.

    About three in four masks cover more than 3 % of the picture, the others less. Sample i
    depends on (`seed`, i) alone, so the first pictures of a longer set are the shorter set.

    Parameters
    ----------
    n : int
        Number of pictures, at least 0.
    size : int
        Height and width in pixels, at least 16.
    seed : int
        At least 0.

    Returns
    -------
    images : uint8 [n h w]
        Log-compressed envelope in a sector; 0 outside of it.
    masks : uint8 [n h w]
        1 in the inclusions, 0 elsewhere.

    Raises
    ------
    ValueError
        An argument is below its least value.
    TypeError
        An argument is not an integer.

    Examples
    --------
    >>> from sasaug.phantoms import phantoms
    >>> images, masks = phantoms(2, size=64)
    >>> images.shape, images.dtype, int(masks.max())
    ((2, 64, 64), dtype('uint8'), 1)
    """
    for name, value, least in (("n", n, 0), ("size", size, MIN_SIZE), ("seed", seed, 0)):
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
            raise TypeError(f"{name} must be an integer, got {value!r}")
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    images = np.empty((n, size, size), np.uint8)
    masks = np.empty((n, size, size), np.uint8)
    for i in range(n):
        images[i], masks[i] = _phantom(np.random.default_rng([int(seed), i]), size)
    return images, masks


def _phantom(rng: np.random.Generator, size: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Simulate one picture [h w] and its mask [h w]."""
    sector = _sector(rng)
    inclusions = _inclusions(rng, sector)
    depth = np.linspace(0.0, 1.0, DEPTHS, dtype=np.float32)[:, None]
    angle = np.linspace(-sector.half_angle, sector.half_angle, BEAMS, dtype=np.float32)[None]
    x = (sector.radius + depth) * np.sin(angle)  # [depth beam]
    y = (sector.radius + depth) * np.cos(angle)

    echo, loss = _tissue(rng, depth)
    for inclusion in inclusions:
        _insert(rng, inclusion, x, y, echo, loss)
    echo -= np.cumsum(loss, axis=0) / DEPTHS
    beams = _compress(rng, _envelope(rng, echo, sector), depth)

    column, row, inside = _scan_lines(sector, size)
    image = np.where(inside, _bilinear(beams, row, column), 0.0)
    px, py = _pixels(sector, size)
    mask = np.zeros((size, size), np.bool_)
    for inclusion in inclusions:
        mask |= inclusion.level(px, py) <= 1.0
    return np.rint(255.0 * image).astype(np.uint8), (mask & inside).astype(np.uint8)


def _sector(rng: np.random.Generator) -> Sector:
    """Draw a probe, and frame its field of view as a sonographer would."""
    radius = rng.uniform(0.25, 0.6)
    half_angle = rng.uniform(0.42, 0.56)
    top = radius * math.cos(half_angle)
    height = radius + 1.0 - top
    width = 2.0 * (radius + 1.0) * math.sin(half_angle)
    # The frame may cut the corners of a wide sector, as scanners do to keep the depth large.
    side = max(1.03 * height, rng.uniform(0.8, 0.98) * width)
    return Sector(radius, half_angle, -side / 2, top - (side - height) / 2, side)


def _inclusions(rng: np.random.Generator, sector: Sector) -> list[Inclusion]:
    """Draw a main inclusion and up to two smaller ones that do not touch it."""
    small = rng.random() < SMALL_SHARE
    area = rng.uniform(*(SMALL_AREA if small else LARGE_AREA)) * sector.side**2
    count = int(rng.choice(3, p=(0.62, 0.25, 0.13))) + 1
    found: list[Inclusion] = []
    for index in range(count):
        # Half of what is left keeps a small sample below 3 % whatever the count.
        share = area if index == 0 else min(area * 0.35, 0.03 * sector.side**2) / index
        found.append(_place(rng, sector, share, found))
    return found


def _place(
    rng: np.random.Generator, sector: Sector, area: float, others: list[Inclusion]
) -> Inclusion:
    """Draw an inclusion of this area where it fits; the best of some tries if it never does."""
    tissue = TISSUES[int(rng.choice(len(TISSUES), p=TISSUE_ODDS))]
    flatness = rng.uniform(1.1, 1.9)
    across, along = math.sqrt(area * flatness / math.pi), math.sqrt(area / flatness / math.pi)
    waves = tuple(
        (k, tissue.rough * rng.uniform(0.2, 1.0) / (k - 1) ** 0.8, rng.uniform(0, 2 * math.pi))
        for k in (2, 3, 5, 8, 13)
    )
    tilt = rng.normal(0.0, 0.25)
    best, best_room = (0.0, sector.radius + 0.5), -math.inf
    for _ in range(24):
        depth, angle = rng.uniform(0.16, 0.9), rng.uniform(-0.85, 0.85) * sector.half_angle
        r = sector.radius + depth
        x, y = r * math.sin(angle), r * math.cos(angle)
        room = min(
            depth - 0.08 - along,
            1.0 - depth - along,
            r * math.sin(sector.half_angle - abs(angle)) - across,
            sector.side / 2 - abs(x) - across,
            *(math.hypot(x - o.x, y - o.y) - 1.15 * (across + o.across) for o in others),
        )
        if room > best_room:
            best, best_room = (x, y), room
        if room > 0:
            break
    return Inclusion(tissue, *best, across, along, tilt, waves)


def _tissue(rng: np.random.Generator, depth: Floats) -> tuple[Floats, Floats]:
    """Return echo level and excess loss [depth beam] of layers without inclusions."""
    shape = (DEPTHS, BEAMS)
    warped = depth + 0.035 * _smooth(rng, shape, 60.0, 45.0)
    edges = np.sort(rng.uniform(0.12, 0.95, 4))
    levels = rng.uniform(-11.0, 4.0, 5)
    echo = np.full(shape, levels[0], np.float32)
    for edge, below, above in zip(edges, levels[1:], levels[:-1], strict=True):
        echo += (below - above) * _step((warped - edge) / 0.008)
        fascia = rng.uniform(2.0, 12.0) * (0.6 + 0.4 * _smooth(rng, shape, 20.0, 16.0))
        echo += fascia * np.exp(-(((warped - edge) / 0.006) ** 2))
    echo += 2.6 * _smooth(rng, shape, 9.0, 14.0) + 1.8 * _smooth(rng, shape, 3.0, 6.0)
    # Septa: the zero crossings of a smooth field are thin, curved and mostly across the beam.
    for across, width, gain in ((26.0, 0.09, 10.0), (15.0, 0.12, 6.0)):
        field = _smooth(rng, shape, across / 3.2, across)
        strength = np.clip(_smooth(rng, shape, 24.0, 30.0) + 0.1, 0.0, 1.6)
        echo += gain * strength * np.exp(-((field / width) ** 2))
    skin = rng.uniform(0.02, 0.045)
    echo += 9.0 * np.exp(-((depth / 0.012) ** 2)) + 8.0 * np.exp(-(((depth - skin) / 0.007) ** 2))
    loss = rng.uniform(3.0, 15.0) + 6.0 * _smooth(rng, shape, 60.0, 9.0)
    return np.asarray(echo, np.float32), np.asarray(loss, np.float32)


def _insert(
    rng: np.random.Generator, inclusion: Inclusion, x: Floats, y: Floats, echo: Floats, loss: Floats
) -> None:
    """Put an inclusion into `echo` and `loss` [depth beam], in place."""
    tissue, level = inclusion.tissue, inclusion.level(x, y)
    blend = _step((1.0 - level) * 50.0)
    # Septa and layers of the surroundings end at the outline: an inclusion has its own texture.
    inside = (
        AVERAGE + rng.uniform(*tissue.echo) + tissue.patches * _smooth(rng, level.shape, 9.0, 9.0)
    )
    echo += blend * (inside - echo)
    loss += blend * (rng.uniform(*tissue.loss) - loss)
    # A wall echoes where it faces the beam; grazed by it, it refracts and casts an edge shadow.
    rim = np.exp(-(((level - 1.03) / 0.035) ** 2))
    steep, flat = np.gradient(level)
    facing = steep**2 / (steep**2 + flat**2 + 1e-12)
    echo += tissue.wall * rim * facing**3 + 0.25 * tissue.wall * rim
    loss += 5.0 * tissue.wall * rim * (1.0 - facing)


def _envelope(rng: np.random.Generator, echo: Floats, sector: Sector) -> Floats:
    """Return the compounded envelope [depth beam] of scatterers of this level."""
    shape = (LOOKS, *echo.shape)
    field = rng.standard_normal(shape, np.float32) + 1j * rng.standard_normal(shape, np.float32)
    field *= 10.0 ** (echo / 20.0)
    depth = np.linspace(0.0, 1.0, DEPTHS)[:, None]
    focus, reach = rng.uniform(0.35, 0.7), rng.uniform(0.25, 0.45)
    beam = LATERAL * np.sqrt(1.0 + ((depth - focus) / reach) ** 2)
    pitch = (sector.radius + depth) * 2.0 * sector.half_angle / BEAMS
    field = _blur(field, AXIAL * DEPTHS, axis=1)
    field = _blur(field, beam / pitch, axis=2)
    return np.asarray(np.sqrt(np.mean(field.real**2 + field.imag**2, axis=0)), np.float32)


def _compress(rng: np.random.Generator, envelope: Floats, depth: Floats) -> Floats:
    """Add the receiver's noise, and map [depth beam] to display values of [0, 1]."""
    scale = np.median(envelope)
    # The gain that corrects attenuation amplifies the receiver's noise with depth.
    floor = scale * 10.0 ** ((rng.uniform(-46.0, -40.0) + 16.0 * depth) / 20.0)
    noise = rng.standard_normal(envelope.shape, np.float32)
    decibels = 20.0 * np.log10(np.hypot(envelope, floor * noise) + 1e-6 * scale)
    span = rng.uniform(54.0, 60.0)
    white = np.percentile(decibels, 99.7)
    shown = np.clip((decibels - white) / span + 1.0, 0.0, 1.0)
    return np.asarray(shown ** rng.uniform(1.6, 2.2), np.float32)


def _scan_lines(sector: Sector, size: int) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return beam and depth coordinate of every pixel [h w], and which of them are seen."""
    x, y = _pixels(sector, size)
    depth = np.hypot(x, y) - sector.radius
    angle = np.arctan2(x, y)
    inside = (depth >= 0.0) & (depth <= 1.0) & (np.abs(angle) <= sector.half_angle)
    beam = (angle / sector.half_angle + 1.0) / 2.0
    column = np.asarray((BEAMS - 1) * beam, np.float32)
    row = np.asarray((DEPTHS - 1) * depth, np.float32)
    return column, row, inside


def _pixels(sector: Sector, size: int) -> tuple[Floats, Floats]:
    """Return x [h w] and y [h w] of the pixel centres."""
    centres = (np.arange(size, dtype=np.float32) + 0.5) * (sector.side / size)
    y, x = np.meshgrid(centres + sector.top, centres + sector.left, indexing="ij")
    return x.astype(np.float32), y.astype(np.float32)


def _bilinear(values: Floats, row: Floats, column: Floats) -> Floats:
    """Return `values` [depth beam] between its samples, shaped like `row`; edges clamped."""
    row = np.clip(row, 0, values.shape[0] - 1.001)
    column = np.clip(column, 0, values.shape[1] - 1.001)
    r, c = row.astype(np.intp), column.astype(np.intp)
    row, column = row - r, column - c
    top = values[r, c] * (1 - column) + values[r, c + 1] * column
    bottom = values[r + 1, c] * (1 - column) + values[r + 1, c + 1] * column
    return np.asarray(top * (1 - row) + bottom * row, np.float32)


def _smooth(
    rng: np.random.Generator, shape: tuple[int, ...], depths: float, beams: float
) -> Floats:
    """Return Gaussian noise of mean 0 and variance 1, correlated over these many samples."""
    field = np.fft.rfft2(rng.standard_normal(shape, np.float32))
    field *= _gaussian(np.fft.fftfreq(shape[0]), depths)[:, None]
    field *= _gaussian(np.fft.rfftfreq(shape[1]), beams)
    field[0, 0] = 0.0
    noise = np.fft.irfft2(field, shape)
    return np.asarray(noise / np.std(noise), np.float32)


def _blur(field: NDArray[Any], sigma: float | NDArray[Any], axis: int) -> NDArray[Any]:
    """Blur along an axis, by a Gaussian whose width may change along the axes before it."""
    frequency = np.fft.fftfreq(field.shape[axis])
    frequency = frequency.reshape((-1,) + (1,) * (field.ndim - 1 - axis))
    response = _gaussian(frequency, sigma)
    return np.fft.ifft(np.fft.fft(field, axis=axis) * response, axis=axis)


def _step(x: Floats) -> Floats:
    """Return a smooth step from 0 below zero to 1 above it."""
    return np.asarray(1.0 / (1.0 + np.exp(np.clip(-x, -60.0, 60.0))), np.float32)


def _gaussian(frequency: NDArray[Any], sigma: float | NDArray[Any]) -> NDArray[np.float32]:
    """Return the frequency response of a Gaussian of this standard deviation, in samples."""
    return np.exp(-2.0 * (math.pi * frequency * sigma) ** 2).astype(np.float32)
