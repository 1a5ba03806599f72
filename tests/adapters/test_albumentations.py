"""sasaug.adapters.albumentations: from Compose to a training step's input, and replayed."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import samples
from samples import SETTINGS, SIZE, expected, loaded, picture

torch = pytest.importorskip("torch")
A = samples.host("albumentations")
if not A.__version__.startswith("2.0."):
    pytest.skip(
        f"albumentations 2.0.8 is not installed, {A.__version__} is", allow_module_level=True
    )

from sasaug.adapters.albumentations import SAS, MaskedNoise, Thumbnail  # noqa: E402

SALT = {"salt_pepper": (1.0, 1.0)}


def sample(number: int = 0, channels: int = 1):
    image, mask = picture(number, channels)
    return {"image": image[0] if channels == 1 else np.moveaxis(image, 0, -1), "mask": mask}


def seed_of(seed: int) -> int:
    """What ``Compose(seed=)`` lets its first transform draw first."""
    return int(np.random.default_rng(seed).integers(2**64, dtype=np.uint64))


@pytest.mark.parametrize("channels", [1, 3])
def test_output_is_that_of_sasaug(channels):
    data = sample(channels=channels)
    image, mask = picture(channels=channels)
    x, y = expected(image, mask, seed_of(3), **SETTINGS)
    out = A.Compose([SAS(**SETTINGS)], seed=3)(**data, label=5)
    assert np.array_equal(out["image"], x[0] if channels == 1 else np.moveaxis(x, 0, -1))
    assert np.array_equal(out["mask"], y) and out["label"] == 5
    assert out["image"].dtype == out["mask"].dtype == np.uint8


def test_seeds_are_those_of_compose():
    data = sample()
    pipeline = A.Compose([SAS(**SETTINGS)], seed=3)
    first, second = pipeline(**data)["image"], pipeline(**data)["image"]
    assert not np.array_equal(first, second)
    pipeline.set_random_seed(3)
    assert np.array_equal(pipeline(**data)["image"], first)
    state = np.random.get_state()[1].copy()
    pipeline(**data)
    assert (np.random.get_state()[1] == state).all()


def test_boxes_and_points_follow_the_mask():
    data = sample()
    rows, columns = np.nonzero(data["mask"])
    box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]  # edges, not centres
    for seed in range(5):
        pipeline = A.Compose(
            [SAS(**SETTINGS, position="random")],
            bbox_params=A.BboxParams("pascal_voc", label_fields=["classes"]),
            keypoint_params=A.KeypointParams("xyas"),
            seed=seed,
        )
        points = [(*box[:2], 30, 10), (box[2] - 0.01, box[3] - 0.01, 30, 10)]
        out = pipeline(**data, bboxes=[box], classes=["a"], keypoints=points)
        rows, columns = np.nonzero(out["mask"])
        seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert np.abs(out["bboxes"][0] - np.array(seen)).max() <= 0.51
        assert np.abs(np.ravel([p[:2] for p in out["keypoints"]]) - seen).max() <= 0.52
        scale = max(seen[2] - seen[0], seen[3] - seen[1]) / max(box[2] - box[0], box[3] - box[1])
        assert out["keypoints"][0][2] == pytest.approx(30)
        assert out["keypoints"][0][3] == pytest.approx(10 * scale, rel=0.1)


def test_boxes_and_points_of_volumes_follow_the_masks():
    clip, labels = samples.clip()
    rows, columns = np.nonzero(labels[0])
    box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    pipeline = A.ReplayCompose(
        [SAS(**SETTINGS, frames=True, position="random")],
        bbox_params=A.BboxParams("pascal_voc", label_fields=["classes"]),
        keypoint_params=A.KeypointParams("xy"),
    )
    data = {"volume": clip[0], "mask3d": labels, "bboxes": [box], "keypoints": [box[:2]]}
    data["classes"] = ["a"]
    out = pipeline(**data)
    rows, columns = np.nonzero(out["mask3d"][0])
    seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert np.abs(out["bboxes"][0] - np.array(seen)).max() <= 0.51
    assert np.abs(out["keypoints"][0] - np.array(seen[:2])).max() <= 0.51
    again = A.ReplayCompose.replay(out["replay"], **data)
    assert np.array_equal(again["volume"], out["volume"])
    assert np.array_equal(again["mask3d"], out["mask3d"])


def test_small_boxes_are_the_hosts():
    boxes = A.BboxParams("pascal_voc", label_fields=["classes"], min_area=1)
    pipeline = A.Compose([Thumbnail(canvas=24)], bbox_params=boxes, seed=1)
    out = pipeline(**sample(), bboxes=[[1, 1, 1.5, 1.5], [5, 5, 45, 45]], classes=["a", "b"])
    assert out["classes"] == ["b"]


def test_many_masks():
    data = sample()
    x, y = (A.Compose([SAS(**SETTINGS)], seed=3)(**data)[key] for key in ("image", "mask"))
    labels = data.pop("mask")
    one_hot = np.stack([labels == 1, labels == 2])
    out = A.Compose([SAS(**SETTINGS)], seed=3)(**data, masks=list(one_hot))
    assert np.array_equal(out["image"], x)
    assert np.array_equal(out["masks"], [y == 1, y == 2])
    deep = np.moveaxis(one_hot, 0, -1).astype(np.float32)
    out = A.Compose([SAS(**SETTINGS)], seed=3)(**data, mask=deep, masks=[labels])
    assert np.array_equal(out["image"], x)
    assert np.array_equal(out["mask"], np.stack([y == 1, y == 2], -1).astype(np.float32))
    assert np.array_equal(out["masks"][0], y)


EMPTY = {
    "boxes": ({"bboxes": [], "labels": []}, {}),
    "key points": ({"keypoints": []}, {}),
    "masks": ({"masks": []}, {"mask": None}),
    "an array of masks": ({"masks": np.zeros((0, 64, 64), np.uint8)}, {"mask": None}),
    "all of them": ({"bboxes": [], "labels": [], "keypoints": [], "masks": []}, {"mask": None}),
}


@pytest.mark.filterwarnings("default", "error:::sasaug")
@pytest.mark.parametrize("what", EMPTY)
@pytest.mark.parametrize("make", [SAS, Thumbnail, MaskedNoise])
def test_nothing_in_nothing_out(what, make):
    step = make() if make is MaskedNoise else make(canvas=48)
    given, without = EMPTY[what]
    options = {}
    if "bboxes" in given:
        options["bbox_params"] = A.BboxParams("coco", label_fields=["labels"])
    if "keypoints" in given:
        options["keypoint_params"] = A.KeypointParams("xy")
    data = {"image": np.full((64, 64), 99, np.uint8), "mask": np.ones((64, 64), np.uint8)}
    data = {key: value for key, value in {**data, **without}.items() if value is not None}
    out = A.Compose([step], **options)(**data, **given)
    assert all(len(out[key]) == 0 for key in given)
    if "mask" not in data and make is SAS:  # a small sample, resized to the canvas
        x = expected(data["image"][None], np.zeros((64, 64), bool), 0, canvas=48)[0]
        assert np.array_equal(out["image"], x[0])
    again = A.ReplayCompose([step], **options)(**data, **given)
    assert A.ReplayCompose.replay(again["replay"], **data, **given)["image"].any()


def test_masks_with_a_channel_axis():
    data = sample()
    mask = data.pop("mask")
    flat, deep = (
        A.Compose([SAS(**SETTINGS)], seed=3)(**data, masks=masks)
        for masks in ([mask, mask * 2], [mask[..., None], mask[..., None] * 2])
    )
    assert np.array_equal(flat["image"], deep["image"]) and deep["masks"][0].shape[2:] == (1,)
    assert np.array_equal(flat["masks"], np.array(deep["masks"])[..., 0])


def test_a_list_of_one_hot_masks():
    data = sample()
    labels = data.pop("mask")
    masks = [(labels == label).astype(np.uint8) for label in range(3)]
    with pytest.raises(ValueError, match="got 3 channels, one of them set at every pixel"):
        SAS()(**data, masks=masks)
    out = A.Compose([SAS(**SETTINGS, one_hot=True)])(**data, masks=masks)
    assert (np.sum(out["masks"], 0) == 1).all()
    # beside the mask of the ROI, instances stay what they are
    out = SAS(**SETTINGS, one_hot=True)(
        **data, mask=np.stack(masks, -1), masks=[masks[1], masks[2]]
    )
    assert (out["mask"].sum(-1) == 1).all() and not out["masks"][0][0].any()


def test_the_mask_of_the_roi_must_follow_the_image():
    data = sample()
    with pytest.raises(ValueError, match=r"must make 'roi' a mask.* 'mask'}, got 'image'"):
        A.Compose([SAS(mask_key="roi")], additional_targets={"roi": "image"})
    pipeline = A.Compose([SAS(canvas=32, mask_key="roi")])
    with pytest.raises(ValueError, match=r"additional_targets=\{'roi': 'mask'\}\)"):
        pipeline(image=data["image"], roi=data["mask"])
    image = MaskedNoise(mask_key="roi", noise=SALT)(image=data["image"], roi=data["mask"])["image"]
    assert (image != data["image"]).any()  # nothing moves


def test_additional_targets():
    data = sample()
    pipeline = A.Compose(
        [SAS(**SETTINGS, mask_key="roi")],
        additional_targets={"before": "image", "roi": "mask"},
        seed=3,
    )
    x, y = expected(*picture(), seed_of(3), **SETTINGS)
    out = pipeline(image=data["image"], before=data["image"], roi=data["mask"])
    assert np.array_equal(out["image"], x[0]) and np.array_equal(out["before"], x[0])
    assert np.array_equal(out["roi"], y)


def test_single_steps():
    data = sample()
    noisy = A.Compose([MaskedNoise(noise=SALT, labels=(2,))], seed=1)(**data)
    hit = noisy["image"] != data["image"]
    assert not hit[data["mask"] != 2].any() and hit[data["mask"] == 2].mean() > 0.9
    assert np.array_equal(noisy["mask"], data["mask"])
    small = A.Compose([Thumbnail(canvas=40, thumbnail=(0.3, 0.6))], seed=1)(image=data["image"])
    assert small["image"].shape == (40, 40) and 0 < (small["image"] > 0).mean() < 0.4


def test_probability():
    """Who is not drawn is fitted to the canvas; what OneOf forces is transformed."""
    data = sample()
    x, y = expected(*picture(), 0, canvas=32, p=0.0)
    out = A.Compose([SAS(canvas=32, p=0.0)])(**data)
    assert np.array_equal(out["image"], x[0]) and np.array_equal(out["mask"], y)
    one_of = A.OneOf([SAS(canvas=32, p=1e-9, noise={}, thumbnail=(9, 9))], p=1.0)
    out = A.Compose([one_of])(**data)
    assert np.count_nonzero(out["image"]) <= 81


def test_threads_share_a_transform():
    """Each thread's plan meets its own image and mask."""
    step = SAS(**SETTINGS, sample_seed=7)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda k: step(**sample(k % 5), sample_id=k), range(200)))
    assert not step._ready
    for k, out in enumerate(made):
        x, y = expected(*picture(k % 5), 7, k, **SETTINGS)
        assert np.array_equal(out["image"], x[0]) and np.array_equal(out["mask"], y)


