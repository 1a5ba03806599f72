"""One job: SAS in plain NumPy, slow and readable, bit for bit what the kernels give.

For reading, and for tests: it shares no code with the compiled part. Every float is float32 with
one rounding per operation, in the order of ``csrc/``; the constants are fitted by
``tools/fit_coefficients.py``. Images are [n h w c] here, the one layout that needs no case.

    plan = sasaug.SAS().plan(masks, seed=7)
    x, y = sasaug.reference.apply(plan, images, masks)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
f32 = np.float32

PLAN, NORMAL, UNIFORM = 0, 1, 2  # purposes: what a block of words is for


# ---- random words --------------------------------------------------------------------------


def philox4x32(counter: ArrayLike, key: ArrayLike) -> NDArray[np.uint32]:
    """Philox4x32-10 (Salmon et al., SC'11): counter [..., 4] and key [2] to words [..., 4]."""
    low = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    c = [np.asarray(counter, np.uint64)[..., i] for i in range(4)]
    k0, k1 = (int(k) for k in np.asarray(key, np.uint64))
    for _ in range(10):
        p0 = np.uint64(0xD2511F53) * c[0]
        p1 = np.uint64(0xCD9E8D57) * c[2]
        c = [
            (p1 >> half) ^ c[1] ^ np.uint64(k0),
            p1 & low,
            (p0 >> half) ^ c[3] ^ np.uint64(k1),
            p0 & low,
        ]
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return np.stack(c, -1).astype(np.uint32)


def words(
    seed: int, sample_id: int, purpose: int, channel: int, blocks: ArrayLike, frame: int = 0
) -> Array:
    """Words [..., 4] of blocks [...]: counter = (block, id low, id high, the rest)."""
    blocks = np.asarray(blocks, np.uint64)
    counter = np.empty((*blocks.shape, 4), np.uint64)
    counter[..., 0] = blocks
    counter[..., 1] = sample_id % 2**32
    counter[..., 2] = sample_id // 2**32
    counter[..., 3] = frame * 2**16 + purpose * 256 + channel
    return philox4x32(counter, (seed % 2**32, seed // 2**32))


def canvas_words(
    seed: int, sample_id: int, purpose: int, channel: int, height: int, width: int, frame: int = 0
) -> NDArray[np.uint32]:
    """One word per canvas pixel [h w]: row y takes word y % 4 of block (y // 4) * width + x."""
    bands = -(-height // 4)
    blocks = np.arange(bands * width).reshape(bands, width)
    drawn = words(seed, sample_id, purpose, channel, blocks, frame)
    rows: NDArray[np.uint32] = drawn.transpose(0, 2, 1).reshape(4 * bands, width)[:height]
    return rows


# ---- draws ---------------------------------------------------------------------------------


def uniform(word: Array) -> Array:
    """Multiples of 2^-24 in [0, 1)."""
    return (word >> np.uint32(8)).astype(f32) * f32(2.0**-24)


def uniform_integer(word: int, n: int) -> int:
    """0 .. n - 1."""
    return int(word) * n // 2**32


def polynomial(x: Array, *coefficients: float) -> Array:
    """Horner's rule, highest power first."""
    value: Array = np.full_like(x, f32(coefficients[0]))
    for c in coefficients[1:]:
        value = value * x + f32(c)
    return value


def natural_log(u: Array) -> Array:
    """ln(u) for u in [2^-32, 1]."""
    bits = u.view(np.int32)
    exponent = (bits - np.int32(0x3F3504F3)) >> np.int32(23)
    f = (bits - (exponent << np.int32(23))).view(f32) - f32(1)
    q = polynomial(
        f, -0.07634532, 0.12761737, -0.1316025, 0.14201744, -0.1662335, 0.20001227, -0.25000823,
        0.3333333,
    )  # fmt: skip
    f2 = f * f
    return exponent.astype(f32) * f32(0.6931472) + (f + (f2 * f * q - f32(0.5) * f2))


def exp_negative(x: Array) -> Array:
    """exp(-x) for x in [0, 80]."""
    halvings = (x * f32(1.442695) + f32(0.5)).astype(np.int32)
    n = halvings.astype(f32)
    r = (n * f32(0.693359375) - x) - n * f32(2.1219444e-4)
    e = polynomial(r, 0.0013951706, 0.008369586, 0.041666187, 0.16666514, 0.5)
    power = f32(1) + (r + r * r * e)
    return power * ((np.int32(127) - halvings) << np.int32(23)).view(f32)


def normal_pair(radius_word: Array, angle_word: Array) -> tuple[Array, Array]:
    """Two independent N(0, 1) by Box and Muller."""
    u = ((radius_word >> np.uint32(1)).astype(np.int32).astype(f32) + f32(0.5)) * f32(2.0**-31)
    radius = np.sqrt(f32(-2) * natural_log(u))
    quadrant = (angle_word + np.uint32(0x20000000)) >> np.uint32(30)
    rest = (angle_word - (quadrant << np.uint32(30))).view(np.int32)
    x = rest.astype(f32) * f32(1.4629181e-9)
    x2 = x * x
    sine = x + x * x2 * polynomial(x2, -0.00019517346, 0.008332179, -0.16666655)
    cosine = (f32(1) - f32(0.5) * x2) + x2 * x2 * polynomial(
        x2, 2.4438472e-05, -0.0013887368, 0.041666646
    )
    swap = quadrant % 2 == 1
    n0, n1 = np.where(swap, sine, cosine), np.where(swap, cosine, sine)
    n0 = np.where((quadrant == 1) | (quadrant == 2), -n0, n0)
    n1 = np.where(quadrant >= 2, -n1, n1)
    return radius * n0, radius * n1


def canvas_normals(
    seed: int, sample_id: int, channel: int, height: int, width: int, frame: int = 0
) -> Array:
    """N(0, 1) per canvas pixel [h w]: rows 4b, 4b + 1 share words 0, 1; the next two 2, 3."""
    bands = 4 * -(-height // 4)
    word = canvas_words(seed, sample_id, NORMAL, channel, bands, width, frame)
    n = np.empty((bands, width), f32)
    n[0::2], n[1::2] = normal_pair(word[0::2], word[1::2])
    return n[:height]


def poisson_high(rate: Array, n: Array) -> Array:
    """Counts at the normal's quantile, for rates of at least 16."""
    root = np.sqrt(rate)
    inverse_root = f32(1) / root
    s = n * inverse_root
    p = polynomial(
        s, 0.0005536106, -0.00060310937, -2.244667e-05, -0.0011438316, 0.003935096, -0.013940902,
        0.1666515,
    )  # fmt: skip
    c0 = polynomial(
        s, 0.0010448179, 0.0016097039, -0.0032304614, 0.008402437, -0.027741786, 0.3333432
    )
    c1 = polynomial(s, -0.012865625, 0.017709587, -0.019826496) * (inverse_root * inverse_root)
    whole = rate.astype(np.int32)
    rest = (rate - whole.astype(f32)) + (n * root + (n * n * p + (c0 + c1)))
    return np.maximum(whole + np.floor(rest).astype(np.int32), 0)


def poisson_low(rate: Array, word: Array) -> Array:
    """Counts by summing the probabilities, in units of 2^-30, for rates below 16."""
    probability = exp_negative(rate) * f32(2.0**30)
    uniform_word = (word >> np.uint32(2)).astype(np.int32)
    total = np.zeros(rate.shape, np.int32)
    count = np.zeros(rate.shape, np.int32)
    for step in range(1, 65):
        part = probability.astype(np.int32)
        total = total + part
        more = (uniform_word >= total) & (part > 0)
        count = count + more
        if not more.any():
            break
        probability *= rate * (f32(1) / f32(step))
    return count


# ---- noise: (values [h w], normals, words, full scale, strength, salt_vs_pepper) -> values ---


def gaussian(x: Array, n: Array, word: Array, full: f32, std: f32, salt: f32) -> Array:
    """Formula: x + std * full * n."""
    return x + (std * full) * n


def speckle(x: Array, n: Array, word: Array, full: f32, std: f32, salt: f32) -> Array:
    """Formula: x + x * std * n."""
    return x + x * (std * n)


def salt_pepper(x: Array, n: Array, word: Array, full: f32, amount: f32, salt: f32) -> Array:
    """With probability amount: full scale (share salt) or 0."""
    u = uniform(word)
    return np.where(u < amount, np.where(u < amount * salt, full, f32(0)), x)


def poisson(x: Array, n: Array, word: Array, full: f32, peak: f32, salt: f32) -> Array:
    """Formula: Poisson(peak * x / full) / peak * full."""
    if not peak <= 2.0**30:
        return x
    rate = clip(x, full) * (peak / full)
    low = rate < f32(16)
    count = np.where(
        low,
        poisson_low(np.where(low, rate, f32(0)), word),
        poisson_high(np.where(low, f32(16), rate), n),
    )
    return count.astype(f32) * (full / peak)


NOISES: dict[str, Callable[..., Array]] = {
    "gaussian": gaussian,
    "speckle": speckle,
    "salt_pepper": salt_pepper,
    "poisson": poisson,
}


# ---- pixel types ---------------------------------------------------------------------------


def full_scale(dtype: Any) -> f32:
    """Upper end of the value range: M."""
    dtype = np.dtype(dtype)
    return f32(np.iinfo(dtype).max) if dtype.kind == "u" else f32(1)


def value_ranges(limits: Any, source: Any, target: Any) -> tuple[tuple[f32, f32], ...]:
    """(low, high) of an input and an output: black and full scale in each one's own unit."""
    kinds = {"integer" if np.dtype(dtype).kind == "u" else "float" for dtype in (source, target)}
    kept = np.dtype(source) == np.dtype(target) or kinds == {"float"}
    default = [(f32(0), full_scale(dtype)) for dtype in (source, target)]
    given = default[0] if limits is None else (f32(limits[0]), f32(limits[1]))
    return given, given if kept else default[1]


def clip(x: Array, high: f32, low: f32 = f32(0)) -> Array:  # noqa: B008  # a constant
    """To [low, high]; NaN becomes low."""
    above = np.where(x > low, x, low)
    return np.where(above < high, above, high)


def after_noise(x: Array, before: Array, after: Array, low: f32, high: f32) -> Array:
    """Values of x whose height above black went from before to after; those untouched stay."""
    full = high - low
    height = clip(after, full)
    moved = np.where(height < full, height + low, high)
    return clip(np.where(after == before, x, moved), high, low)


def store(x: Array, dtype: Any) -> Array:
    """Round half to even for integers; one positive quiet NaN for floats."""
    dtype = np.dtype(dtype)
    if dtype.kind == "u":
        return np.rint(x).astype(dtype)
    return np.where(np.isnan(x), f32(np.nan), x).astype(dtype)


def rescale(x: Array, source: tuple[f32, f32], target: tuple[f32, f32]) -> Array:
    """From one value range to another."""
    if source == target:
        return x
    m_in, m_out = source[1] - source[0], target[1] - target[0]
    x = x - source[0]
    if m_in == m_out:
        return x
    return x / m_in if m_out == 1 else clip(x * m_out / m_in, m_out)


# ---- step 1: thumbnail -----------------------------------------------------------------------


def nearest_exact(n_src: int, n_dst: int) -> NDArray[np.int64]:
    """Source index of each output pixel: floor((2 i + 1) n_src / (2 n_dst)), in integers."""
    return (2 * np.arange(n_dst) + 1) * n_src // (2 * n_dst)


def taps(n_src: int, n_dst: int) -> tuple[Array, Array, Array]:
    """Both source indices of each output pixel, pixel centres at half-integers, and the rest.

    The weight of the second one is rest / (2 n_dst), and at the edges 0.
    """
    position = (2 * np.arange(n_dst) + 1) * n_src - n_dst
    first = np.maximum(position, 0) // (2 * n_dst)
    rest = np.maximum(position, 0) % (2 * n_dst)
    return first, np.minimum(first + 1, n_src - 1), np.where(first + 1 < n_src, rest, 0)


def bilinear(rows: Array, n_dst: int) -> Array:
    """Resize the first axis of float32 rows [n_src ...]."""
    first, second, rest = taps(len(rows), n_dst)
    weight = rest.astype(f32) / f32(2 * n_dst)
    weight = weight.reshape(-1, *(1,) * (rows.ndim - 1))
    a, b = rows[first], rows[second]
    return np.where(weight > 0, a + (b - a) * weight, a)


def fixed_bilinear(rows: Array, n_dst: int) -> Array:
    """Resize the first axis of rows in 64ths of grey levels: weights of 15 bits, half up."""
    first, second, rest = taps(len(rows), n_dst)
    weight = np.minimum((rest * 2**15 + n_dst) // (2 * n_dst), 2**15 - 1)
    weight = weight.reshape(-1, *(1,) * (rows.ndim - 1))
    return (rows[first] * (2**15 - weight) + rows[second] * weight + 2**14) >> 15


def bilinear_bytes(image: Array, height: int, width: int) -> Array:
    """Resize uint8 [h w c] in integers, along the rows first."""
    across = fixed_bilinear(64 * image.astype(np.int64).transpose(1, 0, 2), width)
    return ((fixed_bilinear(across.transpose(1, 0, 2), height) + 32) >> 6).astype(np.uint8)


def triangle(rows: Array, n_dst: int) -> Array:
    """As bilinear, for n_dst < n_src, with the filter widened by n_src / n_dst."""
    n_src = len(rows)
    out = np.zeros((n_dst, *rows.shape[1:]), f32)
    j = np.arange(n_src)
    for i in range(n_dst):
        weight = 2 * n_src - np.abs((2 * j + 1) * n_dst - (2 * i + 1) * n_src)
        inside = np.flatnonzero(weight > 0)
        total = f32(weight[inside].sum())
        for tap in inside:
            out[i] = out[i] + f32(weight[tap]) / total * rows[tap]
    return out


def resize(rows: Array, n_dst: int, antialias: bool) -> Array:
    """Resize the first axis."""
    return triangle(rows, n_dst) if antialias and n_dst < len(rows) else bilinear(rows, n_dst)


def thumbnail(
    image: Array, mask: Array, window: Sequence[int], place: Sequence[int],
    canvas: tuple[int, int], antialias: bool, dtype: Any, value_range: Any = None,
) -> tuple[Array, Array]:  # fmt: skip
    """Window of image [h w c] and mask [h w] to its place on the canvas, both (x, y, w, h)."""
    x0, y0, width, height = (int(v) for v in window)
    image, mask = image[y0 : y0 + height, x0 : x0 + width], mask[y0 : y0 + height, x0 : x0 + width]
    x, y, w, h = (int(v) for v in place)
    ranges = value_ranges(value_range, image.dtype, dtype)
    canvas_image = np.full((*canvas, image.shape[-1]), store(np.array(ranges[1][0]), dtype))
    canvas_mask = np.zeros(canvas, mask.dtype)
    if w and h:
        if (height, width) == (h, w) and image.dtype == dtype:
            small = image
        elif image.dtype == dtype == np.uint8 and not (antialias and (h < height or w < width)):
            small = bilinear_bytes(image, h, w)
        else:
            column = resize(image.astype(f32), h, antialias)
            resized = resize(column.transpose(1, 0, 2), w, antialias).transpose(1, 0, 2)
            small = store(rescale(resized, *ranges), dtype)
        canvas_image[y : y + h, x : x + w] = small
        canvas_mask[y : y + h, x : x + w] = mask[nearest_exact(height, h)][
            :, nearest_exact(width, w)
        ]
    return canvas_image, canvas_mask


# ---- the whole method --------------------------------------------------------------------------


def region_of_interest(mask: Array, labels: Sequence[int] | None) -> NDArray[np.bool_]:
    """Pixels whose label is one of ``labels``; by default any but 0."""
    return (
        mask != 0 if labels is None else np.isin(mask, np.array(labels, object).astype(mask.dtype))
    )


def apply(plan: Any, images: Sequence[Array], masks: Sequence[Array], dtype: Any = None) -> Any:
    """Do to each sample what the plan says.

    Parameters
    ----------
    plan : sasaug.Plan
    images : n arrays [h w c] or [h w], or one array [n h w c] or [n h w]
        Where ``plan.frames``: clips, [t h w c] or [t h w].
    masks : n arrays [h w], or one array; clips: [t h w]
    dtype : image type of the output; default the input's

    Returns
    -------
    images [n h w c] or [n h w], masks [n h w], on the canvas
        Clips: [n t h w c] or [n t h w], and [n t h w]; of different lengths: lists.
    """
    dtype = np.dtype(dtype or images[0].dtype)
    pairs = []
    for sample, image, mask in zip(plan.samples, images, masks, strict=True):
        if plan.frames:
            frames = [
                _apply_one(plan, sample, x, y, dtype, frame)
                for frame, (x, y) in enumerate(zip(image, mask, strict=True))
            ]
            pairs.append((np.stack([x for x, _ in frames]), np.stack([y for _, y in frames])))
        else:
            pairs.append(_apply_one(plan, sample, image, mask, dtype, 0))
    x, y = [x for x, _ in pairs], [y for _, y in pairs]
    if len({len(mask) for mask in y}) > 1:
        return x, y
    return np.stack(x), np.stack(y)


def _apply_one(
    plan: Any, sample: Any, image: Array, mask: Array, dtype: Any, frame: int
) -> tuple[Array, Array]:
    """What the plan says of one sample, for an image or for one frame of a clip."""
    low, high = value_ranges(plan.value_range, image.dtype, dtype)[1]
    height, width = plan.canvas
    planar = image[..., None] if image.ndim == 2 else image
    with np.errstate(all="ignore"):
        x, y = thumbnail(
            planar, mask, sample["window"], sample["thumbnail"],
            plan.canvas, plan.antialias, dtype, plan.value_range,
        )  # fmt: skip
        if sample["noise"] >= 0:
            noise = NOISES[list(NOISES)[sample["noise"]]]
            roi = region_of_interest(y, plan.labels)
            for k in range(x.shape[-1]):
                channel = k if plan.per_channel else 0
                where = (plan.seed, int(sample["id"]))
                n = canvas_normals(*where, channel, height, width, frame)
                word = canvas_words(*where, UNIFORM, channel, height, width, frame)
                clean = x[..., k].astype(f32)
                value = noise(
                    clean - low, n, word,
                    high - low, f32(sample["strength"]), f32(plan.salt_vs_pepper),
                )  # fmt: skip
                value = after_noise(clean, clean - low, value, low, high)
                x[..., k] = np.where(roi, store(value, dtype), x[..., k])
    return x if image.ndim == 3 else x[..., 0], y


def largest_side(width: int, height: int, canvas: tuple[int, int]) -> int:
    """S: by trial, the largest longer side whose thumbnail fits the canvas."""
    if 0 in (width, height, *canvas):
        return 0
    return max(
        side
        for side in range(1, max(canvas) + 1)
        if all(
            a <= b for a, b in zip(thumbnail_size(width, height, side), canvas[::-1], strict=True)
        )
    )


def thumbnail_size(width: int, height: int, side: int) -> tuple[int, int]:
    """(width, height) of the thumbnail of a window; the shorter side rounds half up, at least 1."""
    shorter = max(
        1, (2 * side * min(width, height) + max(width, height)) // (2 * max(width, height))
    )
    return (side, shorter) if width >= height else (shorter, side)


def keeps(window: Sequence[int], side: int, area: int, least_roi: int, frames: int = 1) -> bool:
    """Whether ``area`` pixels of the window's frames are ``least_roi`` of the thumbnail's each."""
    width, height = thumbnail_size(window[2], window[3], side)
    return area * width * height >= least_roi * window[2] * window[3] * frames


def plan(
    masks: Sequence[Array],
    canvas: tuple[int, int],
    seed: int,
    ids: Sequence[int],
    windows: Sequence[Sequence[int]] | None = None,
    thumbnail: tuple[float, float] | None = (0.25, 1.0),
    position: str = "center",
    noise: Mapping[str, tuple[float, float]] | None = None,
    p: float = 0.5,
    small_fraction: float = 0.03,
    apply_to: str = "large",
    labels: Sequence[int] | None = None,
    least_roi: int = 0,
) -> list[dict[str, Any]]:
    """What ``SAS(...).plan`` draws, as ``Plan.rows`` tells it; ``noise`` holds the ranges.

    Masks [t h w] are those of clips.
    """
    rows = []
    for s, mask in enumerate(masks):
        what, where = (words(seed, int(ids[s]), PLAN, 0, block) for block in (0, 1))
        height, width = mask.shape[-2:]
        frames = len(mask) if mask.ndim == 3 else 1
        window = (0, 0, width, height) if windows is None else tuple(int(v) for v in windows[s])
        area = int(region_of_interest(mask, labels).sum())
        large = area > small_fraction * mask.size
        transformed = (large or apply_to == "all") and bool(uniform(what[0]) < f32(p))

        side = largest_side(window[2], window[3], canvas)
        if transformed and thumbnail is not None and side:
            low, high = (
                max(1, min(side, int(v * side + 0.5) if isinstance(v, float) else v))
                for v in thumbnail
            )
            sides = [v for v in range(low, high + 1) if keeps(window, v, area, least_roi, frames)]
            side = sides[uniform_integer(what[2], len(sides))] if sides else side
        w, h = thumbnail_size(window[2], window[3], side) if side else (0, 0)
        free = (canvas[1] - w, canvas[0] - h)
        corner = {
            "center": (free[0] // 2, free[1] // 2),
            "random": tuple(uniform_integer(where[k], free[k] + 1) for k in range(2)),
            "top_left": (0, 0),
            "top_center": (free[0] // 2, 0),
        }[position]

        row: dict[str, Any] = {
            "id": int(ids[s]), "transformed": transformed, "window": list(window),
            "thumbnail": [*corner, w, h], "noise": None, "strength": None,
        }  # fmt: skip
        ranges = [(name, (noise or {})[name]) for name in NOISES if name in (noise or {})]
        if transformed and ranges:
            name, (low_, high_) = ranges[uniform_integer(what[1], len(ranges))]
            strength = f32(low_) + (f32(high_) - f32(low_)) * uniform(what[3])
            row.update(noise=name, strength=float(str(strength)))
        rows.append(row)
    return rows
