"""One job: which axis of MONAI's arrays is which, in images and in volumes of slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from monai.utils import convert_to_tensor

from .._checks import is_integer
from ..plan import Plan

WHICH = "2 for [c h w d], as LoadImaged gives NIfTI volumes, or 0 for [c d h w]"
VOLUMES = ("[c d h w]", "[c h d w]", "[c h w d]")  # by spatial_dim


@dataclass(frozen=True)
class Axes:
    """The spatial axis that the slices of volumes, or the frames of clips, lie along.

    None: images, which have no such axis.
    """

    spatial_dim: int | None

    @classmethod
    def checked(cls, spatial_dim: Any, frames: bool) -> Axes:
        """Return the axes for a setting ``frames``, or raise ValueError."""
        if spatial_dim is None and frames:
            raise ValueError(f"spatial_dim must be given with frames=True: {WHICH}; got None")
        if spatial_dim is not None and not frames:
            raise ValueError(f"spatial_dim must be None without frames=True, got {spatial_dim!r}")
        if spatial_dim is not None and not (is_integer(spatial_dim) and 0 <= spatial_dim <= 2):
            raise ValueError(f"spatial_dim must be 0, 1 or 2: {WHICH}; got {spatial_dim!r}")
        return cls(spatial_dim)

    def image(self, array: Any, argument: str) -> torch.Tensor:
        """Return an image [c h w], or a clip [c t h w], as a view."""
        tensor = self._plain(array, argument)
        return tensor if self.spatial_dim is None else tensor.movedim(self.spatial_dim + 1, 1)

    def from_image(self, clip: torch.Tensor) -> torch.Tensor:
        return clip if self.spatial_dim is None else clip.movedim(1, self.spatial_dim + 1)

    def planes(self, array: Any, argument: str) -> torch.Tensor:
        """Return the planes of a mask, [k h w], or of a clip's, [t k h w], as a view."""
        tensor = self._plain(array, argument)
        return tensor if self.spatial_dim is None else tensor.movedim(self.spatial_dim + 1, 0)

    def from_planes(self, planes: torch.Tensor) -> torch.Tensor:
        return planes if self.spatial_dim is None else planes.movedim(0, self.spatial_dim + 1)

    def in_plane(self, size: Sequence[Any]) -> tuple[int, int]:
        """Return (height, width) of a spatial size."""
        height, width = (int(side) for dim, side in enumerate(size) if dim != self.spatial_dim)
        return height, width

    def affine(self, plan: Plan) -> torch.Tensor:
        """Return the matrix from indices (row, column, 1) of the canvas to those of the source.

        Volumes: with one index more, of the slice, which stays.
        """
        (sy, sx), (x, y) = plan.scale[0], plan.inverse_points([0.5, 0.5]) - 0.5
        matrix = torch.eye(3 if self.spatial_dim is None else 4, dtype=torch.float64)
        row, column = (dim for dim in range(len(matrix) - 1) if dim != self.spatial_dim)
        matrix[row, row], matrix[row, -1] = 1 / sy, y
        matrix[column, column], matrix[column, -1] = 1 / sx, x
        return matrix

    def _plain(self, array: Any, argument: str) -> torch.Tensor:
        tensor: torch.Tensor = convert_to_tensor(array, track_meta=False)
        shape = tuple(tensor.shape)
        if self.spatial_dim is not None and len(shape) != 4:
            raise ValueError(
                f"{argument} must be one volume or clip {VOLUMES[self.spatial_dim]} with "
                f"frames=True and spatial_dim={self.spatial_dim}, got shape {shape}"
            )
        if self.spatial_dim is None and len(shape) != 3:
            volumes = f"; volumes and clips need frames=True and spatial_dim: {WHICH}"
            raise ValueError(
                f"{argument} must be one image [c h w], got shape {shape}"
                f"{volumes if len(shape) == 4 else ''}"
            )
        return tensor
