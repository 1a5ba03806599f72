"""Checkpoints: the authors', wrapped ones, MobileSAM's, and files that are none."""

from __future__ import annotations

import pytest
import torch

from litemedsam.model import CONFIGS, LiteMedSAM, load_weights

PATCH = ("image_encoder.patch_embed.seq.0.c.weight", "image_encoder.patch_embed.seq.2.c.weight")


def blank(name: str) -> LiteMedSAM:
    """A model of zeros: nothing is drawn, which takes longer than a test for the large ones."""
    with torch.device("meta"):
        model = LiteMedSAM(CONFIGS[name])
    model.to_empty(device="cpu")
    for tensor in model.state_dict().values():
        tensor.zero_()
    return model


def random_state(name: str) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    state = blank(name).state_dict()
    return {k: torch.rand(v.shape).mul(9).add(1).to(v.dtype) for k, v in state.items()}


def mobile_sam() -> dict[str, torch.Tensor]:
    """Random weights of the keys and shapes of MobileSAM's file: an ImageNet head is in it."""
    head = {"norm_head.weight": (320,), "norm_head.bias": (320,)}
    head |= {"head.weight": (1000, 320), "head.bias": (1000,)}
    extra = {f"image_encoder.{k}": torch.rand(shape) for k, shape in head.items()}
    return random_state("strided") | extra


def differing(model: LiteMedSAM, state: dict[str, torch.Tensor]) -> list[str]:
    own = model.state_dict()
    return [key for key in own if key not in state or not torch.equal(own[key], state[key])]


def test_the_authors_file(tmp_path):
    state, path = random_state("full"), tmp_path / "lite_medsam.pth"
    torch.save(state, path)
    model = blank("full")
    report = load_weights(model, path)
    assert report.complete and len(report.taken) == 435 and not differing(model, state)
    assert str(report) == f"{path}: 435 of 435 tensors taken"
    model.load_state_dict(state, strict=True)


@pytest.mark.parametrize(
    ("wrapper", "on_disk"),
    [("model", True), ("state_dict", False), ("model_state_dict", False), (None, False)],
)
@pytest.mark.parametrize("prefix", ["", "module.", "module._orig_mod."])
def test_training_checkpoints(wrapper, on_disk, prefix, tmp_path):
    state = random_state("tiny")
    content = {prefix + k: v for k, v in state.items()}
    if wrapper:
        optimizer = {"state": {}, "param_groups": [{"lr": 5e-5}]}
        content = {"epoch": 3, "loss": 0.5, "optimizer": optimizer, wrapper: content}
    if on_disk:
        torch.save(content, tmp_path / "checkpoint.pth")
    model = blank("tiny")
    assert differing(model, state)
    assert load_weights(model, tmp_path / "checkpoint.pth" if on_disk else content).complete
    assert not differing(model, state)


def test_mobile_sam_into_full_leaves_the_patch_convolutions():
    state = mobile_sam()
    encoder = [v for k, v in state.items() if k.startswith("image_encoder.")]
    buffers = [v for k, v in state.items() if "running" in k or "num_batches" in k]
    assert sum(v.numel() for v in encoder) - sum(v.numel() for v in buffers) == 6_065_532
    model = blank("full")
    report = load_weights(model, state)
    assert not report.complete and len(report.taken) == 433 and not report.missing
    assert report.wrong_shape == {
        PATCH[0]: ((32, 3, 3, 3), (32, 3, 1, 1)),
        PATCH[1]: ((64, 32, 3, 3), (64, 32, 1, 1)),
    }
    assert differing(model, state) == list(PATCH)
    assert not any(model.state_dict()[key].any() for key in PATCH)
    assert str(report) == (
        "state dict: 433 of 435 tensors taken\n"
        "  unexpected (4): image_encoder.norm_head.weight, image_encoder.norm_head.bias, "
        "image_encoder.head.weight, image_encoder.head.bias\n"
        f"  wrong shape (2): {PATCH[0]} (32, 3, 3, 3) for (32, 3, 1, 1), "
        f"{PATCH[1]} (64, 32, 3, 3) for (64, 32, 1, 1)"
    )


def test_mobile_sam_into_strided_is_complete():
    model, state = blank("strided"), mobile_sam()
    report = load_weights(model, state)
    assert report.complete and len(report.unexpected) == 4 and not differing(model, state)


def test_missing_tensors_are_named_and_keep_their_values():
    state = random_state("tiny")
    gone = [key for key in state if key.startswith("prompt_encoder.point_embeddings")]
    gone.append("prompt_encoder.pe_layer.positional_encoding_gaussian_matrix")
    model = blank("tiny")
    report = load_weights(model, {k: v for k, v in state.items() if k not in gone})
    assert not report.complete and set(report.missing) == set(gone) == set(differing(model, state))
    assert not any(model.state_dict()[key].any() for key in gone)
    assert "missing (5): " in str(report) and str(report).endswith(", and 1 more")


class Unsafe:
    """What ``weights_only`` is for."""


UNREAD = "must be a checkpoint that torch.load(weights_only=True) reads; got "
STATELESS = "must hold a state dict, bare or under model or state_dict or model_state_dict; got "
STRANGE = "must share a key and shape with the model; got "


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", UNREAD),
        (b"<!DOCTYPE html>", UNREAD),
        ({"model": {PATCH[0]: torch.ones(4, 3, 3, 3)}, "args": Unsafe()}, UNREAD),
        ([1, 2], STATELESS),
        ({}, STATELESS),
        ({"epoch": 3}, STATELESS),
        ({"fc.weight": torch.ones(3)}, STRANGE),
        ({PATCH[0]: torch.ones(3)}, STRANGE),
    ],
    ids=["empty", "html", "code", "list", "nothing", "no tensor", "strange", "other shape"],
)
def test_files_that_are_no_checkpoint(content, rule, tmp_path):
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    model = blank("tiny")
    with pytest.raises(ValueError) as error:
        load_weights(model, path)
    assert str(error.value).startswith(f"path_or_state: {rule}{path} ")
    assert not any(tensor.any() for tensor in model.state_dict().values())


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_weights(blank("tiny"), tmp_path / "none.pth")
