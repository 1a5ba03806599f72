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
    """Noise on values of [0, 1], float32 or float64, gathered or a whole frame."""
    if kind == "gaussian":
        return v + v.dtype.type(strength) * rng.standard_normal(v.shape, v.dtype)
    if kind == "speckle":
        return v + v * v.dtype.type(strength) * rng.standard_normal(v.shape, v.dtype)
    if kind == "salt_pepper":
        u = rng.random(v.shape, v.dtype)
        return np.where(u < strength, (u < strength / 2).astype(v.dtype), v)
    return rng.poisson(strength * np.maximum(v, 0)) / strength


def to_type(v: Any, dtype: Any) -> Any:
    v = np.clip(v, 0, 1)
    return np.rint(v * 255).astype(np.uint8) if dtype == np.uint8 else v


def gathered(plan: sasaug.Plan, images: Any, masks: Any, work: Any) -> tuple[Any, Any]:
    rng = np.random.default_rng(plan.seed)
    out, labels = np.empty_like(images), np.empty_like(masks)
    full = 255 if images.dtype == np.uint8 else 1
    for s, row in enumerate(plan.rows()):
        canvas, label = thumbnail(row, images[s], masks[s])
        roi = label != 0
        v = canvas[roi].astype(work) / work(full)
        canvas[roi] = to_type(numpy_noise(row["noise"], row["strength"], v, rng), images.dtype)
        out[s], labels[s] = canvas, label
    return out, labels


def opencv_numpy(plan: sasaug.Plan, images: Any, masks: Any) -> tuple[Any, Any]:
    """The loop a competent user writes: noise for the mask's pixels alone, in NumPy's float64."""
    return gathered(plan, images, masks, np.float64)


def opencv_numpy_float32(plan: sasaug.Plan, images: Any, masks: Any) -> tuple[Any, Any]:
    """The same by a user who knows that NumPy draws float32 normals faster."""
    return gathered(plan, images, masks, np.float32)


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
    "OpenCV + NumPy, gathered, in float32": opencv_numpy_float32,
    "OpenCV + NumPy, whole frame": opencv_numpy_whole_frame,
    "OpenCV + scikit-image random_noise": scikit_image,
}


def copy_into(images: Any, masks: Any, out: tuple[Any, Any]) -> None:
    np.copyto(out[0], images)
    np.copyto(out[1], masks)


def ours_into(images: Any, masks: Any, out: tuple[Any, Any]) -> None:
    sasaug.sas(images, masks, seed=1, p=1.0, num_threads=1, out=out)


INTO = {"copy, out=": copy_into, "sasaug, out=": ours_into}
