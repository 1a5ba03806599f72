"""Geometry from the plan: points and boxes go where the mask goes, and undo brings it back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import sasaug
from cases import same_bytes
from libraries import Exporter, Face
from sasaug import Plan, reference

FORMATS = ("xyxy", "xywh", "cxcywh")


@st.composite
def plans(draw: st.DrawFn, n: int = 3) -> tuple[Plan, tuple[int, int]]:
    """A plan of thumbnails anywhere, smaller and larger than their windows; the sources' size."""
    side = st.integers(1, 40)
    (h, w), canvas = draw(st.tuples(side, side)), draw(st.tuples(side, side))

    def rectangle(height: int, width: int) -> list[int]:
        x, y = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        return [x, y, draw(st.integers(1, width - x)), draw(st.integers(1, height - y))]

    plan = sasaug.SAS(canvas=canvas, p=0.0).plan(np.zeros((n, h, w), bool), seed=0)
    plan.samples["window"] = [rectangle(h, w) for _ in range(n)]
    plan.samples["thumbnail"] = [rectangle(*canvas) for _ in range(n)]
    return plan, (h, w)


def centres(height: int, width: int) -> np.ndarray:
    """(x, y) of every pixel's centre, [h w 2]."""
    y, x = np.mgrid[:height, :width] + 0.5
    return np.stack([x, y], -1)


def corners(rectangle: np.ndarray) -> list[int]:
    """A rectangle (x, y, width, height) as the box xyxy."""
    x, y, width, height = (int(v) for v in rectangle)
    return [x, y, x + width, y + height]


def converted(boxes: np.ndarray, format: str) -> np.ndarray:
    """Boxes xyxy in another format."""
    first, second = boxes[..., :2], boxes[..., 2:]
    start = (first + second) / 2 if format == "cxcywh" else first
    return np.concatenate([start, second if format == "xyxy" else second - first], -1)


# ---- where the mask goes -------------------------------------------------------------------------


@given(drawn=plans())
def test_every_pixel_of_the_thumbnail_comes_from_where_its_centre_does(drawn):
    """A mask that holds each pixel's own number, so that it tells where a pixel came from."""
    plan, (h, w) = drawn
    numbers = np.broadcast_to(1 + np.arange(h * w).reshape(h, w), (len(plan), h, w))
    moved = sasaug.apply(plan, np.zeros((len(plan), h, w), np.uint8), numbers)[1]
    for s in range(len(plan)):
        x0, y0, x1, y1 = corners(plan.samples["thumbnail"][s])
        x, y = np.moveaxis(plan.inverse_points(centres(*plan.canvas), s).astype(int), -1, 0)
        expected = np.zeros(plan.canvas, int)
        expected[y0:y1, x0:x1] = (1 + y * w + x)[y0:y1, x0:x1]
        assert (moved[s] == expected).all()


@given(drawn=plans(n=1), data=st.data())
def test_the_box_of_one_pixel_is_where_its_mask_goes(drawn, data):
    """Its box holds the centres of the canvas pixels that the mask covers, and no others."""
    plan, (h, w) = drawn
    x0, y0, x1, y1 = corners(plan.samples["window"][0])
    x, y = data.draw(st.integers(x0, x1 - 1)), data.draw(st.integers(y0, y1 - 1))
    mask = np.zeros((1, h, w), bool)
    mask[0, y, x] = True
    moved = sasaug.apply(plan, np.zeros(mask.shape, np.uint8), mask)[1][0]
    for clip in (False, True):
        left, top, right, bottom = plan.transform_boxes([x, y, x + 1, y + 1], clip=clip)
        at = centres(*plan.canvas)
        inside = (at[..., 0] >= left) & (at[..., 0] < right)
        inside &= (at[..., 1] >= top) & (at[..., 1] < bottom)
        assert (inside == moved).all()
    centre = plan.transform_points([x + 0.5, y + 0.5])
    assert left < centre[0] < right and top < centre[1] < bottom


@given(drawn=plans())
def test_a_windows_corners_are_its_thumbnails_exactly(drawn):
    plan, _ = drawn
    every = np.arange(len(plan))
    windows, thumbnails = (
        np.array([corners(rectangle) for rectangle in plan.samples[name]])
        for name in ("window", "thumbnail")
    )
    for clip in (False, True):
        assert (plan.transform_boxes(windows, every, clip=clip) == thumbnails).all()
        assert (plan.inverse_boxes(thumbnails, every, clip=clip) == windows).all()
    assert (plan.transform_points(windows.reshape(-1, 2, 2), every[:, None]) ==
            thumbnails.reshape(-1, 2, 2)).all()  # fmt: skip
    sizes = plan.samples["thumbnail"][:, 3:1:-1] / plan.samples["window"][:, 3:1:-1]
    assert (plan.scale == sizes).all() and plan.scale.shape == (len(plan), 2)