def test_outputs_share_no_memory():
    data = sample()
    targets = {"before": "image", "again": "mask"}
    pipeline = A.Compose([SAS(**SETTINGS)], additional_targets=targets)
    out = pipeline(**data, before=data["image"], again=data["mask"])
    for one, other in (("image", "before"), ("mask", "again")):
        assert np.array_equal(out[one], out[other])
        assert not np.shares_memory(out[one], out[other])


def test_replay():
    data = sample()
    how = [SAS(**SETTINGS, position="random"), A.HorizontalFlip(), MaskedNoise(noise=SALT)]
    pipeline = A.ReplayCompose(how)
    pipeline.set_random_seed(5)
    for _ in range(3):
        out = pipeline(**data)
        text = json.dumps(out["replay"])
        assert len(text) < 3000
        again = A.ReplayCompose.replay(json.loads(text), **data)
        assert np.array_equal(again["image"], out["image"])
        assert np.array_equal(again["mask"], out["mask"])
    data["mask"] = np.zeros_like(data["mask"])  # the plan stays, the ROI is this sample's
    clean = A.ReplayCompose.replay(json.loads(text), **data)["image"]
    assert (clean[again["mask"] == 0] == again["image"][again["mask"] == 0]).all()
    assert (clean[again["mask"] > 0] != again["image"][again["mask"] > 0]).any()


