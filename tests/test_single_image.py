"""One image with channels and its mask, without a batch axis, as cv2.imread gives it."""

from __future__ import annotations

import numpy as np
import pytest

import sasaug
from cases import disc, same_bytes
from libraries import Face

H, W = 64, 48
MASK = disc(1, 64)[0][:, :W]


def image(c: int, dtype: str = "uint8") -> np.ndarray:
    x = np.random.default_rng(c).integers(0, 256, (H, W, c)).astype("uint8")
    return x if dtype == "uint8" else (x / 255).astype(dtype)


@pytest.mark.parametrize("channels", ["first", "last"])
@pytest.mark.parametrize("mask_axis", [False, True])
@pytest.mark.parametrize("c", [1, 2, 3, 4])
def test_it_is_a_batch_of_one(face: Face, c, mask_axis, channels):
    x, y = image(c), MASK[..., None] if mask_axis else MASK
    if channels == "first":
        x = np.ascontiguousarray(x.transpose(2, 0, 1))
        y = np.ascontiguousarray(y.transpose(2, 0, 1)) if mask_axis else y
    if c == 1 and mask_axis:
        pytest.skip("[1 h w] twice is a batch of one; [h w 1] twice one of h")
    options = {"channels": channels, "canvas": 40, "p": 1.0, "seed": 3, "ids": [7]}
    one = face.sas(x, y, **options)
    batch = face.sas(x[None], y[None], **options)
    assert one[0].shape == batch[0].shape[1:] and one[1].shape == batch[1].shape[1:]
    assert same_bytes(one[0], batch[0][0]) and same_bytes(one[1], batch[1][0])


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_each_call_takes_it(face: Face, dtype):
    x = image(3, dtype)
    for noisy in (face.speckle(x, MASK, 0.2, seed=1), face.salt_pepper(x, MASK, 0.2, seed=1)):
        assert noisy.shape == x.shape and (noisy[MASK == 0] == x[MASK == 0]).all()
    small, mask = face.thumbnail(x, MASK, 16)
    assert small.shape == x.shape and mask.shape == MASK.shape
    aug = face.SAS(p=1.0)
    plan = aug.plan(MASK, seed=5)
    given, expected = face.apply(plan, x, MASK), aug(x, MASK, seed=5)
    assert same_bytes(given[0], expected[0])
    out = np.zeros_like(x), np.zeros_like(MASK)
    face.apply(plan, x, MASK, out=out)
    assert same_bytes(out[0], expected[0])


def test_lists_hold_them(face: Face):
    images = [image(3), image(3)[:40, :30]]
    masks = [MASK, MASK[:40, :30]]
    x, y = face.sas(images, masks, canvas=32, seed=1)
    assert x.shape == (2, 32, 32, 3) and y.shape == (2, 32, 32)


def test_the_error_names_the_axes_and_the_call(face: Face):
    first = np.ascontiguousarray(image(3).transpose(2, 0, 1))
    with pytest.raises(ValueError) as error:
        face.sas(first, MASK, channels="last", seed=1)
    assert str(error.value) == (
        "masks must match the images in number: expected a batch of 3, [n h w] (3, 64, 48), got "
        'one without a batch axis, [h w] (64, 48); channels="first" makes the images one image '
        "with channels"
    )
    with pytest.raises(ValueError) as error:
        face.sas(image(3)[None], MASK, channels="last", seed=1)
    assert str(error.value).endswith("[h w] (64, 48); masks[None] adds a batch axis")
    with pytest.raises(ValueError) as error:
        face.sas(image(5), MASK, channels="last", seed=1)
    assert str(error.value).endswith("[h w] (64, 48); an image has 1 to 4 channels")
    with pytest.raises(ValueError) as error:  # a batch axis would not make them fit
        face.sas(image(3)[:2], MASK, channels="last", seed=1)
    assert str(error.value).endswith("got one without a batch axis, [h w] (64, 48)")
    with pytest.raises(ValueError) as error:
        face.sas(first[None], MASK[None], channels="last", seed=1)
    assert str(error.value) == (
        "images must have 1 to 4 channels, got 48 in shape (1, 3, 64, 48), read as [n h w c]; if "
        'the channels are first pass channels="first"'
    )


def test_torch_modules_and_compilers_take_it():
    torch = pytest.importorskip("torch")
    import sasaug.torch

    x, y = torch.from_numpy(image(3)).permute(2, 0, 1), torch.from_numpy(MASK.copy())
    expected = sasaug.sas(x, y, canvas=40, p=1.0, seed=3)
    module = sasaug.torch.SAS(canvas=40, p=1.0)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    for given in (module(x, y, seed=3), compiled(x, y, seed=3)):
        assert given[0].shape == (3, 40, 40) and given[1].shape == (40, 40)
        assert torch.equal(given[0], expected[0]) and torch.equal(given[1], expected[1])
    small, mask = sasaug.torch.thumbnail(x, y, 16)
    assert small.shape == x.shape and mask.shape == y.shape


