"""sasaug.adapters.jax: eager, compiled, mapped, and inside a training step."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest

import samples
import sasaug
from cases import disc, same_bytes
from samples import SETTINGS

jax = samples.host("jax")
import jax.numpy as jnp  # noqa: E402

from sasaug.adapters.jax import SAS  # noqa: E402
from sasaug.adapters.loader import SampleIds  # noqa: E402

TYPES = ["uint8", "uint16", "float16", "bfloat16", "float32"]


def batch(dtype: str = "uint8", shape: tuple[int, ...] = (3, 60, 50)):
    scale = 250 if dtype.startswith("u") else 1
    images = (np.random.default_rng(0).random(shape) * scale).astype(jnp.dtype(dtype))
    return images, disc(3, 60)[:, :, 5:55].astype(np.int32)


@pytest.mark.parametrize("dtype", TYPES)
def test_output_is_that_of_sasaug(dtype):
    images, masks = batch(dtype)
    call = jax.jit(SAS(**SETTINGS)) if dtype in ("uint8", "bfloat16") else SAS(**SETTINGS)
    x, y = call(jnp.asarray(images), jnp.asarray(masks), jax.random.key(7))
    x_, y_ = sasaug.sas(images, masks, seed=7, **SETTINGS)
    assert isinstance(x, jax.Array) and isinstance(y, jax.Array)
    assert same_bytes(np.asarray(x), x_) and same_bytes(np.asarray(y), y_)


@pytest.mark.parametrize("channels", ["first", "last", None])
def test_layouts(channels):
    shape = (3, 2, 60, 50) if channels == "first" else (3, 60, 50, 2)
    images, masks = batch(shape=shape)
    augment = SAS(**SETTINGS, channels=channels)
    for pair in ((images, masks), (images[0], masks[0])):
        x_, y_ = sasaug.sas(*pair, seed=7, channels=channels, **SETTINGS)
        for call in (augment, jax.jit(augment)):
            x, y = call(*map(jnp.asarray, pair), 7)
            assert same_bytes(np.asarray(x), x_) and same_bytes(np.asarray(y), y_)


@pytest.mark.parametrize("channels", ["first", "last", None])
def test_clips(channels):
    images, masks = batch(shape=(3, 60, 50))
    images, masks = (np.stack([array] * 2) for array in (images, masks))  # [n t h w]
    clips = np.stack([images] * 2, 1 if channels == "first" else -1)
    augment = SAS(**SETTINGS, channels=channels, frames=True)
    for pair in ((images, masks), (clips, masks), (images[0], masks[0]), (clips[0], masks[0])):
        x_, y_ = sasaug.sas(*pair, seed=7, channels=channels, frames=True, **SETTINGS)
        for call in (augment, jax.jit(augment)):
            x, y = call(*map(jnp.asarray, pair), 7)
            assert same_bytes(np.asarray(x), x_) and same_bytes(np.asarray(y), y_)


def test_keys_are_seeds():
    images, masks = (jnp.asarray(array) for array in batch())
    augment = jax.jit(SAS(**SETTINGS))
    key = jax.random.split(jax.random.key(3))[1]
    upper, lower = (int(word) for word in jax.random.key_data(key))
    expected = sasaug.sas(*batch(), seed=upper << 32 | lower, **SETTINGS)[0]
    for same in (key, jax.random.key_data(key)):
        assert np.array_equal(augment(images, masks, same)[0], expected)
    expected = sasaug.sas(*batch(), seed=2**31 - 3, **SETTINGS)[0]
    assert np.array_equal(augment(images, masks, 2**31 - 3)[0], expected)
    with jax.enable_x64():
        wide = jnp.asarray(2**33 + 5)
        expected = sasaug.sas(*batch(), seed=2**33 + 5, **SETTINGS)[0]
        assert np.array_equal(augment(images, masks, wide)[0], expected)
    wide = 2**63 + 5
    expected = sasaug.sas(*batch(), seed=wide, **SETTINGS)[0]
    assert np.array_equal(SAS(**SETTINGS)(images, masks, wide)[0], expected)


def test_ids_name_the_samples():
    images, masks = (jnp.asarray(array) for array in batch())
    ids = jnp.array([9, 4, 7])
    x_, _ = sasaug.sas(*batch(), seed=7, ids=[9, 4, 7], **SETTINGS)
    for call in (SAS(**SETTINGS), jax.jit(SAS(**SETTINGS))):
        assert np.array_equal(call(images, masks, 7, ids)[0], x_)
        assert np.array_equal(call(images[1:2], masks[1:2], 7, ids[1:2])[0], x_[1:2])


def test_it_maps_over_samples():
    images, masks = (jnp.asarray(array) for array in batch())
    augment = SAS(**SETTINGS)
    x, y = jax.vmap(lambda image, mask, id: augment(image, mask, 7, id))(
        images, masks, jnp.arange(3)
    )
    x_, y_ = sasaug.sas(*batch(), seed=7, **SETTINGS)
    assert np.array_equal(x, x_) and np.array_equal(y, y_)


def test_inside_a_training_step():
    """A scan over batches that augments, takes a gradient and steps, all of it compiled."""
    images, masks = batch("float32")
    augment = SAS(canvas=(60, 50), p=1.0)

    @jax.jit
    def train(weight, key):
        def step(weight, key):
            x, y = augment(jnp.asarray(images), jnp.asarray(masks), key)

            def loss(weight):
                return jnp.mean((weight * x - y) ** 2)

            value, gradient = jax.value_and_grad(loss)(weight)
            return weight - 0.1 * gradient, value

        return jax.lax.scan(step, weight, jax.random.split(key, 4))

    weight, losses = train(jnp.float32(0), jax.random.key(1))
    value, expected = 0.0, []
    for words in np.asarray(jax.random.key_data(jax.random.split(jax.random.key(1), 4))):
        seed = int(words[0]) << 32 | int(words[1])
        x, y = sasaug.sas(images, masks, seed=seed, canvas=(60, 50), p=1.0)
        expected.append(np.mean((value * x - y) ** 2))
        value -= 0.1 * np.mean(2 * (value * x - y) * x)
    assert np.allclose(losses, expected, rtol=1e-4) and np.isclose(weight, value, rtol=1e-4)


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_clips_from_two_workers(start):
    """Two epochs of a loader, as the page has it; the workers do not touch JAX."""
    torch = pytest.importorskip("torch")
    clips = samples.BrightClips()
    how = {"canvas": 48, "p": 1.0, "noise": {"gaussian": (0.05, 0.05)}, "frames": True}
    augment = jax.jit(SAS(**how))

    def epochs(**workers):
        options = {"batch_size": 2, "sampler": SampleIds(len(clips)), **workers}
        with warnings.catch_warnings():  # torch's own advice about the machine's cores
            warnings.filterwarnings("ignore", message=".*worker processes")
            loader = torch.utils.data.DataLoader(clips, **options)
            batches = [batch for _ in range(2) for batch in loader]
        made = []
        for x, y, ids in batches:
            x, y = augment(jnp.asarray(x), jnp.asarray(y), 9, jnp.asarray(ids))
            made += zip(ids.tolist(), np.asarray(x), np.asarray(y), strict=True)
        return made

    alone = epochs()
    workers = epochs(num_workers=2, multiprocessing_context=start, persistent_workers=True)
    assert [id for id, _, _ in workers] == [id for id, _, _ in alone]
    assert len({x.tobytes() for _, x, _ in workers}) == len(workers) == 2 * len(clips)
    for (id, x, y), (_, x_, y_) in zip(workers, alone, strict=True):
        assert same_bytes(x, x_) and same_bytes(y, y_)
        assert ((x > 120) == (y > 0)).mean() > 0.97 and (y > 0).mean() > 0.01, id
        image, mask, _ = clips[id]
        x_, y_ = sasaug.sas(image[None], mask[None], seed=9, ids=[id], **how)
        assert same_bytes(x, x_[0]) and same_bytes(y, y_[0])

    @jax.jit
    def loss(weight, images, masks, ids):
        x, y = augment(images, masks, 9, ids)
        return jnp.mean((weight * x / 255 - y) ** 2)

    images, masks, ids = (jnp.stack([clips[id][k] for id in (3, 7)]) for k in range(3))
    before, slope = jax.value_and_grad(loss)(0.0, images, masks, ids)  # a training step
    assert slope < 0 and loss(-0.1 * slope, images, masks, ids) < before


@pytest.mark.parametrize("key", [None, 0.5, np.zeros(3, np.uint32), np.zeros(2, np.int32)])
def test_what_is_no_key_is_refused(key):
    with pytest.raises(TypeError, match=r"key must be a key of jax\.random .* or an integer"):
        SAS()(*(jnp.asarray(array) for array in batch()), key)


def test_errors_are_sasaugs():
    images, masks = (jnp.asarray(array) for array in batch())
    with pytest.raises(ValueError, match=r"p must be in \[0, 1\], got 2"):
        SAS(p=2)
    with pytest.raises(ValueError, match=r"masks must have the images' size"):
        SAS()(images, masks[:, 1:], 7)
    with pytest.raises(Exception, match=r"masks must have the images' size"):
        jax.block_until_ready(jax.jit(SAS())(images, masks[:, 1:], 7))
    with pytest.raises(ValueError, match=r"seed must be in \[0, 2\^64\), got -1"):
        SAS()(images, masks, -1)


def test_it_tells_and_keeps_its_settings():
    augment = SAS(canvas=32, p=0.25)
    copy = pickle.loads(pickle.dumps(augment))
    assert copy.settings == augment.settings and "canvas=(32, 32)" in repr(copy)