@pytest.mark.parametrize(
    "transform",
    [
        SAS(canvas=(48, 40), thumbnail=(9, 30), p=0.25, noise="dali", labels=(1, 2)),
        SAS(noise=None, value_range=(0, 9), sample_seed=4, id_key="id", mask_key="roi"),
        Thumbnail(position="top_left", antialias=True, p=0.5),
        MaskedNoise(salt_vs_pepper=0.25, per_channel=True, value_range="sample"),
    ],
    ids=repr,
)
def test_settings_go_to_a_dictionary_and_back(transform):
    text = json.dumps(A.to_dict(A.Compose([transform])))
    (copy,) = A.from_dict(json.loads(text)).transforms
    for other in (copy, pickle.loads(pickle.dumps(transform))):
        assert type(other) is type(transform) and repr(other) == repr(transform)
        assert other.settings == transform.settings and other.p == transform.p
        assert other._recipe == transform._recipe
        assert (other.id_key, other.mask_key) == (transform.id_key, transform.mask_key)
    assert repr(SAS(canvas=9, p=0.5)) == "SAS(p=0.5, canvas=(9, 9))"


def test_value_ranges():
    data = sample()
    floats = {**data, "image": data["image"].astype(np.float32)}
    with pytest.raises(ValueError, match=r"must hold the values .*it is \(0, 1\), got \d"):
        A.Compose([SAS(**SETTINGS)])(**floats)
    how = {**SETTINGS, "noise": {"gaussian": (0.1, 0.1)}}
    x = A.Compose([SAS(**how, value_range=(0, 255))], seed=3)(**floats)["image"]
    whole = A.Compose([SAS(**how)], seed=3)(**data)["image"]
    assert x.dtype == np.float32 and np.abs(x - whole).max() <= 1


