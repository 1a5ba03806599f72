"""Clips (frames=True): one draw for all frames, noise of its own in each, on every face."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sasaug
from cases import Case, blob_mask, cases, image, same_bytes
from libraries import Face
from sasaug import reference


@st.composite
def clips(draw: st.DrawFn) -> tuple[Case, int]:
    """A case whose images [n t h w c] and masks [n t h w] are clips of t frames."""
    case = draw(cases(most=45))
    frames = draw(st.sampled_from([1, 2, 3, 5, 0]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, h, w, c = case.images.shape
    images = image(rng, (n, frames, h, w, c), case.images.dtype.name, wild=True)
    masks = blob_mask(rng, (n * frames, h, w), case.masks.dtype.name)
    if frames == 0:
        case.settings["least_roi"] = 0
    clip = replace(
        case,
        images=images,
        masks=masks.reshape(n, frames, h, w),
        settings={**case.settings, "frames": True},
    )
    return clip, frames


@given(drawn=clips())
@settings(max_examples=100)
def test_clips_are_the_references(face: Face, drawn):
    case, _ = drawn
    plan = case.plan(face)
    expected = reference.plan(
        case.masks,
        seed=case.seed,
        ids=case.ids,
        windows=case.windows,
        noise=sasaug.SAS(**case.settings).noise,
        **{
            name: case.settings[name]
            for name in ("canvas", "thumbnail", "position", "p", "apply_to", "labels", "least_roi")
        },
    )
    assert plan.rows() == expected
    if len(plan) == 0:
        return
    x, y = face.apply(plan, case.images, case.masks, dtype=case.dtype, check_values=False)
    if 0 in case.masks.shape[:2]:
        assert x.shape == (*case.images.shape[:2], *plan.canvas, case.images.shape[-1])
        return
    expected_x, expected_y = reference.apply(plan, case.images, case.masks, case.dtype)
    assert same_bytes(x, expected_x) and same_bytes(y, expected_y)
    x, y = face.SAS(**case.settings)(
        case.images, case.masks, seed=case.seed, ids=case.ids, windows=case.windows,
        dtype=case.dtype,
    )  # fmt: skip
    assert same_bytes(x, expected_x) and same_bytes(y, expected_y)


def some_clips(n: int = 3, t: int = 4, c: int = 2) -> tuple[Any, Any]:
    rng = np.random.default_rng(n + 10 * t + 100 * c)
    masks = blob_mask(rng, (n * t, 24, 31), "uint8").reshape(n, t, 24, 31)
    masks[:, :, 4:14, 5:20] = 1
    return image(rng, (n, t, 24, 31, c), "uint8"), masks


SETTINGS: dict[str, Any] = {"canvas": (29, 36), "p": 1.0, "position": "random"}


def test_a_clip_of_one_frame_is_the_image(face: Face):
    images, masks = some_clips(t=1)
    x, y = face.SAS(**SETTINGS, frames=True)(images, masks, seed=3, ids=[5, 6, 7])
    x1, y1 = face.SAS(**SETTINGS)(images[:, 0], masks[:, 0], seed=3, ids=[5, 6, 7])
    assert same_bytes(x[:, 0], x1) and same_bytes(y[:, 0], y1)


def test_all_frames_share_one_draw_but_not_the_noise(face: Face):
    """A still: every frame has the same thumbnail in the same place, and noise of its own."""
    images, masks = some_clips(t=1)
    still, still_mask = np.repeat(images, 6, 1), np.repeat(masks, 6, 1)
    x, y = face.SAS(**SETTINGS, frames=True)(still, still_mask, seed=3)
    x1, y1 = face.SAS(**SETTINGS)(images[:, 0], masks[:, 0], seed=3)
    assert same_bytes(x[:, 0], x1)  # frame 0 has the numbers of an image
    for frame in range(6):
        assert same_bytes(y[:, frame], y1)
        outside = y1 == 0
        assert same_bytes(x[:, frame][outside], x1[outside])
        for other in range(frame):
            assert all((x[s, frame] != x[s, other]).any() for s in range(len(x)))


def test_size_goes_by_the_mean_of_the_frames():
    """One frame that is full of ROI makes a clip large, or not, as its share of all frames says."""
    masks = np.zeros((2, 40, 10, 10), np.uint8)
    masks[0, 7] = 1  # 2.5 %
    masks[1, 7:9] = 1  # 5 %
    plan = sasaug.SAS(frames=True, p=1.0).plan(masks, seed=0)
    assert plan.samples["transformed"].tolist() == [False, True]


@pytest.mark.parametrize("first", [False, True])
def test_every_shape_of_a_clip(face: Face, first):
    """[n t h w c], [n c t h w], [n t h w], one clip, lists: all give the same values."""
    images, masks = some_clips(c=3)
    channels = "first" if first else "last"
    moved = np.moveaxis(images, -1, 1) if first else images
    sas = face.SAS(**SETTINGS, frames=True, channels=channels)
    x, y = sas(moved, masks, seed=3)
    plain = face.SAS(**SETTINGS, frames=True, channels="last")(images, masks, seed=3)
    assert same_bytes(np.ascontiguousarray(np.moveaxis(x, 1, -1) if first else x), plain[0])
    assert same_bytes(y, plain[1])
    listed = sas(list(moved), list(masks), seed=3)
    assert same_bytes(listed[0], x) and same_bytes(listed[1], y)
    with_axis = sas(moved, masks[:, None] if first else masks[..., None], seed=3)
    assert same_bytes(with_axis[0], x)
    for s in range(len(x)):
        one = sas(moved[s], masks[s], seed=3, ids=[s])
        assert same_bytes(one[0], x[s]) and same_bytes(one[1], y[s])
    grey, _ = face.SAS(**SETTINGS, frames=True, channels=channels)(images[..., 0], masks, seed=3)
    assert same_bytes(grey, np.ascontiguousarray(plain[0][..., 0]))
    single, _ = sas(images[0, ..., 0], masks[0], seed=3)
    assert same_bytes(single, grey[0])


def test_strides_along_the_frames(face: Face):
    images, masks = some_clips(t=8)
    sas = face.SAS(**SETTINGS, frames=True)
    expected = sas(images[:, ::2].copy(), masks[:, ::2].copy(), seed=1)
    views = [images[:, ::2], masks[:, ::2]]
    swapped = [np.swapaxes(np.swapaxes(view, 0, 1).copy(), 0, 1) for view in views]
    reverse = [view[:, ::-1].copy()[:, ::-1] for view in views]
    for pair in (views, swapped, reverse):
        x, y = sas(*pair, seed=1)
        assert same_bytes(x, expected[0]) and same_bytes(y, expected[1])
    out = (np.zeros((4, 3, *expected[0].shape[2:]), np.uint8), np.zeros((4, 3, 29, 36), np.uint8))
    views = [np.swapaxes(array, 0, 1) for array in out]
    sas(images[:, ::2], masks[:, ::2], seed=1, out=tuple(views))
    assert all(same_bytes(v.copy(), e) for v, e in zip(views, expected, strict=True))


def test_clips_of_different_sizes_and_lengths(face: Face):
    """A list; where lengths differ, so do the outputs', and they are what each alone gives."""
    rng = np.random.default_rng(0)
    shapes = [(3, 20, 31), (1, 33, 20), (5, 20, 31)]
    images = [image(rng, shape, "uint8") for shape in shapes]
    masks = [blob_mask(rng, shape, "uint8") for shape in shapes]
    windows = [[1, 2, 15, 16], [0, 0, 20, 33], [3, 3, 17, 9]]
    sas = face.SAS(**{**SETTINGS, "apply_to": "all"}, frames=True)
    given: dict[str, Any] = {"seed": 9, "ids": [4, 4, 6], "windows": windows}
    plan = sas.plan(masks, **given)
    expected = reference.apply(plan, images, masks)
    drawn = sas(images, masks, **given)
    applied = face.apply(plan, images, masks)
    for arrays in (*drawn, *applied):
        assert isinstance(arrays, list)
    for result in (drawn, applied):
        for got, wanted in zip(result, expected, strict=True):
            assert all(same_bytes(a, b) for a, b in zip(got, wanted, strict=True))
    same = sas([image[:1] for image in images], [mask[:1] for mask in masks], **given)
    assert [array.shape for array in same] == [(3, 1, 29, 36)] * 2


