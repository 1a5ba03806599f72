"""One job: whole SAS by hand with OpenCV and NumPy, in the four forms that people write."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from .peer import Job, Peer, sample_by_sample

RNG = np.random.default_rng(0)


def thumbnail(row: dict[str, Any], image: Any, mask: Any) -> tuple[Any, Any]:
    """Resize and paste: image bilinear, mask nearest-exact."""
    x, y, w, h = row["thumbnail"]
    canvas, label = np.zeros_like(image), np.zeros_like(mask)
    canvas[y : y + h, x : x + w] = cv2.resize(image, (w, h), interpolation=cv2.INTER_LINEAR)
    nearest = cv2.INTER_NEAREST_EXACT
    label[y : y + h, x : x + w] = cv2.resize(mask, (w, h), interpolation=nearest)
    return canvas, label


def numpy_noise(kind: str, strength: float, v: Any) -> Any:
    """Noise on v of [0, 1], float32 or float64, [k], [k c], [h w] or [h w c]; channels share."""
    shape = v.shape if v.ndim == 1 or v.shape[-1] > 4 else (*v.shape[:-1], 1)
    if kind == "gaussian":
        return v + v.dtype.type(strength) * RNG.standard_normal(shape, v.dtype)
    if kind == "speckle":
        return v + v * (v.dtype.type(strength) * RNG.standard_normal(shape, v.dtype))
    if kind == "salt_pepper":
        u = RNG.random(shape, v.dtype)
        return np.where(u < strength, (u < strength / 2).astype(v.dtype), v)
    return RNG.poisson(strength * np.maximum(v, 0)) / strength


def to_type(v: Any, dtype: Any) -> Any:
    v = np.clip(v, 0, 1)
    return np.rint(v * 255).astype(np.uint8) if dtype == np.uint8 else v


def whole_frame_noise(row: dict[str, Any], canvas: Any, label: Any) -> Any:
    full = np.float32(255 if canvas.dtype == np.uint8 else 1)
    v = canvas.astype(np.float32) / full
    noisy = to_type(numpy_noise(row["noise"], row["strength"], v), canvas.dtype)
    roi = label != 0
    return np.where(roi if canvas.ndim == 2 else roi[..., None], noisy, canvas)


def gathered_noise(work: Any) -> Any:
    def noise(row: dict[str, Any], canvas: Any, label: Any) -> Any:
        roi = label != 0
        v = canvas[roi].astype(work) / work(255 if canvas.dtype == np.uint8 else 1)
        canvas[roi] = to_type(numpy_noise(row["noise"], row["strength"], v), canvas.dtype)
        return canvas

    return noise


def box_noise(row: dict[str, Any], canvas: Any, label: Any) -> Any:
    """Saturating arithmetic of OpenCV on the mask's bounding box; Poisson by NumPy, gathered."""
    kind, strength = row["noise"], row["strength"]
    if kind == "poisson":
        return gathered_noise(np.float32)(row, canvas, label)
    x, y, w, h = cv2.boundingRect(label)
    if w == 0:
        return canvas
    box, roi = canvas[y : y + h, x : x + w], label[y : y + h, x : x + w]
    full, depth = (255, cv2.CV_8U) if canvas.dtype == np.uint8 else (1, cv2.CV_32F)
    if kind == "salt_pepper":
        words = np.empty((h, w), np.uint16)
        cv2.randu(words, 0, 65536)
        words[roi == 0] = 65535
        box[words < round(65536 * strength)] = 0
        box[words < round(32768 * strength)] = full
        return canvas
    numbers = np.empty((h, w), np.float32)
    if kind == "gaussian":
        cv2.randn(numbers, 0, strength * full)
        numbers = numbers if box.ndim == 2 else cv2.merge([numbers] * box.shape[2])
        noisy = cv2.add(box, numbers, dtype=depth)
    else:
        cv2.randn(numbers, 1, strength)
        numbers = numbers if box.ndim == 2 else cv2.merge([numbers] * box.shape[2])
        noisy = cv2.multiply(box, numbers, dtype=depth)
    if depth == cv2.CV_32F:
        noisy = np.clip(noisy, 0, 1)
    box[...] = np.where(roi if box.ndim == 2 else roi[..., None], noisy, box)
    return canvas


def by(noise: Any) -> Any:
    def run(job: Job) -> tuple[Any, Any]:
        return sample_by_sample(job, thumbnail, noise)

    return run


BOX = Peer(
    by(box_noise),
    "the strongest loop we know: `cv2.randn` and `randu` in the mask's bounding box, from global "
    "state: no sample can be repeated; Poisson by NumPy",
)
THUMBNAIL = Peer(by(None), "`cv2.resize` and paste")
GATHERED = Peer(
    by(gathered_noise(np.float64)),
    "what a competent user writes: numbers for the mask's pixels alone, in NumPy's float64",
)
GATHERED_FLOAT32 = Peer(
    by(gathered_noise(np.float32)), "the same, drawn in float32, which NumPy does faster"
)
WHOLE_FRAME = Peer(
    by(whole_frame_noise), "what most people write: noise everywhere, then `where(mask)`"
)
