"""sasaug.adapters.torchvision: from v2.Compose to a training step's input."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import samples
from samples import SETTINGS, SIZE, expected, loaded, picture

torch = pytest.importorskip("torch")
samples.host("torchvision")
from torchvision import tv_tensors  # noqa: E402
from torchvision.transforms import v2  # noqa: E402

from sasaug.adapters.torchvision import (  # noqa: E402
    SAS,
    RandomMaskedNoise,
    RandomThumbnail,
    SampleId,
)


def sample(number: int = 0, channels: int = 1):
    image, mask = picture(number, channels)
    return tv_tensors.Image(torch.from_numpy(image)), tv_tensors.Mask(torch.from_numpy(mask))


def drawn(seed: int) -> int:
    """The seed that torch's generator gives after this one."""
    torch.manual_seed(seed)
    return int(torch.empty((), dtype=torch.int64).random_())


@pytest.mark.parametrize("channels", [1, 3])
def test_output_is_that_of_sasaug(channels):
    image, mask = sample(channels=channels)
    seed = drawn(3)
    torch.manual_seed(3)
    out = v2.Compose([SAS(**SETTINGS)])({"image": image, "mask": mask, "label": 5})
    x, y = expected(image.numpy(), mask.numpy(), seed, **SETTINGS)
    assert type(out["image"]) is tv_tensors.Image and type(out["mask"]) is tv_tensors.Mask
    assert np.array_equal(out["image"], x) and np.array_equal(out["mask"], y)
    assert out["label"] == 5 and out["image"].dtype == torch.uint8
    torch.manual_seed(4)
    assert not np.array_equal(SAS(**SETTINGS)(image, mask)[0], x)


def test_samples_that_are_not_drawn_are_fitted_to_the_canvas():
    image, mask = sample()
    x, y = SAS(canvas=32, p=0.0)(image, mask)
    assert x.shape == (1, 32, 32) and y.shape == (32, 32)
    assert np.array_equal(x, expected(image.numpy(), mask.numpy(), 0, canvas=32, p=0.0)[0])


@pytest.mark.parametrize("format", ["XYXY", "XYWH", "CXCYWH"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
def test_boxes_and_points_follow_the_mask(format, dtype):
    image, mask = sample()
    rows, columns = (mask > 0).nonzero().T
    box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]  # edges, not centres
    boxes = v2.functional.convert_bounding_box_format(
        tv_tensors.BoundingBoxes([box], format="XYXY", canvas_size=mask.shape, dtype=dtype),
        new_format=format,
    )
    corners = tv_tensors.KeyPoints([box[:2], box[2:]], canvas_size=mask.shape, dtype=dtype)
    for seed in range(5):
        torch.manual_seed(seed)
        y, moved, points = SAS(**SETTINGS, position="random")(image, mask, boxes, corners)[1:]
        assert moved.format.value == format and moved.dtype == dtype
        assert moved.canvas_size == points.canvas_size == SETTINGS["canvas"]
        moved = v2.functional.convert_bounding_box_format(moved, new_format="XYXY")[0]
        rows, columns = (y > 0).nonzero().T
        seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        error = 0.51  # of nearest-exact
        if dtype == torch.int64:  # and of rounding, in the source too
            error = 2.01 if format == "CXCYWH" else 1.01
        assert (torch.as_tensor(moved) - torch.stack(seen)).abs().max() <= error
        assert (torch.as_tensor(points).ravel() - torch.stack(seen)).abs().max() <= error


def test_boxes_and_points_of_videos_follow_the_masks():
    clip, labels = samples.clip()
    video = tv_tensors.Video(torch.from_numpy(clip).swapaxes(0, 1))
    masks = tv_tensors.Mask(torch.from_numpy(labels))
    rows, columns = (masks[0] > 0).nonzero().T
    box = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()
    boxes = tv_tensors.BoundingBoxes(box[None], format="XYXY", canvas_size=labels.shape[1:])
    points = tv_tensors.KeyPoints(box.reshape(2, 2), canvas_size=labels.shape[1:])
    out = SAS(**SETTINGS, frames=True, position="random")(video, masks, boxes, points)
    rows, columns = (out[1][0] > 0).nonzero().T
    seen = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    assert (torch.as_tensor(out[2])[0] - seen).abs().max() <= 0.51
    assert (torch.as_tensor(out[3]).ravel() - seen).abs().max() <= 0.51
    assert out[2].canvas_size == SETTINGS["canvas"]


def test_degenerate_boxes_are_the_hosts():
    image, mask = sample()
    boxes = torch.tensor([[1.0, 1.0, 1.5, 1.5], [5.0, 5.0, 45.0, 45.0]])
    boxes = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=mask.shape)
    pipeline = v2.Compose([RandomThumbnail(canvas=24), v2.SanitizeBoundingBoxes()])
    out = pipeline({"image": image, "boxes": boxes, "labels": torch.tensor([1, 2])})
    assert out["labels"].tolist() == [2] and len(out["boxes"]) == 1


