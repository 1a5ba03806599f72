"""Bad input: the argument, the rule and the value got, before anything is written."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import sasaug
from cases import disc
from libraries import Face
from sasaug import SAS, Plan, _frontends

X, Y = np.zeros((2, 8, 9), np.uint8), np.ones((2, 8, 9), np.uint8)
SETTINGS = [
    ({"canvas": -1}, "canvas must be an int or (height, width), each in [1, 536870912], got -1"),
    ({"canvas": 0}, "canvas must be an int or (height, width), each in [1, 536870912], got 0"),
    ({"canvas": (8, 0)}, "canvas must be an int or (height, width), each in [1, 536870912], got (8, 0)"),
    ({"canvas": (4, 5, 6)}, "canvas must be an int or (height, width)", ),
    ({"canvas": 2.5}, "canvas must be an int", ),
    ({"thumbnail": (0.5, 0.2)}, "thumbnail must be None, two fractions 0 < low <= high <= 1"),
    ({"thumbnail": (0, 64)}, "1 <= low <= high (ints), got (0, 64)"),
    ({"thumbnail": (0.5, 1.5)}, "thumbnail must be", ),
    ({"thumbnail": 64}, "thumbnail must be", ),
    ({"thumbnail": (True, 64)}, "thumbnail must be", ),
    ({"position": "middle"}, "position must be one of ['center', 'random', 'top_left', 'top_center'], got 'middle'"),
    ({"noise": "skimage"}, "noise must be a mapping or one of ['albumentations', 'dali', 'default'"),
    ({"noise": {"rician": (0, 1)}}, "noise must name kinds of ['gaussian', 'speckle'"),
    ({"noise": {"gaussian": (0.2, 0.1)}}, "noise['gaussian'] must be (low, high) with 0 <= low <= high"),
    ({"noise": {"salt_pepper": (0, 1.5)}}, "0 <= low <= high <= 1, got (0, 1.5)"),
    ({"noise": {"poisson": (0, 5)}}, "noise['poisson'] must be"),
    ({"noise": {"gaussian": 0.1}}, "noise['gaussian'] must be (low, high)"),
    ({"noise": {"gaussian": (float("nan"), 1)}}, "noise['gaussian'] must be"),
    ({"noise": ["gaussian"]}, "noise must be a mapping of kind to (low, high), got ['gaussian']"),
    ({"p": 1.5}, "p must be in [0, 1], got 1.5"),
    ({"p": "half"}, "p must be a number in [0, 1], got 'half'"),
    ({"p": float("nan")}, "p must be in [0, 1], got nan"),
    ({"small_fraction": -0.1}, "small_fraction must be in [0, 1], got -0.1"),
    ({"apply_to": "small"}, "apply_to must be one of ['large', 'all'], got 'small'"),
    ({"labels": []}, "labels must be 1 to 16 integers other than 0 (background), got []"),
    ({"labels": [0]}, "labels must be"),
    ({"labels": range(1, 18)}, "labels must be 1 to 16"),
    ({"labels": "12"}, "labels must be"),
    ({"labels": [1.5]}, "labels must be"),
    ({"antialias": 1}, "antialias must be True or False, got 1"),
    ({"per_channel": "no"}, "per_channel must be True or False, got 'no'"),
    ({"salt_vs_pepper": 2}, "salt_vs_pepper must be in [0, 1], got 2"),
    ({"channels": "middle"}, 'channels must be "first" or "last", got \'middle\''),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "message"), SETTINGS)
def test_settings(settings, message):
    with pytest.raises((ValueError, TypeError)) as error:
        SAS(**settings)
    assert message in str(error.value)


CALLS = [
    ({"images": X.astype(np.float64)}, "images must be of type uint8, uint16, float16, float32"),
    ({"images": X.tolist()}, "images[0] must be an array of {libraries}, of a library"),
    ({"images": "x.png"}, "images must be an array of {libraries}, of a library that speaks DLPack, or a list of them, got builtins.str"),
    ({"images": []}, "images must hold at least one array, got an empty list"),
    ({"images": X[0, 0]}, "images must have shape [h w], [n h w] or [n h w c]"),
    ({"images": np.zeros((2, 8, 9, 5), np.uint8)}, "images must have 1 to 4 channels"),
    ({"images": np.zeros((2, 8, 9, 0), np.uint8)}, "images must have 1 to 4 channels"),
    ({"images": [X[0], X[1].astype(np.float32)]}, "images[1] must be a {library} array of type uint8"),
    ({"images": [X[0], np.zeros((8, 9, 3), np.uint8)]}, "images[1] must have the axes and channels"),
    ({"images": np.broadcast_to(np.uint8(0), (2, 1, 2**29 + 1))}, "sides of at most 536870912"),
    ({"masks": Y.astype(np.float32)}, "masks must be of type bool"),
    ({"masks": Y[:1]}, "masks must match the images in number: expected a batch of 2, [n h w] (2, 8, 9), got a batch of 1, [n h w] (1, 8, 9)"),
    ({"masks": Y[0]}, "got one without a batch axis, [h w] (8, 9); channels="),
    ({"masks": [Y[0], Y[1]]}, "masks must match the images in number: expected a batch of 2, [n h w] (2, 8, 9), got a list of 2"),
    ({"masks": Y[:, :, :7]}, "masks must have the images' size (h, w) = (8, 9), got (8, 7)"),
    ({"masks": Y[..., None]}, "masks must have a channel axis only where the images have one"),
    ({"images": X[..., None], "masks": np.ones((2, 8, 9, 3), np.uint8)}, "masks must have one channel"),
    ({"seed": -1}, "seed must be in [0, 2^64), got -1"),
    ({"seed": 2**64}, "seed must be in [0, 2^64)"),
    ({"seed": 1.0}, "seed must be an integer in [0, 2^64), a generator of {library} or None, got 1.0"),
    ({"seed": True}, "seed must be an integer"),
    ({"ids": [1]}, "ids must be 2, one per sample, got shape (1,)"),
    ({"ids": [1, -1]}, "ids must be in [0, 2^64), got -1 to 1"),
    ({"ids": [1, 2**64]}, "ids must be in [0, 2^64)"),
    ({"ids": [1.0, 2.0]}, "ids must be integers in [0, 2^64)"),
    ({"ids": np.array([0.5, 1])}, "ids must be integers"),
    ({"windows": [0, 0, 10, 8]}, "windows[0] must be a rectangle of at least one pixel inside the image (width 9, height 8), got (x, y, width, height) = (0, 0, 10, 8)"),
    ({"windows": [[0, 0, 9, 8], [0, 0, 0, 8]]}, "windows[1] must be a rectangle"),
    ({"windows": [-1, 0, 3, 3]}, "windows[0] must be"),
    ({"windows": [2**62, 0, 2**62, 3]}, "windows[0] must be"),
    ({"windows": [0, 0, 3]}, "windows must be integers [4] or [2 4]"),
    ({"windows": [0.0, 0, 3, 3]}, "windows must be integers"),
    ({"out": X}, "out must be a pair of arrays (images, masks), got {array}"),
    ({"out": (np.zeros((2, 8, 8), np.uint8), Y.copy())}, "out[0] must be a {library} uint8 array (2, 8, 9)"),
    ({"out": (X.copy(), Y.astype(np.int16))}, "out[1] must be a {library} uint8 array (2, 8, 9), got {int16}"),
    ({"dtype": "int32"}, "dtype must be one of uint8, uint16, float16, float32, bfloat16, got 'int32'"),
    ({"dtype": 3.5}, "dtype must be one of"),
    ({"num_threads": 0}, "num_threads must be an integer >= 1, got 0"),
    ({"num_threads": 1.5}, "num_threads must be an integer >= 1, got 1.5"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), CALLS)
def test_calls(face: Face, arguments, message):
    arguments = {"images": X, "masks": Y, "seed": 0, **arguments}
    with pytest.raises((ValueError, TypeError)) as error:
        face.SAS()(arguments.pop("images"), arguments.pop("masks"), **arguments)
    assert filled(message, face) in str(error.value)


def filled(message: str, face: Face) -> str:
    with face.library.running():
        libraries = ", ".join(frontend.name for frontend in _frontends.FRONTENDS)
    output = face.library.to_output(Y.astype(np.int16), {})
    return message.format(
        library=face.library.frontend.name,
        libraries=libraries,
        array=type(output).__name__,
        int16=output.dtype,
    )


def test_foreign_byte_order(face: Face):
    if face.library.frontend.name == "torch" or face.library.name == "dlpack":
        pytest.skip("there is none")
    with pytest.raises(TypeError, match="in native byte order, got >u2"):
        face.sas(X.astype(">u2"), Y, seed=0)


def test_unknown_setting():
    with pytest.raises(TypeError, match="size"):
        sasaug.sas(X, Y, size=3)


def test_output_that_is_read_only_or_shared(face: Face):
    frozen = X.copy()
    frozen.flags.writeable = False
    if face.library.frontend is _frontends.NUMPY:  # the others' arrays can all be written
        with pytest.raises(ValueError, match=r"out\[0\] must be writable"):
            face.sas(X, Y, seed=0, out=(frozen, Y.copy()))
    both = np.zeros((2, 8, 9), np.uint8)
    with pytest.raises(ValueError, match="out must be two arrays that share no memory"):
        face.sas(X, Y, seed=0, out=(both, both))


def test_nothing_is_written_before_an_error(face: Face):
    out = (np.full_like(X, 7), np.full_like(Y, 7))
    for bad in ({"labels": [300]}, {"ids": [1]}, {"windows": [0, 0, 99, 1]}):
        with pytest.raises(ValueError):
            face.sas(X, Y, seed=0, out=out, **bad)
        assert (out[0] == 7).all() and (out[1] == 7).all()


@pytest.mark.parametrize(("labels", "dtype"), [([300], np.uint8), ([-1], np.uint16), ([2], bool)])
def test_labels_must_fit_the_masks(face: Face, labels, dtype):
    with pytest.raises(ValueError, match="labels must fit the masks' type"):
        face.sas(X, Y.astype(dtype), seed=0, labels=labels)


def test_ragged_needs_a_canvas(face: Face):
    images = [X[0], X[0, :4]]
    with pytest.raises(ValueError, match="canvas must be given for a list of images of different"):
        face.sas(images, [i + 1 for i in images], seed=0)
    with pytest.raises(ValueError, match="images must be of one size"):
        face.gaussian(images, [i + 1 for i in images], 0.1, seed=0)


def test_canvas_beyond_the_counters(face: Face):
    with pytest.raises(ValueError, match=r"canvas must be of at most 2\^34 pixels"):
        face.sas(X, Y, seed=0, canvas=(2**20, 2**20))


@pytest.mark.parametrize("kind", sasaug.NOISES)
def test_strengths(face: Face, kind):
    from sasaug.noise import KINDS

    function, argument = getattr(face, kind), KINDS[kind]["strength"]
    for bad in (-0.1, float("nan"), [0.1, -0.1]):
        with pytest.raises(ValueError, match=rf"{argument} must be in \[.*\] .*for {kind}, got"):
            function(X, Y, bad, seed=0)
    with pytest.raises(ValueError, match=f"{argument} must be one number or 2, one per sample"):
        function(X, Y, [0.5] * 3, seed=0)
    with pytest.raises(TypeError, match=f"{argument} must be a number"):
        function(X, Y, "strong", seed=0)
    for wrong in ({}, {argument: 1, "other": 2}, {"other": 1}):
        with pytest.raises(TypeError, match=f"expects images, masks and {argument}; got"):
            function(X, Y, **wrong)


@pytest.mark.parametrize("size", [0, 10, [1, 10], [1], 2.0, "big"])
def test_sizes(face: Face, size):
    with pytest.raises(ValueError, match="size must be"):
        face.thumbnail(X, Y, size=size)


COUNT = len(sasaug.NOISES)
EDITS = [
    ("window", (0, 0, 10, 8), "plan.samples['window'][1] must lie inside the image (width 9"),
    ("window", (-1, 0, 3, 3), "got (x, y, width, height) = (-1, 0, 3, 3)"),
    ("window", (0, 0, 0, 5), "plan.samples['window'][1] must not be empty"),
    ("window", (2**31 - 1, 0, 2**31 - 1, 1), "must lie inside the image"),
    ("thumbnail", (5, 0, 9, 8), "plan.samples['thumbnail'][1] must lie inside the canvas"),
    ("thumbnail", (0, 0, -1, 8), "must lie inside the canvas"),
    ("noise", COUNT, f"plan.samples['noise'][1] must be in [-1, {COUNT - 1}], got {COUNT}"),
    ("noise", -2, f"plan.samples['noise'][1] must be in [-1, {COUNT - 1}], got -2"),
    ("strength", np.nan, "plan.samples['strength'] must be"),
    ("strength", -1, "plan.samples['strength'] must be"),
]


@pytest.mark.parametrize(("field", "value", "message"), EDITS)
def test_edited_plans(face: Face, field, value, message):
    plan = face.SAS(p=1.0).plan(Y, seed=0)
    plan.samples[field][1] = value
    with pytest.raises(ValueError) as error:
        face.apply(plan, X, Y)
    assert message in str(error.value)


def test_plans_for_another_batch(face: Face):
    plan = face.SAS(p=1.0).plan(Y, seed=0)
    with pytest.raises(ValueError, match="plan must have one sample per image: expected 1, got 2"):
        face.apply(plan, X[:1], Y[:1])
    with pytest.raises(TypeError, match=r"plan must be a sasaug.Plan, got str"):
        face.apply(plan.to_json(), X, Y)
    wrong = {"seed": 2**64, "canvas": (4, -4), "labels": (0,), "salt_vs_pepper": 3.0}
    for name, value in wrong.items():
        with pytest.raises(ValueError, match=name):
            face.apply(dataclasses.replace(plan, **{name: value}), X, Y)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"samples": 3}', SAS().plan(disc(), seed=0).to_json()[:-3]]
)
def test_texts_that_are_no_plan(text):
    with pytest.raises(ValueError, match="text must be a plan as"):
        Plan.from_json(text)


def test_plan_of_another_stream():
    text = SAS().plan(disc(), seed=0).to_json()
    for other in (1, 99):
        changed = text.replace('"stream_version": 2', f'"stream_version": {other}')
        with pytest.raises(
            ValueError, match=f"^text must be a plan of stream version 2, got {other}$"
        ):
            Plan.from_json(changed)
    with pytest.raises(ValueError, match="text must be settings"):
        SAS.from_json('{"size": 3}')


def test_instruction_set_of_another_machine():
    with pytest.raises(ValueError, match="instruction_set must be one that this machine runs"):
        sasaug._core.use_instruction_set("mmx")
