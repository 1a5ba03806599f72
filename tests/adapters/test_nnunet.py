"""sasaug.adapters.nnunet: from a raw data set to a trained epoch, by nnU-Net's own commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import PIL.Image
import pytest

import samples

torch = pytest.importorskip("torch")
samples.host("nnunetv2")
with samples.quietly():
    import SimpleITK
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    from sasaug.adapters.batchgenerators import SASTransform
    from sasaug.adapters.nnunet import nnUNetTrainerSAS

SIDE = 48
#: What nnU-Net passes for a 2-D configuration with one label.
GIVEN = {
    "patch_size": [SIDE, SIDE],
    "rotation_for_DA": (-3.14, 3.14),
    "deep_supervision_scales": [[1.0, 1.0], [0.5, 0.5]],
    "mirror_axes": (0, 1),
    "do_dummy_2d_data_aug": False,
    "use_mask_for_norm": [False],
    "is_cascaded": False,
    "foreground_labels": [np.int64(1)],
    "regions": None,
    "ignore_label": None,
}


def transforms(trainer, **given):
    return trainer.get_training_transforms(**{**GIVEN, **given}).transforms


def test_sas_stands_behind_the_crop_and_the_rest_is_nnunets():
    steps = transforms(nnUNetTrainerSAS)
    assert repr(steps.pop(1)) == "SASTransform(value_range='sample')"
    assert [repr(step) for step in steps] == [repr(step) for step in transforms(nnUNetTrainer)]


def test_a_subclass_changes_the_settings():
    class Stronger(nnUNetTrainerSAS):
        sas: ClassVar = {**nnUNetTrainerSAS.sas, "p": 0.9}

    assert repr(transforms(Stronger)[1]) == "SASTransform(p=0.9, value_range='sample')"
    assert transforms(nnUNetTrainerSAS)[1].settings.p == 0.5


def test_an_ignore_label_is_no_roi():
    step = transforms(nnUNetTrainerSAS, foreground_labels=[1, 2], ignore_label=3)[1]
    assert step.settings.labels == (1, 2)
    assert transforms(nnUNetTrainerSAS)[1].settings.labels is None


@pytest.mark.parametrize("dummy", [False, True])
def test_in_3d_the_slices_of_a_patch_share_a_thumbnail(dummy):
    """Behind the way back to 3-D, where nnU-Net moves slice by slice what is anisotropic."""
    given = {"patch_size": [8, SIDE, SIDE], "mirror_axes": (0, 1, 2), "do_dummy_2d_data_aug": dummy}
    given["deep_supervision_scales"] = [[1.0] * 3, [0.5] * 3]
    steps = transforms(nnUNetTrainerSAS, **given)
    assert repr(steps.pop(3 if dummy else 1)) == "SASTransform(frames=True, value_range='sample')"
    assert [repr(step) for step in steps] == [
        repr(step) for step in transforms(nnUNetTrainer, **given)
    ]


def test_in_a_cascade_what_was_predicted_follows_and_is_not_roi():
    class Always(nnUNetTrainerSAS):
        sas: ClassVar = {"value_range": "sample", "p": 1.0, "apply_to": "all"}

    given = {"patch_size": [4, SIDE, SIDE], "mirror_axes": (0, 1, 2), "is_cascaded": True}
    given["deep_supervision_scales"] = [[1.0] * 3, [0.5] * 3]
    step = transforms(Always, **given)[1]
    plain = SASTransform(**Always.sas, frames=True)
    patch = torch.rand(1, 4, SIDE, SIDE)
    truth = torch.zeros(1, 4, SIDE, SIDE, dtype=torch.int16)
    truth[..., 10:30, 5:20] = 1

    def seeded(transform, segmentation):
        np.random.seed(3)
        return transform(image=patch, segmentation=segmentation)

    for predicted in (truth, 1 - truth):
        out, alone = seeded(step, torch.cat([truth, predicted])), seeded(plain, truth)
        assert torch.equal(out["image"], alone["image"])
        moved = seeded(plain, predicted)["segmentation"]  # by the same thumbnail
        assert torch.equal(out["segmentation"], torch.cat([alone["segmentation"], moved]))


@pytest.mark.parametrize(
    ("sas", "given", "message"),
    [
        (
            {"frames": False}, {"patch_size": (8, 64, 64)},
            "Changed.sas must not hold frames: the configuration is 2-D or 3-D; got False",
        ),
        (
            {"canvas": 256}, {},
            "Changed.sas must not hold a canvas: the canvas is the patch; got 256",
        ),
        ({"p": 2}, {}, r"p must be in \[0, 1\], got 2"),
    ],
)  # fmt: skip
def test_misuse_is_refused_before_the_training(sas, given, message):
    changed = type("Changed", (nnUNetTrainerSAS,), {"sas": sas})
    with pytest.raises(ValueError, match=message):
        transforms(changed, **given)


def raw_dataset(folder: Path, configuration: str) -> None:
    """Five images or volumes with a bright block, as nnU-Net reads them: one is for validation."""
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    shape, ending = ((SIDE, SIDE), "png") if configuration == "2d" else ((10, SIDE, SIDE), "nii.gz")
    for k in range(5):
        image, mask = rng.integers(30, 80, shape, np.uint8), np.zeros(shape, np.uint8)
        mask[..., 8 + k : 30 + k, 10:34] = 1
        image[mask > 0] += 100
        for array, name in ((image, f"imagesTr/case{k}_0000"), (mask, f"labelsTr/case{k}")):
            if ending == "png":
                PIL.Image.fromarray(array).save(folder / f"{name}.png")
            else:
                volume = SimpleITK.GetImageFromArray(array)
                volume.SetSpacing((0.5, 0.5, 3.0))  # x, y, z
                SimpleITK.WriteImage(volume, str(folder / f"{name}.nii.gz"))
    description = {
        "channel_names": {"0": "ultrasound"},
        "labels": {"background": 0, "block": 1},
        "numTraining": 5,
        "file_ending": f".{ending}",
    }
    (folder / "dataset.json").write_text(json.dumps(description))


CONFIGURATIONS = {"2d": "Dataset001_Images", "3d_fullres": "Dataset002_Volumes"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """From raw folders to one epoch, in one process; what it printed, and where things are."""
    root = tmp_path_factory.mktemp("nnunet")
    for configuration, name in CONFIGURATIONS.items():
        raw_dataset(root / "raw" / name, configuration)
    command = [sys.executable, "-m", "sasaug.adapters.nnunet"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    environment = {
        f"nnUNet_{name}": str(root / name) for name in ("raw", "preprocessed", "results")
    }
    environment["nnUNet_extTrainer"] = printed.strip()
    runner = [sys.executable, str(Path(__file__).with_name("nnunet_runner.py")), *CONFIGURATIONS]
    made = subprocess.run(runner, env={**os.environ, **environment}, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    assert made.stdout.count(f"Using trainer 'nnUNetTrainerSAS' from: {printed}") == 2
    counted = [json.loads(line) for line in made.stdout.splitlines() if line.startswith('{"patch')]
    return root / "results", dict(zip(CONFIGURATIONS, counted, strict=True))


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_from_raw_folder_to_one_epoch(configuration, trained):
    """Found by nnU-Net in the folder that the adapter's command prints."""
    results, counted = trained
    patches = counted[configuration]
    assert patches["patches"] >= 2 * 2 and 0 < patches["transformed"] < patches["patches"]
    trainer = f"nnUNetTrainerSAS__nnUNetPlans__{configuration}"
    fold = results / CONFIGURATIONS[configuration] / trainer / "fold_0"
    checkpoint = torch.load(fold / "checkpoint_final.pth", weights_only=False)
    assert checkpoint["trainer_name"] == "nnUNetTrainerSAS" and checkpoint["current_epoch"] == 1
    assert (fold / "validation" / "summary.json").is_file()