class TestWordsThatHelp:
    @pytest.mark.parametrize(
        ("images", "masks", "message"),
        [
            (np.zeros((8, 8)), MASK, "got float64; convert it by .astype(np.float32)"),
            *(
                (
                    np.zeros((8, 8), dtype),
                    MASK,
                    f"got {dtype}; convert values of 0 to 255 by .astype(np.uint8), others by "
                    ".astype(np.float32), and give their value_range",
                )
                for dtype in ("int64", "int16", "uint32")
            ),
            (np.zeros((8, 8), bool), MASK, "got bool; convert it by .astype(np.float32)"),
            (np.zeros((8, 8), ">u2"), MASK, '.astype(a.dtype.newbyteorder("="))'),
            (image(1)[..., 0], MASK * 1.0, "got float64; labels are integers: .astype(np.uint8)"),
        ],
    )
    def test_numpy(self, images, masks, message):
        with pytest.raises(TypeError) as error:
            sasaug.sas(images, masks, seed=1)
        assert message in str(error.value)

    def test_torch(self):
        torch = pytest.importorskip("torch")
        words = r"got torch\.int64; convert values of 0 to 255 by \.to\(torch\.uint8\), others by "
        with pytest.raises(TypeError, match=words + r"\.to\(torch\.float32\), and give their"):
            sasaug.sas(torch.zeros(8, 8, dtype=torch.int64), torch.zeros(8, 8, dtype=torch.bool))
        with pytest.raises(TypeError, match=r"labels are integers: \.long\(\)"):
            sasaug.sas(torch.zeros(8, 8), torch.zeros(8, 8))

    @pytest.mark.parametrize(("ones", "side"), [((1, 1), 1), ((1.0, 1.0), 8)])
    def test_thumbnail_of_ones(self, ones, side):
        said = "(1.0, 1.0) is the largest thumbnail, and (1, 1) one pixel. None: no resizing."
        assert said in " ".join(sasaug.SAS.__doc__.split())
        ones = {"thumbnail": ones, "noise": None, "p": 1.0}
        x, y = sasaug.sas(np.full((8, 8), 9, np.uint8), np.ones((8, 8), np.uint8), seed=1, **ones)
        assert np.count_nonzero(x) == np.count_nonzero(y) == side**2

    def test_pil(self):
        pil = pytest.importorskip("PIL.Image").new("L", (8, 8))
        for images in (pil, [pil]):
            with pytest.raises(TypeError, match=r"got PIL.Image.Image; convert it by np.asarray"):
                sasaug.sas(images, images, seed=1)


class TestOddPlans:
    @pytest.mark.parametrize(
        "samples", [None, [], np.zeros(3), np.zeros((1, 1), sasaug._core.SAMPLE)]
    )
    def test_samples_of_another_kind(self, samples):
        plan = sasaug.SAS().plan(MASK, seed=1)
        with pytest.raises(TypeError, match=r"plan.samples must be a 1-D numpy array of the type"):
            plan.samples = samples

    @pytest.mark.parametrize("kind", [-2, 99])
    def test_printing_one_of_an_unknown_noise(self, kind):
        plan = sasaug.SAS(p=1.0).plan(MASK, seed=1)
        plan.samples["noise"][0] = kind
        for read in (str, sasaug.Plan.rows, sasaug.Plan.to_json):
            with pytest.raises(
                ValueError, match=rf"plan.samples\['noise'\]\[0\] must be .*got {kind}"
            ):
                read(plan)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("antialias", "x"), ("per_channel", 1), ("salt_vs_pepper", "x"), ("seed", 1.5),
            ("canvas", "x"), ("labels", 3), ("value_range", 1), ("labels", "ab"), ("seed", -1),
            ("canvas", 3.5), ("canvas", (1, 2, 3)),
        ],
    )  # fmt: skip
    def test_settings_of_another_kind(self, name, value):
        plan = sasaug.SAS(p=1.0).plan(MASK, seed=1)
        setattr(plan, name, value)
        uses = (lambda plan: sasaug.apply(plan, image(1)[..., 0], MASK), str, sasaug.Plan.to_json)
        for use in uses:
            with pytest.raises((ValueError, TypeError), match=f"plan.{name} must be"):
                use(plan)