def test_the_far_corner_moves_exactly_at_every_size():
    """Where n * (m / n) would not be m."""
    sizes = np.arange(1, 150)
    plan = sasaug.SAS(canvas=150).plan(np.zeros((len(sizes) ** 2, 1, 1), bool), seed=0)
    plan.samples["window"][:, 2:] = np.repeat(sizes, len(sizes))[:, None]
    plan.samples["thumbnail"] = [0, 0, 1, 1] * np.tile(sizes, len(sizes))[:, None]
    every = np.arange(len(plan))
    windows, thumbnails = (plan.samples[name][:, 2:] for name in ("window", "thumbnail"))
    assert (plan.transform_points(windows, every) == thumbnails).all()
    assert (plan.inverse_points(thumbnails, every) == windows).all()


@given(drawn=plans(n=2), numbers=st.lists(st.floats(-100, 100), min_size=8, max_size=8))
def test_round_trips(drawn, numbers):
    plan, _ = drawn
    pair = np.array(numbers).reshape(2, 4)
    every = np.arange(2)
    for there, back in (
        (plan.transform_points, plan.inverse_points),
        (plan.inverse_points, plan.transform_points),
    ):
        points = pair.reshape(2, 2, 2)
        assert np.allclose(back(there(points, every[:, None]), every[:, None]), points, atol=1e-9)
    for format in FORMATS:
        for there, back in (
            (plan.transform_boxes, plan.inverse_boxes),
            (plan.inverse_boxes, plan.transform_boxes),
        ):
            moved = there(pair, every, format)
            assert np.allclose(back(moved, every, format), pair, atol=1e-9)


@given(drawn=plans(n=1), numbers=st.lists(st.floats(-60, 60), min_size=4, max_size=4))
def test_formats_are_of_one_box(drawn, numbers):
    plan, _ = drawn
    x0, x1, y0, y1 = *sorted(numbers[:2]), *sorted(numbers[2:])
    box = np.array([x0, y0, x1, y1])
    for move in (plan.transform_boxes, plan.inverse_boxes):
        for clip in (False, True):
            moved = move(box, clip=clip)
            for format in FORMATS[1:]:
                got = move(converted(box, format), 0, format, clip)
                assert np.allclose(got, converted(moved, format), atol=1e-9)


@given(drawn=plans(n=1), numbers=st.lists(st.floats(-60, 60), min_size=4, max_size=4))
def test_clipped_boxes_are_the_part_in_the_thumbnail(drawn, numbers):
    plan, _ = drawn
    x0, x1, y0, y1 = *sorted(numbers[:2]), *sorted(numbers[2:])
    for move, name in ((plan.transform_boxes, "thumbnail"), (plan.inverse_boxes, "window")):
        whole, cut = move([x0, y0, x1, y1]), move([x0, y0, x1, y1], clip=True)
        left, top, right, bottom = corners(plan.samples[name][0])
        assert (cut == np.clip(whole, [left, top] * 2, [right, bottom] * 2)).all()
        outside = whole[2] < left or whole[0] > right or whole[3] < top or whole[1] > bottom
        if outside:
            assert (cut[2] - cut[0]) * (cut[3] - cut[1]) == 0


# ---- any library ---------------------------------------------------------------------------------


def small_plan(n: int = 2) -> Plan:
    masks = np.ones((n, 30, 40), bool)
    return sasaug.SAS(canvas=24, thumbnail=(10, 20), position="random", p=1.0).plan(masks, seed=3)


@pytest.mark.parametrize("dtype", ["int64", "uint8", "float16", "float32", "float64"])
def test_arrays_of_any_library_give_the_same(dtype):
    plan, points = small_plan(), np.arange(24).reshape(2, 3, 4).astype(dtype)
    sample = np.array([[0], [1]])
    kept = dtype if "float" in dtype else "float64"
    for move in (
        lambda a, s: plan.transform_points(a[..., :2], s),
        lambda a, s: plan.inverse_boxes(a, s, "xywh", True),
    ):
        expected = move(points.astype(np.float64), sample).astype(kept)
        assert same_bytes(move(points, sample), expected)
        tensor = move(torch.from_numpy(points), torch.from_numpy(sample))
        assert isinstance(tensor, torch.Tensor) and same_bytes(tensor.numpy(), expected)
    exported = plan.transform_boxes(Exporter(points), sample)
    assert same_bytes(exported, plan.transform_boxes(points, sample))
    assert (plan.transform_boxes(points.tolist(), sample) ==
            plan.transform_boxes(points.astype(float), sample)).all()  # fmt: skip