def test_rotated_boxes_are_refused():
    image, mask = sample()
    boxes = tv_tensors.BoundingBoxes([[9.0, 9, 9, 9, 30]], format="XYWHR", canvas_size=mask.shape)
    with pytest.raises(ValueError, match="boxes must have upright sides, got format XYWHR"):
        SAS(**SETTINGS)(image, mask, boxes)
    assert RandomMaskedNoise()(image, mask, boxes)[2] is boxes


def test_boxes_of_integers_are_rounded():
    image, _ = sample()
    boxes = torch.randint(0, 50, (40, 4))
    whole, exact = (
        tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(50, 50), dtype=dtype)
        for dtype in (torch.int64, torch.float64)
    )
    shrink = RandomThumbnail(canvas=47, thumbnail=(37, 37))
    whole, exact = shrink(image, whole)[1], shrink(image, exact)[1]
    assert torch.equal(whole.as_subclass(torch.Tensor), exact.round().long())


def test_instance_masks_are_one_roi():
    image, mask = sample()
    instances = tv_tensors.Mask(torch.stack([mask == 1, mask == 2]))
    torch.manual_seed(3)
    x, y = SAS(**SETTINGS)(image, instances)
    torch.manual_seed(3)
    x_labels, y_labels = SAS(**SETTINGS)(image, mask)
    assert torch.equal(x, x_labels)
    assert torch.equal(y, torch.stack([y_labels == 1, y_labels == 2]))


def test_labels_choose_the_roi():
    image, mask = sample()
    for seed in range(4):
        torch.manual_seed(seed)
        x, y = RandomMaskedNoise(noise={"salt_pepper": (1.0, 1.0)}, labels=(2,))(image, mask)
        assert torch.equal(y, mask)
        hit = x[0] != image[0]
        assert not hit[mask != 2].any() and hit[mask == 2].float().mean() > 0.9


def test_thumbnail_alone_needs_no_mask():
    image, mask = sample()
    torch.manual_seed(1)
    x, y = RandomThumbnail(canvas=40, position="random")(image, mask)
    torch.manual_seed(1)
    assert torch.equal(RandomThumbnail(canvas=40, position="random")(image), x)
    side = max((x[0] > 0).any(0).sum(), (x[0] > 0).any(1).sum())
    assert side < 40 and x.shape == (1, 40, 40) and set(y.unique().tolist()) == {0, 1, 2}


def test_plain_tensors_are_images_as_in_the_host():
    image, mask = sample()
    torch.manual_seed(2)
    x, _, other = SAS(**SETTINGS)(image.as_subclass(torch.Tensor), mask, torch.ones(3))
    torch.manual_seed(2)
    assert type(x) is torch.Tensor and torch.equal(x, SAS(**SETTINGS)(image, mask)[0])
    assert torch.equal(other, torch.ones(3))