def test_each_step_alone(face: Face):
    images, masks = some_clips()
    x, y = face.thumbnail(images, masks, [9, 12, 20], canvas=32, frames=True)
    noisy = face.speckle(images, masks, [0.1, 0.2, 0.3], seed=4, frames=True)
    plan = sasaug.SAS(thumbnail=None, noise=None, frames=True).plan(masks, seed=4)
    for frame in range(images.shape[1]):
        x1, y1 = face.thumbnail(images[:, frame], masks[:, frame], [9, 12, 20], canvas=32)
        assert same_bytes(x[:, frame], x1) and same_bytes(y[:, frame], y1)
    plan.samples["noise"] = sasaug.NOISES.index("speckle")
    plan.samples["strength"] = [0.1, 0.2, 0.3]
    assert same_bytes(noisy, reference.apply(plan, images, masks)[0])


def test_a_plan_of_clips_knows_it():
    images, masks = some_clips()
    plan = sasaug.SAS(**SETTINGS, frames=True).plan(masks, seed=3)
    assert len(plan) == 3 and plan.frames
    again = sasaug.Plan.from_json(plan.to_json())
    assert again == plan and '"frames": true' in plan.to_json()
    assert same_bytes(sasaug.apply(again, images, masks)[0], sasaug.apply(plan, images, masks)[0])
    assert "frames" not in sasaug.SAS(**SETTINGS).plan(masks[:, 0], seed=3).to_json()
    settings = sasaug.SAS(**SETTINGS, frames=True)
    assert sasaug.SAS.from_json(settings.to_json()) == settings