@pytest.mark.parametrize(
    ("options", "data", "error", "message"),
    [
        ({"p": 2}, {}, ValueError, r"p must be in \[0, 1\], got 2"),
        ({"scale": 2}, {}, TypeError, "settings must be of .*, got 'scale'"),
        ({}, {"mask": None}, ValueError, "must hold a mask, mask= or masks=, got"),
        (
            {},
            {"volume": np.zeros((2, 9, 9))},
            ValueError,
            "must be one image, image=, got volume=; volumes and videos need frames=True",
        ),
        (
            {"frames": True},
            {},
            ValueError,
            "must be one clip, volume= with mask3d= or images= with masks=, where frames=True; got "
            "image= and mask=",
        ),
        ({"sample_seed": 1}, {}, ValueError, "sample_id must be given where sample_seed is"),
    ],
)
def test_misuse_is_refused(options, data, error, message):
    with pytest.raises(error, match=message):
        SAS(**options)(**{**sample(), **data})


class Scans(torch.utils.data.Dataset):
    """Indexed by sample ids, epoch * SIZE + index."""

    def __init__(self, pipeline):
        self.pipeline = pipeline

    def __len__(self):
        return SIZE

    def __getitem__(self, id):
        out = self.pipeline(**sample(id % SIZE), sample_id=id)
        return torch.from_numpy(out["image"]), torch.from_numpy(out["mask"])


def test_ids_make_the_same_batches_for_any_number_of_workers():
    ids = [int(i) for i in np.random.default_rng(0).permutation(2 * SIZE)]
    dataset = Scans(A.Compose([SAS(sample_seed=9, **SETTINGS)], strict=True))
    alone = loaded(dataset, sampler=ids, batch_size=1)
    assert loaded(dataset, sampler=ids, batch_size=4, num_workers=2) == alone
    assert loaded(dataset, sampler=ids[9:], batch_size=5) == alone[9:]
    assert len({row[0] for row in alone}) == 2 * SIZE
    for id, (x, y) in zip(ids, alone, strict=True):
        x_, y_ = expected(*picture(id % SIZE), 9, id, **SETTINGS)
        assert x == x_.tobytes() and y == y_.tobytes()


def test_a_training_step_takes_the_batches():
    pipeline = A.Compose(
        [SAS(**SETTINGS), A.HorizontalFlip(), A.Normalize(0, 1), A.pytorch.ToTensorV2()]
    )
    loader = torch.utils.data.DataLoader(
        [pipeline(**sample(k, channels=3)) for k in range(3)], batch_size=3
    )
    batch = next(iter(loader))
    logits = torch.nn.Conv2d(3, 3, 3, padding=1)(batch["image"])
    torch.nn.functional.cross_entropy(logits, batch["mask"].long()).backward()
    assert batch["image"].shape == (3, 3, 48, 40)