def test_value_ranges():
    image, mask = sample()
    unit = v2.functional.to_dtype(image, torch.float32, scale=True)
    torch.manual_seed(5)
    x = SAS(**SETTINGS)(unit, mask)[0]
    torch.manual_seed(5)
    wide = SAS(**SETTINGS, value_range=(0, 255))(unit * 255, mask)[0]
    assert torch.allclose(wide, x * 255, atol=1e-3)
    torch.manual_seed(5)
    scored = SAS(**SETTINGS, value_range="sample")(unit * 3 - 1, mask)[0]
    assert torch.allclose(scored, x * 3 - 1, atol=2e-2)  # the image holds 0 and 255
    with pytest.raises(ValueError, match=r"must hold the values .*it is \(0, 1\), got \d"):
        SAS(**SETTINGS)(unit * 255, mask)
    SAS(**SETTINGS)(unit * 1.2, mask)  # as cubic interpolation leaves images


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"p": 2}, ValueError, r"p must be in \[0, 1\], got 2"),
        ({"size": 2}, TypeError, "settings must be of .*'canvas'.*, got 'size'"),
        ({"channels": "last"}, TypeError, "settings must be of .*, got 'channels'"),
        (
            {"value_range": (1, 1)},
            ValueError,
            r"value_range must be None or \(low.*\(1, 1\)",
        ),
        ({"value_range": "image"}, ValueError, "value_range must be .*, got 'image'"),
        ({"sample_seed": -1}, ValueError, r"sample_seed must be in \[0, 2\^64\), got -1"),
        ({"sample_seed": 0.5}, TypeError, "sample_seed must be an integer or None, got 0.5"),
    ],
)
def test_settings_are_checked(arguments, error, message):
    with pytest.raises(error, match=message):
        SAS(**arguments)


def test_samples_are_checked():
    image, mask = sample()
    with pytest.raises(ValueError, match=r"must hold a tv_tensors.Mask, the ROI; got none"):
        SAS()(image)
    with pytest.raises(ValueError, match=r"must hold an image \[c h w\], got none"):
        SAS()({"mask": mask})
    with pytest.raises(TypeError, match=r"put v2.ToImage\(\) before"):
        SAS()(v2.functional.to_pil_image(image), mask)
    with pytest.raises(
        TypeError, match=r"must be a tensor \[c h w\], got a Video: pass frames=True$"
    ):
        SAS()(tv_tensors.Video(image[None]), mask)
    clips = SAS(frames=True)
    with pytest.raises(TypeError, match=r"\[t c h w\] with frames=True, got an Image: images need"):
        clips(image, mask)
    with pytest.raises(
        ValueError, match=r"must be one video \[t c h w\], got shape \(1, 1, 1, \d+, "
    ):
        clips(tv_tensors.Video(image[None, None]), mask[None])
    with pytest.raises(ValueError, match=r"must hold a tv_tensors.Video \[t c h w\], got none$"):
        clips({"mask": mask})
    with pytest.raises(
        ValueError, match=r"masks of a video must be \[t h w\] or \[t k h w\], a mask"
    ):
        clips(tv_tensors.Video(image[None]), mask)
    with pytest.raises(ValueError, match="must have as many frames as the images, 1, got 2"):
        clips(tv_tensors.Video(image[None]), tv_tensors.Mask(torch.stack([mask, mask])))
    seeded = SAS(sample_seed=1)
    with pytest.raises(ValueError, match=r"sample_id must be given .* SampleId\(epoch .* got none"):
        seeded(image, mask)
    with pytest.raises(ValueError, match=r"got the plain integer 7: SampleId\(7\)"):
        seeded({"image": image, "mask": mask, "id": 7})
    with pytest.raises(ValueError, match="must hold one SampleId, got 2"):
        seeded(image, mask, SampleId(1), SampleId(2))
    for batch in (image[None], image.as_subclass(torch.Tensor)[None]):
        with pytest.raises(ValueError, match=r"got shape \(1, 1, \d+, \d+\): for batches use sas"):
            SAS()(batch, mask[None])
    with pytest.raises(TypeError, match="got 'canvas'"):
        RandomMaskedNoise(canvas=9)
    with pytest.raises(TypeError, match="got 'noise'"):
        RandomThumbnail(noise=None)