@pytest.mark.parametrize("first", [False, True])
def test_predictions_of_clips_go_back(first):
    """As those of the frames do, each alone; with other sizes, too."""
    images, masks = some_clips()
    channels = "first" if first else "last"
    plan = sasaug.SAS(**SETTINGS, frames=True).plan(masks, seed=3)
    of_frames = replace(plan, frames=False)
    x, y = sasaug.apply(plan, images, masks)
    given = np.moveaxis(x, -1, 1) if first else x
    for sizes in (None, [[24, 31], [30, 40], [24, 33]]):
        back = plan.undo(given, y, sizes=sizes, channels=channels)
        for frame in range(x.shape[1]):
            of_frame = of_frames.undo(x[:, frame], y[:, frame], sizes=sizes)
            for s in range(len(plan)):
                got = np.moveaxis(back[0][s], 0, -1)[frame] if first else back[0][s][frame]
                assert np.array_equal(got, of_frame[0][s])
                assert np.array_equal(back[1][s][frame], of_frame[1][s])
    one = plan[:1].undo(None, y[0])[1]
    assert one.shape == masks.shape[1:] and np.array_equal(one, plan.undo(None, y)[1][0])


def test_the_last_frame_has_numbers_of_its_own():
    """The counter holds 2^16 frames: the first and the last differ from each other and from 1."""
    images = np.full((2**16, 1, 4), 0.5, np.float32)
    x = sasaug.gaussian(images, images > 0, 0.1, seed=1, frames=True)
    frames = {x[f].tobytes() for f in (0, 1, 2**15, 2**16 - 1)}
    assert len(frames) == 4
    plan = sasaug.SAS(thumbnail=None, frames=True).plan(images > 0, seed=1)
    word = reference.words(1, 0, reference.NORMAL, 0, [0], 2**16 - 1)
    assert word.tolist() == sasaug._core.philox4x32([0, 0, 0, 0xFFFF0100], [1, 0])[None].tolist()
    assert len(plan) == 1


def test_values_of_another_unit_name_the_clip():
    images, masks = some_clips(c=1)
    floats = images[..., 0] / np.float32(255)
    floats[1, 3, 4:14, 5:20] *= 200
    sas = sasaug.SAS(**SETTINGS, frames=True)
    with pytest.raises(ValueError, match=r"got 0 to 200 in the ROI of sample 1|sample 1;"):
        sas(floats, masks, seed=3)
    with pytest.raises(ValueError, match="sample 1;"):
        sas([floats[0], floats[1], floats[2][:2]], [masks[0], masks[1], masks[2][:2]], seed=3)