def test_points_of_tensors_have_gradients():
    points = torch.ones(3, 2, dtype=torch.float64, requires_grad=True)
    small_plan().transform_points(points, 1).sum().backward()
    assert np.allclose(points.grad.numpy(), small_plan().scale[1, ::-1])


def test_inputs_are_not_written():
    plan, boxes = small_plan(), np.arange(8.0).reshape(2, 4)
    boxes.flags.writeable = False
    for format in FORMATS:
        plan.transform_boxes(boxes, 1, format, True)
    tensor = torch.arange(8.0, dtype=torch.float64).reshape(2, 4)
    for format in FORMATS:
        plan.inverse_boxes(tensor, 1, format, True)
    assert tensor.ravel().tolist() == list(range(8))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p: p.transform_points([1, 2, 3]), ValueError,
         "points must be numbers [... 2], got int64 of shape (3,)"),
        (lambda p: p.inverse_points(np.ones((4, 2), complex)), ValueError,
         "points must be numbers [... 2], got complex128 of shape (4, 2)"),
        (lambda p: p.transform_points([["a", "b"]]), ValueError,
         "points must be numbers [... 2], got <U1 of shape (1, 2)"),
        (lambda p: p.transform_boxes(np.ones((5, 2))), ValueError,
         "boxes must be numbers [... 4], got float64 of shape (5, 2)"),
        (lambda p: p.transform_boxes(np.ones(4), format="yolo"), ValueError,
         "format must be one of ['xyxy', 'xywh', 'cxcywh'], got 'yolo'"),
        (lambda p: p.transform_boxes(np.ones(4), clip=1), TypeError,
         "clip must be True or False, got 1"),
        (lambda p: p.transform_points([1, 2], 2), ValueError, "sample must be in [0, 2), got 2"),
        (lambda p: p.transform_points([1, 2], -1), ValueError, "sample must be in [0, 2), got -1"),
        (lambda p: p.transform_points([1, 2], 0.5), TypeError,
         "sample must be an integer or integers in [0, 2), got 0.5"),
        (lambda p: p.transform_points([1, 2], True), TypeError,
         "sample must be an integer or integers in [0, 2), got True"),
        (lambda p: p.transform_points(np.ones((3, 2)), [0, 1]), ValueError,
         "sample must be one integer or one for each of the points, (3,), got shape (2,)"),
        (lambda p: p.transform_boxes(np.ones(4), [0]), ValueError,
         "sample must be one integer or one for each of the boxes, (), got shape (1,)"),
        (lambda p: p.undo(), ValueError, "images or masks must be given, got neither"),
        (lambda p: p.undo(np.ones((2, 24, 25), np.float32)), ValueError,
         "images must be on the plan's canvas: [n h w] or [n h w c] with n = 2 and (h, w) = "
         "(24, 24), got (2, 24, 25)"),
        (lambda p: p.undo(torch.ones(3, 24, 24)), ValueError,
         "images must be on the plan's canvas: [n h w] or [n c h w] with n = 2 and (h, w) = "
         "(24, 24), got (3, 24, 24)"),
        (lambda p: p.undo(masks=np.ones((2, 24, 24, 2), bool)), ValueError,
         "masks must have one channel where they have a channel axis, got (2, 24, 24, 2)"),
        (lambda p: p.undo(masks=np.ones((2, 24, 24))), TypeError, "masks must be of type bool"),
        (lambda p: p.undo(np.ones((2, 24, 24), np.float32), sizes=(30, 39)), ValueError,
         "sizes[0] must hold the sample's window, at least (height, width) = (30, 40), "
         "got (30, 39)"),
        (lambda p: p.undo(np.ones((2, 24, 24), np.float32), sizes=[30.0, 40.0]), ValueError,
         "sizes must be integers [2] or [2 2], (height, width), got float64 of shape (2,)"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(call, error, message):
    with pytest.raises(error) as raised:
        call(small_plan())
    assert str(raised.value).startswith(message)


# ---- back to the sources -------------------------------------------------------------------------


def needs_views(face: Face) -> None:
    if not hasattr(face.to(np.zeros(1)), "__getitem__"):
        pytest.skip(f"the arrays of {face.library.name} have no views")


def brought_back(plan: Plan, images, masks, size: tuple[int, int]):
    """By the reference's rules: images [n h w c] and masks [n h w] on the canvas."""
    x = np.zeros((len(plan), *size, images.shape[-1]), images.dtype)
    y = np.zeros((len(plan), *size), masks.dtype)
    for s in range(len(plan)):
        left, top, right, bottom = corners(plan.samples["thumbnail"][s])
        x0, y0, x1, y1 = corners(plan.samples["window"][s])
        image, mask = images[s, top:bottom, left:right], masks[s, top:bottom, left:right]
        if image.dtype == np.uint8:
            rows = reference.bilinear_bytes(image, y1 - y0, x1 - x0)
        else:
            column = reference.bilinear(image.astype(np.float32), y1 - y0)
            rows = reference.bilinear(column.transpose(1, 0, 2), x1 - x0).transpose(1, 0, 2)
        x[s, y0:y1, x0:x1] = reference.store(rows, images.dtype)
        from_rows = reference.nearest_exact(bottom - top, y1 - y0)
        from_columns = reference.nearest_exact(right - left, x1 - x0)
        y[s, y0:y1, x0:x1] = mask[from_rows][:, from_columns]
    return x, y


@pytest.mark.parametrize(("dtype", "c"), [("float32", 6), ("uint8", 3), ("float16", 1)])
def test_undo_brings_images_and_masks_back(face: Face, dtype, c):
    needs_views(face)
    aug = face.SAS(canvas=24, thumbnail=(10, 20), position="random", p=1.0, labels=[-3],
                   value_range=(1, 2))  # fmt: skip
    plan = aug.plan(np.ones((3, 30, 40), np.int16), seed=5, windows=[4, 2, 30, 25])
    rng = np.random.default_rng(0)
    images = (rng.normal(size=(3, 24, 24, c)) * 50).astype(dtype)  # logits have any values
    masks = rng.integers(-5, 9, (3, 24, 24), np.int16)
    x, y = face.call(plan.undo, images, masks, sizes=(30, 40), **face.placed({}))
    expected_x, expected_y = brought_back(plan, images, masks, (30, 40))
    assert same_bytes(x, expected_x) and same_bytes(y, expected_y)


@given(drawn=plans(n=2))
def test_undo_of_any_plan(drawn):
    plan, size = drawn
    rng = np.random.default_rng(0)
    images = rng.random((2, *plan.canvas, 1), np.float32)
    masks = rng.integers(0, 9, (2, *plan.canvas), np.uint8)
    x, y = plan.undo(images, masks, sizes=size)
    expected_x, expected_y = brought_back(plan, images, masks, size)
    assert same_bytes(x, expected_x) and same_bytes(y, expected_y)


def test_undo_gives_each_source_its_size_and_what_was_not_given_stays_none():
    sizes = [(30, 40), (50, 20), (30, 40)]
    sources = [np.ones(size, bool) for size in sizes]
    plan = sasaug.SAS(canvas=24, p=1.0).plan(sources, seed=1)
    x, y = plan.undo(masks=np.ones((3, 24, 24), np.uint8))
    assert x is None and [mask.shape for mask in y] == sizes
    images = np.random.default_rng(0).random((3, 24, 24), np.float32)
    x, y = plan.undo(images)
    assert y is None and [image.shape for image in x] == sizes
    for s, size in enumerate(sizes):
        alone = plan[[s]].undo(images[s : s + 1], sizes=size)[0]
        assert same_bytes(x[s], alone[0])
    same = plan[[0, 2]].undo(images[[0, 2]])[0]
    assert same.shape == (2, 30, 40) and same_bytes(same[1], x[2])
    larger = plan.undo(images, sizes=[(60, 60)] * 3)[0]
    assert larger.shape == (3, 60, 60) and same_bytes(larger[1, :50, :20].copy(), x[1])
    assert not larger[1, 50:].any() and not larger[1, :, 20:].any()


def test_undo_takes_one_sample_without_its_axis():
    plan = small_plan(1)
    image = torch.rand(5, 24, 24)
    one = plan.undo(image, torch.ones(24, 24, dtype=torch.long))
    batch = plan.undo(image[None], torch.ones(1, 24, 24, dtype=torch.long))
    assert one[0].shape == (5, 30, 40) and one[1].shape == (30, 40)
    assert torch.equal(one[0], batch[0][0]) and torch.equal(one[1], batch[1][0])
    assert torch.equal(plan.undo(image[0])[0], batch[0][0, 0])
    assert torch.equal(plan.undo(image[:1])[0][0], batch[0][0, 0])
    assert plan.undo(masks=torch.ones(1, 1, 24, 24, dtype=torch.long))[1].shape == (1, 1, 30, 40)


def test_undo_restores_what_the_thumbnail_kept():
    """Flat areas come back whole, and a mask that was only enlarged comes back bit by bit."""
    masks = np.random.default_rng(0).integers(0, 9, (2, 30, 40), np.uint8)
    plan = sasaug.SAS(canvas=(90, 120), noise=None).plan(masks, seed=1)  # three times as large
    assert (plan.scale == 3).all()
    y = sasaug.apply(plan, masks, masks)[1]
    assert same_bytes(plan.undo(masks=y)[1], masks)
    flat = np.full((2, 30, 40), 77, np.uint8)
    assert same_bytes(plan.undo(sasaug.apply(plan, flat, masks)[0])[0], flat)