def test_threads_share_a_transform():
    step = SAS(**SETTINGS, sample_seed=7)
    pairs = [sample(k) for k in range(5)]
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda k: step(*pairs[k % 5], SampleId(k)), range(200)))
    for k, (x, y, _) in enumerate(made):
        x_, y_ = expected(*picture(k % 5), 7, k, **SETTINGS)
        assert np.array_equal(x, x_) and np.array_equal(y, y_)


class Scans(torch.utils.data.Dataset):
    """Indexed by sample ids, epoch * SIZE + index."""

    def __init__(self, transform):
        self.transform = transform

    def __len__(self):
        return SIZE

    def __getitem__(self, id):
        out = self.transform(*sample(id % SIZE), SampleId(id))
        return tuple(torch.as_tensor(value) for value in out)


def pipeline(**options):
    to_float = v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True)
    return v2.Compose([SAS(**SETTINGS, **options), to_float])


def test_ids_make_the_same_batches_for_any_number_of_workers():
    ids = [int(i) for i in np.random.default_rng(0).permutation(2 * SIZE)]
    dataset = Scans(pipeline(sample_seed=9))
    alone = loaded(dataset, sampler=ids, batch_size=1)
    assert loaded(dataset, sampler=ids, batch_size=4, num_workers=2) == alone
    assert loaded(dataset, sampler=ids[5:], batch_size=5, num_workers=1) == alone[5:]
    assert len({row[0] for row in alone}) == 2 * SIZE
    for id, (x, y, _) in zip(ids, alone, strict=True):
        image, mask = picture(id % SIZE)
        x_, y_ = expected(image, mask, 9, id, **SETTINGS)
        x_ = v2.functional.to_dtype(torch.from_numpy(x_), torch.float32, scale=True).numpy()
        assert x == x_.tobytes() and y == y_.tobytes()


def test_workers_without_ids_draw_from_torch():
    dataset = Scans(pipeline())

    def draws():
        torch.manual_seed(2)
        return loaded(dataset, sampler=[0] * 8, batch_size=1, num_workers=2)

    once = draws()
    assert len({row[0] for row in once}) == 8
    assert draws() == once


def test_a_training_step_takes_the_batches():
    loader = torch.utils.data.DataLoader(Scans(pipeline()), batch_size=3)
    images, masks, _ = next(iter(loader))
    logits = torch.nn.Conv2d(1, 3, 3, padding=1)(images)
    torch.nn.functional.cross_entropy(logits, masks.long()).backward()
    assert images.shape == (3, 1, 48, 40) and images.dtype == torch.float32
    assert images.min() >= 0 and images.max() <= 1


def test_it_tells_and_keeps_its_settings():
    for transform in (SAS(canvas=32, p=0.25), RandomThumbnail(canvas=9), RandomMaskedNoise()):
        copy = pickle.loads(pickle.dumps(transform))
        assert copy.settings == transform.settings and repr(copy) == repr(transform)
    assert repr(SAS(canvas=32, p=0.25)) == "SAS(canvas=(32, 32), p=0.25)"
    shown = "SAS(value_range=(0, 255), sample_seed=3, one_hot=True)"
    assert repr(SAS(value_range=(0, 255), sample_seed=3, one_hot=True)) == shown
    assert repr(RandomThumbnail()) == "RandomThumbnail()"
    assert repr(RandomMaskedNoise(p=0.5, labels=[1])) == "RandomMaskedNoise(p=0.5, labels=(1,))"


def test_no_other_random_state_is_touched():
    image, mask = sample()
    torch.manual_seed(1)
    numpy_state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()
    SAS(sample_seed=4)(image, mask, SampleId(2))
    assert torch.equal(torch.get_rng_state(), torch_state)
    SAS()(image, mask)
    assert not torch.equal(torch.get_rng_state(), torch_state)
    named, *_ = SAS(sample_seed=4)(image, mask, SampleId(2), 5)
    assert torch.equal(named, SAS(sample_seed=4)(image, mask, SampleId(2))[0])
    assert (np.random.get_state()[1] == numpy_state).all()