WRONG: dict[str, tuple[Any, Any, dict[str, Any], str]] = {
    "no setting": (
        np.zeros((2, 3, 8, 8, 1), np.uint8), np.zeros((2, 3, 8, 8), np.uint8), {"frames": False},
        "images must have shape [h w], [n h w] or [n h w c] (channels='last'), got (2, 3, 8, 8, 1);"
        " clips need frames=True",
    ),
    "images": (
        np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.uint8), {},
        "images must have shape [t h w], [n t h w] or [n t h w c] (channels='last', frames=True), "
        "got (8, 8); images, which have no frames, need frames=False",
    ),
    "frames differ": (
        np.zeros((2, 3, 8, 8), np.uint8), np.zeros((2, 4, 8, 8), np.uint8), {},
        "masks must have as many frames as the images, 3, got 4",
    ),
    "frames differ in a list": (
        [np.zeros((3, 8, 8), np.uint8)] * 2,
        [np.zeros((3, 8, 8), np.uint8), np.zeros((2, 8, 8), np.uint8)], {},
        "masks[1] must have as many frames as the images, 3, got 2",
    ),
    "channels": (
        np.zeros((2, 3, 8, 8, 5), np.uint8), np.zeros((2, 3, 8, 8), np.uint8), {},
        "images must have 1 to 4 channels, got 5 in shape (2, 3, 8, 8, 5), read as [n t h w c]; if "
        'the channels are first pass channels="first"',
    ),
    "a missing axis": (
        np.zeros((5, 3, 8, 8), np.uint8),
        np.zeros((3, 8, 8), np.uint8),
        {},
        "masks must match the images in number: expected a batch of 5, [n t h w] (5, 3, 8, 8), got "
        "one without a batch axis, [t h w] (3, 8, 8)",
    ),
    "channels first": (
        np.zeros((2, 3, 8, 8), np.uint8),
        np.zeros((3, 8, 8), np.uint8),
        {},
        "masks must match the images in number: expected a batch of 2, [n t h w] (2, 3, 8, 8), got "
        'one without a batch axis, [t h w] (3, 8, 8); channels="first" makes the images one clip '
        "with channels",
    ),
    "too many frames": (
        np.broadcast_to(np.uint8(0), (2**16 + 1, 2, 2)),
        np.broadcast_to(np.uint8(0), (2**16 + 1, 2, 2)), {},
        "images must have at most 65536 frames, and 2^58 pixels, got 65537 frames in shape "
        "(65537, 2, 2), read as [t h w]",
    ),
    "not a flag": (
        np.zeros((3, 8, 8), np.uint8), np.zeros((3, 8, 8), np.uint8), {"frames": 3},
        "frames must be True or False, got 3",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_shapes_are_refused_with_the_right_call(name):
    images, masks, options, message = WRONG[name]
    with pytest.raises((ValueError, TypeError)) as caught:
        sasaug.sas(images, masks, seed=1, **{"frames": True, **options})
    assert str(caught.value) == message


def test_out_is_refused_where_lengths_differ(face: Face):
    clips = [np.zeros((3, 8, 8), np.uint8), np.zeros((2, 8, 8), np.uint8)]
    out = (np.zeros((2, 3, 8, 8), np.uint8), np.zeros((2, 3, 8, 8), np.uint8))
    with pytest.raises(ValueError) as caught:
        face.sas(clips, clips, seed=1, frames=True, out=out)
    assert str(caught.value) == (
        "out must be None for clips of different lengths, which give lists: [3, 2] frames; call "
        "once for each clip to fill arrays of your own"
    )
    for s, clip in enumerate(clips):  # the call that is right
        out = np.ones_like(clip), np.ones_like(clip)
        face.sas(clip, clip, seed=1, frames=True, ids=[s], out=out)
        assert not out[0].any() and not out[1].any()
