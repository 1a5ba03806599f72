"""The page of Lightning: a run that is killed and resumed sees the images of one that is not."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import samples

torch = pytest.importorskip("torch")
lightning = samples.host("lightning")

PAGE = Path(__file__).resolve().parents[2] / "docs" / "adapters" / "lightning.md"
SIZE, SIDE, EPOCHS = 6, 32, 3
images = np.random.default_rng(0).integers(0, 256, (SIZE, SIDE, SIDE), np.uint8)
masks = np.zeros_like(images)
masks[:, 8:24, 8:24] = 1

pytestmark = [
    pytest.mark.skipif(not PAGE.is_file(), reason="the sources are not at hand"),
    pytest.mark.filterwarnings("default", "error:::sasaug"),
]


class Killed(Exception):
    """Ends a run, as a machine that is taken away does."""


def printed(workers: int):
    """The page's module, on its smallest images, with other workers."""
    (code,) = re.findall(r"^```python\n(.*?)^trainer = ", PAGE.read_text(), re.S | re.M)
    changes = {"num_workers=2": f"num_workers={workers}", "canvas=256": f"canvas={SIDE}, p=1.0"}
    for old, new in changes.items():
        assert old in code
        code = code.replace(old, new)
    names = {"images": images, "masks": masks}
    exec(compile(code, str(PAGE), "exec"), names)
    return names["Segmentation"]


def run(module, folder, *, killed_at=None, resumed=False) -> dict[int, bytes]:
    """The images of each step; there is a checkpoint after each epoch."""
    seen = {}

    class Recorded(module):
        def training_step(self, batch):
            if self.global_step == killed_at:
                raise Killed
            seen[self.global_step] = batch[0].numpy().tobytes()
            return super().training_step(batch)

    checkpoints = lightning.pytorch.callbacks.ModelCheckpoint(folder, save_last=True)
    trainer = lightning.Trainer(
        max_epochs=EPOCHS, reload_dataloaders_every_n_epochs=1, callbacks=[checkpoints],
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    try:
        trainer.fit(Recorded(), ckpt_path=folder / "last.ckpt" if resumed else None)
    except Killed:
        assert killed_at is not None
    return seen


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    seen = run(printed(0), tmp_path_factory.mktemp("whole"))
    assert len(set(seen.values())) == len(seen) == EPOCHS * SIZE // 2
    return seen


@pytest.mark.parametrize("workers", [0, 1, 2, 4])
def test_a_resumed_run_sees_the_images_of_one_that_was_not_killed(workers, whole, tmp_path):
    steps = SIZE // 2
    before = run(printed(2), tmp_path, killed_at=steps + 1)
    assert before == {step: whole[step] for step in range(steps + 1)}
    after = run(printed(workers), tmp_path, resumed=True)
    assert after == {step: whole[step] for step in range(steps, EPOCHS * steps)}


def test_validation_is_only_resized():
    module = printed(0)().eval()
    frames = torch.from_numpy(images[:2, None])
    labels, ids = torch.from_numpy(masks[:2]), torch.arange(2)
    x, y = module.on_after_batch_transfer((frames, labels, ids), 0)
    assert torch.equal(x, frames) and torch.equal(y, labels)
    assert not torch.equal(module.train().on_after_batch_transfer((frames, labels, ids), 0)[0], x)
