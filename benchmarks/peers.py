"""One job: whole SAS as others write it, each in its best honest form on one thread.

Every function takes a plan, so that all do the same job: the same samples, sizes, places, kinds and
strengths; only the random numbers differ. `test_sas.py` checks that the pictures agree.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import skimage.util

import sasaug


def copy(plan: sasaug.Plan, images: Any, masks: Any) -> tuple[Any, Any]:
    """The roof: a plain copy of the same bytes into new arrays."""
    return images.copy(), masks.copy()


def ours(plan: sasaug.Plan, images: Any, masks: Any) -> tuple[Any, Any]:
    """The whole call, its own drawing of the plan included."""
    return sasaug.sas(images, masks, seed=plan.seed, p=1.0, num_threads=1)


def thumbnail(row: dict[str, Any], image: Any, mask: Any) -> tuple[Any, Any]:
    """OpenCV resize and paste, image bilinear, mask nearest-exact."""
    x, y, w, h = row["thumbnail"]
    canvas, label = np.zeros_like(image), np.zeros_like(mask)
    canvas[y : y + h, x : x + w] = cv2.resize(image, (w, h), interpolation=cv2.INTER_LINEAR)
    nearest = cv2.INTER_NEAREST_EXACT
    label[y : y + h, x : x + w] = cv2.resize(mask, (w, h), interpolation=nearest)
    return canvas, label


def numpy_noise(kind: str, strength: float, v: Any, rng: np.random.Generator) -> Any:
    """Noise on float32 values of [0, 1], gathered or a whole frame."""
    if kind == "gaussian":
        return v + np.float32(strength) * rng.standard_normal(v.shape, np.float32)
    if kind == "speckle":
        return v + v * np.float32(strength) * rng.standard_normal(v.shape, np.float32)
    if kind == "salt_pepper":
        u = rng.random(v.shape, np.float32)
        return np.where(u < strength, (u < strength / 2).astype(np.float32), v)
    return (rng.poisson(strength * np.maximum(v, 0)) / strength).astype(np.float32)


def to_type(v: Any, dtype: Any) -> Any:
    v = np.clip(v, 0, 1)
    return np.rint(v * 255).astype(np.uint8) if dtype == np.uint8 else v


def opencv_numpy(plan: sasaug.Plan, images: Any, masks: Any) -> tuple[Any, Any]:
    """The loop a competent user writes: noise is drawn for the pixels of the mask alone."""
    rng = np.random.default_rng(plan.seed)
    out, labels = np.empty_like(images), np.empty_like(masks)
    full = np.float32(255 if images.dtype == np.uint8 else 1)
    for s, row in enumerate(plan.rows()):
        canvas, label = thumbnail(row, images[s], masks[s])
        roi = label != 0
        v = canvas[roi].astype(np.float32) / full
        canvas[roi] = to_type(numpy_noise(row["noise"], row["strength"], v, rng), images.dtype)
        out[s], labels[s] = canvas, label
    return out, labels


def opencv_numpy_whole_frame(plan: sasaug.Plan, images: Any, masks: Any) -> tuple[Any, Any]:
    """What most people write: noise on the whole frame, then `where`."""
    rng = np.random.default_rng(plan.seed)
    out, labels = np.empty_like(images), np.empty_like(masks)
    full = np.float32(255 if images.dtype == np.uint8 else 1)
    for s, row in enumerate(plan.rows()):
        canvas, label = thumbnail(row, images[s], masks[s])
        v = canvas.astype(np.float32) / full
        noisy = to_type(numpy_noise(row["noise"], row["strength"], v, rng), images.dtype)
        out[s], labels[s] = np.where(label != 0, noisy, canvas), label
    return out, labels


def scikit_image(plan: sasaug.Plan, images: Any, masks: Any) -> tuple[Any, Any]:
    """skimage.util.random_noise on the whole frame, then `where`; its Poisson has no strength."""
    rng = np.random.default_rng(plan.seed)
    out, labels = np.empty_like(images), np.empty_like(masks)
    for s, row in enumerate(plan.rows()):
        canvas, label = thumbnail(row, images[s], masks[s])
        kind, strength = row["noise"], row["strength"]
        options: dict[str, Any] = {"var": strength**2}
        if kind == "salt_pepper":
            kind, options = "s&p", {"amount": strength}
        elif kind == "poisson":
            options = {}
        noisy = skimage.util.random_noise(canvas, kind, rng=rng, **options).astype(np.float32)
        out[s] = np.where(label != 0, to_type(noisy, images.dtype), canvas)
        labels[s] = label
    return out, labels


CONTENDERS = {
    "copy": copy,
    "sasaug": ours,
    "OpenCV + NumPy, gathered in the mask": opencv_numpy,
    "OpenCV + NumPy, whole frame": opencv_numpy_whole_frame,
    "OpenCV + scikit-image random_noise": scikit_image,
}


def copy_into(images: Any, masks: Any, out: tuple[Any, Any]) -> None:
    np.copyto(out[0], images)
    np.copyto(out[1], masks)


def ours_into(images: Any, masks: Any, out: tuple[Any, Any]) -> None:
    sasaug.sas(images, masks, seed=1, p=1.0, num_threads=1, out=out)


INTO = {"copy, out=": copy_into, "sasaug, out=": ours_into}
