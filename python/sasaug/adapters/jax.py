"""One job: SAS for JAX arrays, outside of ``jax.jit`` and inside, with JAX's keys for seeds."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._checks import checked_seed, is_integer
from .._watch import Watch
from ._settings import changed, shows_settings, step_settings, written

__all__ = ["SAS"]


@shows_settings
class SAS:
    """The SAS augmentation (:class:`sasaug.SAS`) of JAX arrays.

    Outside of ``jit`` arrays on the CPU are read where they are, and arrays on a GPU by DLPack
    through cupy or torch, whichever is imported. Inside it is a ``jax.pure_callback``, which runs
    on the host; ``vmap`` calls it once per element. There is no gradient with respect to the
    images.

    Parameters
    ----------
    settings
        Those of :class:`sasaug.SAS`. ``channels`` is "last" by default.

    Raises
    ------
    ValueError, TypeError
        If a setting breaks its rule; the message names it, the rule and the value.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from sasaug.adapters.jax import SAS
    >>> augment = jax.jit(SAS(canvas=256))
    >>> images, masks = jnp.ones((2, 300, 400)), jnp.ones((2, 300, 400), jnp.uint8)
    >>> x, y = augment(images, masks, jax.random.key(7))
    >>> x.shape, y.dtype
    ((2, 256, 256), dtype('uint8'))
    """

    _step = "jax"

    def __init__(self, **settings: Any) -> None:
        self.settings = step_settings(self._step, settings)
        self._watch = Watch(absent=False)  # of which the settings warn

    def __repr__(self) -> str:
        return f"SAS({written(changed(self._step, self.settings))})"

    def __call__(self, images: Any, masks: Any, key: Any, ids: Any = None) -> tuple[Any, Any]:
        """Augment a batch.

        Parameters
        ----------
        images : jax.Array [h w], [n h w], [h w c], [n h w c], [c h w] or [n c h w]
            uint8 and uint16 of their full range, float16, bfloat16 and float32 of [0, 1]. With
            ``frames=True`` clips: [t h w] in the place of [h w].
        masks : jax.Array
            bool or any integer type, of the images' sizes.
        key : key of jax.random, or an integer
            Two 32-bit words, as ``jax.random.key`` makes by default: ``jax.random.key(7)`` is
            sasaug's seed 7.
        ids : jax.Array [n] of an integer type, optional
            Sample ids; default 0..n-1.

        Returns
        -------
        images, masks : jax.Array, on the canvas

        Raises
        ------
        ValueError, TypeError
            Before anything is written; inside ``jit`` of XLA's own type, with the same message.
        """
        words = _words(key)
        arrays = (images, masks, words) if ids is None else (images, masks, words, ids)
        if any(isinstance(array, jax.core.Tracer) for array in arrays):
            channels_last = images.ndim > masks.ndim and self.settings.channels != "first"
            shapes = self._on_canvas(images, -3 if channels_last else -2), self._on_canvas(masks)
            return jax.pure_callback(self._on_host, shapes, *arrays, vmap_method="sequential")
        if isinstance(images, np.ndarray) or images.device.platform == "cpu":
            x, y = self._on_host(*arrays)
            return jnp.asarray(x), jnp.asarray(y)
        ids = None if ids is None else np.asarray(ids)
        x, y = self.settings(images, masks, seed=_seed(words), ids=ids)
        return jnp.from_dlpack(x), jnp.from_dlpack(y)

    def _on_host(self, images: Any, masks: Any, words: Any, ids: Any = None) -> Any:
        images, masks = np.asarray(images), np.asarray(masks)
        if self.settings.noise:
            count = len(masks) if masks.ndim > 2 + self.settings.frames else 1
            self._watch.look(masks, count, self.settings.labels)
        ids = None if ids is None else np.atleast_1d(np.asarray(ids))
        return self.settings(images, masks, seed=_seed(words), ids=ids)

    def _on_canvas(self, array: Any, rows: int = -2) -> jax.ShapeDtypeStruct:
        shape = list(array.shape)
        if self.settings.canvas is not None:
            shape[rows], shape[rows + 1] = self.settings.canvas  # type: ignore[misc]
        return jax.ShapeDtypeStruct(shape, array.dtype)


def _words(key: Any) -> Any:
    """Return the two words of a key or an integer, the upper first."""
    if is_integer(key):
        return np.array([checked_seed(key) >> 32, key & 0xFFFFFFFF], np.uint32)
    if isinstance(key, jax.Array) and not key.shape and jnp.issubdtype(key.dtype, jnp.integer):
        upper = key >> 32 if key.dtype.itemsize == 8 else jnp.zeros_like(key)
        return jnp.stack([upper, key]).astype(np.uint32)
    typed = isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    words = jax.random.key_data(key) if typed else key
    if getattr(words, "shape", None) != (2,) or words.dtype != np.uint32:
        raise TypeError(f"key must be a key of jax.random of two words, or an integer, got {key!r}")
    return words


def _seed(words: Any) -> int:
    upper, lower = (int(word) for word in np.asarray(words))
    return upper << 32 | lower
