"""sasaug.torch on clips: the module and the ops, their fake kernels, lists of different lengths."""

from __future__ import annotations

import numpy as np
import pytest

import sasaug

torch = pytest.importorskip("torch")

import sasaug.torch  # noqa: E402  # only where there is a torch to import


def clips(n: int = 2, t: int = 3, c: int = 2, h: int = 20, w: int = 26):
    images = np.random.default_rng(0).integers(0, 256, (n, c, t, h, w), np.uint8)
    masks = np.zeros((n, t, h, w), np.int64)
    masks[..., 4:15, 5:20] = 1
    return torch.from_numpy(images), torch.from_numpy(masks)


def same(a, b) -> bool:
    return all(
        p.dtype == q.dtype and p.shape == q.shape and torch.equal(p, q)
        for p, q in zip(a, b, strict=True)
    )


SETTINGS = {"canvas": (24, 32), "p": 1.0, "frames": True}
SHAPES = {
    "channels first": lambda x, y: (x, y, {}),
    "channels last": lambda x, y: (x.movedim(1, -1), y, {"channels": "last"}),
    "grey": lambda x, y: (x[:, 0], y, {}),
    "one clip": lambda x, y: (x[0], y[0], {}),
    "one grey clip": lambda x, y: (x[0, 0], y[0], {}),
    "a channel axis of the masks": lambda x, y: (x, y[:, None], {}),
    "a list": lambda x, y: (list(x), list(y), {}),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_module_gives_the_functions_bytes(shape):
    """The fake kernel's shapes, too: opcheck compares them with the real ones."""
    x, y, options = SHAPES[shape](*clips())
    settings = sasaug.SAS(**SETTINGS, **options)
    module = sasaug.torch.SAS(settings)
    assert same(module(x, y, seed=5, ids=None), settings(x, y, seed=5))
    ragged = isinstance(x, list)
    given = (x, y) if ragged else ([x], [y])
    torch.library.opcheck(torch.ops.sasaug.sas, (*given, ragged, settings.to_json(), 5))


def test_each_step_is_an_op_for_clips():
    x, y = clips()
    small = sasaug.torch.thumbnail(x, y, [9, 12], canvas=(24, 32), frames=True)
    assert same(small, sasaug.thumbnail(x, y, [9, 12], canvas=(24, 32), frames=True))
    noisy = sasaug.torch.noise(x, y, "speckle", [0.1, 0.2], seed=3, frames=True)
    assert same([noisy], [sasaug.speckle(x, y, [0.1, 0.2], seed=3, frames=True)])
    sides = torch.tensor([9, 12])
    options = {"canvas": [24, 32], "frames": True}
    torch.library.opcheck(torch.ops.sasaug.thumbnail, (x, y, sides, "center", 3), options)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("ids", [None, [7, 2**63 + 1]])
def test_lists_of_different_lengths(last, ids):
    x, y = clips()
    images = [x[0], x[1, :, :2]]
    if last:
        images = [clip.movedim(0, -1) for clip in images]
    masks = [y[0], y[1, :2]]
    settings = sasaug.SAS(**SETTINGS, channels="last" if last else "first")
    windows = [[1, 2, 20, 18], [0, 0, 26, 20]]
    got = sasaug.torch.SAS(settings)(images, masks, seed=4, ids=ids, windows=windows)
    expected = settings(images, masks, seed=4, ids=ids, windows=windows)
    assert all(isinstance(arrays, list) for arrays in got)
    assert same(got[0], expected[0]) and same(got[1], expected[1])
    with pytest.raises(ValueError, match="ids must be 2, one per sample, got shape"):
        sasaug.torch.SAS(settings)(images, masks, seed=4, ids=[1])
