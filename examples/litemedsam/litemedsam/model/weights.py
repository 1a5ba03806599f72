"""One job: published and own checkpoints into a model, saying what was taken and what was left."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

WRAPPERS = ("model", "state_dict", "model_state_dict")
PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and of torch.compile


@dataclass(frozen=True)
class LoadReport:
    """What a checkpoint gave to a model.

    Attributes
    ----------
    source
        The file, or "state dict".
    taken
        Keys whose tensors are now the model's.
    missing
        Keys of the model that the checkpoint lacks: they keep their values.
    unexpected
        Keys of the checkpoint that the model lacks.
    wrong_shape
        Key: shape in the checkpoint, shape in the model, which keeps its values.
    """

    source: str
    taken: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    wrong_shape: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]

    @property
    def complete(self) -> bool:
        """Whether every tensor of the model came from the checkpoint."""
        return not self.missing and not self.wrong_shape

    def __str__(self) -> str:
        total = len(self.taken) + len(self.missing) + len(self.wrong_shape)
        lines = [f"{self.source}: {len(self.taken)} of {total} tensors taken"]
        shapes = [f"{key} {a} for {b}" for key, (a, b) in self.wrong_shape.items()]
        for name, keys in (
            ("missing", self.missing), ("unexpected", self.unexpected), ("wrong shape", shapes),
        ):  # fmt: skip
            if keys:
                more = f", and {len(keys) - 4} more" if len(keys) > 4 else ""
                lines.append(f"  {name} ({len(keys)}): {', '.join(keys[:4])}{more}")
        return "\n".join(lines)


def load_weights(
    model: nn.Module, path_or_state: str | os.PathLike[str] | Mapping[str, Any]
) -> LoadReport:
    """Load every tensor of a checkpoint that the model has under the same key and shape.

    Taken are the authors' ``lite_medsam.pth``, training checkpoints that hold a state dict under
    "model", "state_dict" or "model_state_dict", and MobileSAM's ``mobile_sam.pt``, whose strided
    patch convolutions fit ``CONFIGS["strided"]`` and stay out of ``CONFIGS["full"]``.

    Parameters
    ----------
    model
        Changed in place, whatever its mode.
    path_or_state
        A file that ``torch.load(weights_only=True)`` reads, or its content.

    Returns
    -------
    LoadReport
        Print it: a model that is only partly loaded still runs.
    """
    if isinstance(path_or_state, Mapping):
        source, content = "state dict", path_or_state
    else:
        source = os.fspath(path_or_state)
        content = _read(source)
    state = _state_dict(content, source)
    own = model.state_dict()
    shared = state.keys() & own.keys()
    taken = [key for key in own if key in shared and state[key].shape == own[key].shape]
    if not taken:
        raise ValueError(
            "path_or_state: must share a key and shape with the model; "
            f"got {source} with {len(state)} tensors, the first being {next(iter(state))}"
        )
    model.load_state_dict({key: state[key] for key in taken}, strict=False)
    return LoadReport(
        source,
        tuple(taken),
        tuple(key for key in own if key not in shared),
        tuple(key for key in state if key not in shared),
        {
            key: (tuple(state[key].shape), tuple(own[key].shape))
            for key in own
            if key in shared and state[key].shape != own[key].shape
        },
    )


def _read(path: str) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError, KeyError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ValueError(
            "path_or_state: must be a checkpoint that torch.load(weights_only=True) reads; "
            f"got {path} ({reason or type(error).__name__})"
        ) from error


def _state_dict(content: Any, source: str) -> dict[str, Tensor]:
    """The tensors by key, without wrappers and prefixes."""
    if isinstance(content, Mapping):
        for name in WRAPPERS:
            if isinstance(content.get(name), Mapping):
                return _state_dict(content[name], source)
    if not (
        isinstance(content, Mapping)
        and content
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items())
    ):
        found = list(content)[:4] if isinstance(content, Mapping) else type(content).__name__
        raise ValueError(
            "path_or_state: must hold a state dict, bare or under "
            f"{' or '.join(WRAPPERS)}; got {source} with {found}"
        )
    state = {}
    for key, tensor in content.items():
        while key.startswith(PREFIXES):
            key = key[key.index(".") + 1 :]
        state[key] = tensor
    return state
