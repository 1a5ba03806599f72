"""The page of Hugging Face: from the data set to training steps, killed and resumed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import samples
import sasaug
from sasaug.adapters.loader import SampleIds

torch = pytest.importorskip("torch")
samples.name_missing_operators()
transformers = samples.host("transformers")
samples.host("datasets")
samples.host("accelerate")

PAGE = Path(__file__).resolve().parents[2] / "docs" / "adapters" / "huggingface.md"
SIZE, SIDE, EPOCHS = 6, 64, 2
STEPS = SIZE // 2  # of an epoch
images = np.random.default_rng(0).integers(0, 256, (SIZE, 80, SIDE), np.uint8)
masks = np.zeros_like(images)
masks[:, 16:64, 8:56] = 1

pytestmark = [
    pytest.mark.skipif(not PAGE.is_file(), reason="the sources are not at hand"),
    pytest.mark.filterwarnings("default", "error:::sasaug"),
]


class Killed(Exception):
    """Ends a run, as a machine that is taken away does."""


def printed(workers: int, save: str) -> dict:
    """The page's names up to its Trainer, with other workers, and every sample transformed."""
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.S | re.M))
    code, _ = re.split(r"^trainer = ", code, flags=re.M)
    changes = {
        "dataloader_num_workers=2": f"dataloader_num_workers={workers}",
        "canvas=64": "canvas=64, p=1.0",
        'report_to="none"': f'report_to="none", {save}, disable_tqdm=True, use_cpu=True',
    }
    for old, new in changes.items():
        assert code.count(old) == 1, old
        code = code.replace(old, new)
    names = {"images": images, "masks": masks, "__name__": "page"}
    exec(compile(code, str(PAGE), "exec"), names)
    return names


def run(workers: int, *, killed_at=None, resumed=None, transform=False) -> dict:
    """The images and labels of each step; a run that is killed leaves a checkpoint of each."""
    save = "save_steps=1" if killed_at else 'save_strategy="no"'
    names, seen = printed(workers, save), {}

    class Recorded(names["SASTrainer"]):
        def compute_loss(self, model, inputs, **options):
            if self.state.global_step == killed_at:
                raise Killed
            seen[self.state.global_step] = (inputs["pixel_values"].clone(), inputs["labels"])
            return super().compute_loss(model, inputs, **options)

    data, collate, trainer = names["Frames"](), names["collate"], Recorded
    if transform:  # the first half of the page
        trainer = type("Plain", (Recorded,), {})
        trainer._get_train_sampler = transformers.Trainer._get_train_sampler
        data, collate = names["dataset"], None
        data.set_transform(names["transform"])
    torch.manual_seed(0)
    model = transformers.SegformerForSemanticSegmentation(names["config"])
    before = [parameter.detach().clone() for parameter in model.parameters()]
    training = trainer(model, names["arguments"], collate, train_dataset=data)
    try:
        training.train(resume_from_checkpoint=resumed)
    except Killed:
        assert killed_at is not None
    assert any(
        not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True)
    )
    return seen


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(
        torch.equal(x, y) for step in a for x, y in zip(a[step], b[step], strict=True)
    )


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """The model is too small for two, which would wait for one another on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("whole"))
        seen = run(0)
    assert len({x.numpy().tobytes() for x, _ in seen.values()}) == EPOCHS * STEPS
    return seen


def test_a_step_sees_what_sas_makes_of_its_ids(whole):
    ids = list(SampleIds(SIZE, first_epoch=1))[:2]
    chosen = np.array(ids) % SIZE
    how = sasaug.SAS(canvas=SIDE, p=1.0)
    x, y = how(images[chosen], masks[chosen], seed=2025, ids=ids)
    pixels, labels = whole[STEPS]
    assert np.array_equal(pixels[:, 0], x.astype(np.float32) / 255) and np.array_equal(labels, y)


@pytest.fixture(scope="module")
def checkpoints(whole, tmp_path_factory):
    """The folder of a run that was killed in its second epoch."""
    folder = tmp_path_factory.mktemp("killed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        before = run(2, killed_at=STEPS + 1)
    assert same(before, {k: whole[k] for k in range(STEPS + 1)})
    return folder / "runs"


@pytest.mark.parametrize(
    ("workers", "step"), [(1, STEPS + 1), (2, STEPS + 1), (4, STEPS + 1), (2, STEPS)]
)
def test_a_resumed_run_sees_the_images_of_one_that_was_not_killed(
    workers, step, whole, checkpoints, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    rest = run(workers, resumed=str(checkpoints / f"checkpoint-{step}"))
    assert same(rest, {k: whole[k] for k in range(step, EPOCHS * STEPS)})


def test_the_transform_draws_anew_and_a_seed_repeats_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = run(2, transform=True)
    assert len({x.numpy().tobytes() for x, _ in first.values()}) == EPOCHS * STEPS
    assert same(run(2, transform=True), first)
