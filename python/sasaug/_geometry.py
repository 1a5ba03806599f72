"""One job: from the image to the canvas and back: points, boxes, and the pixels of thumbnails.

Coordinates are (x, y) and start at the image's edge: a pixel's centre is at a half. Everything is
computed in float64, so that the corners of a window move to those of its thumbnail exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._checks import check_choice, checked_flag, checked_sample
from ._frontends import FRONTENDS, NUMPY, Frontend, adopt

FORMATS = ("xyxy", "xywh", "cxcywh")


class Geometry:
    """The part of a plan that moves what belongs to an image: :class:`sasaug.Plan` has it."""

    samples: NDArray[Any]

    @property
    def scale(self) -> NDArray[np.float64]:
        """Canvas pixels per source pixel, along y and x: float64 [n 2].

        Divide the spacing of an image by it, in millimetres per pixel, for that of its thumbnail.

        Examples
        --------
        >>> import numpy, sasaug
        >>> plan = sasaug.SAS(canvas=64, p=0.0).plan(numpy.zeros((1, 128, 128), bool), seed=7)
        >>> plan.scale
        array([[0.5, 0.5]])
        """
        source, target = self.samples["window"][:, 2:], self.samples["thumbnail"][:, 2:]
        ratio: NDArray[np.float64] = target / np.maximum(source, 1)
        return ratio[:, ::-1]

    def transform_points(self, points: Any, sample: ArrayLike = 0) -> Any:
        """Return where points of the source images lie on the canvas.

        Parameters
        ----------
        points : array [... 2]
            (x, y) in pixels from the image's upper left corner: the centre of the first pixel is
            (0.5, 0.5). numpy, torch, cupy, DLPack or a list; points may lie outside the window.
        sample : int or array of int
            The sample that the points belong to, or one for each: of the points' shape without
            the last axis, or of one that broadcasts to it.

        Returns
        -------
        array [... 2]
            Of the same library and device; floats keep their type, anything else becomes float64.

        Raises
        ------
        ValueError, TypeError
            The message names the argument, the rule and the value.

        Examples
        --------
        >>> import numpy, sasaug
        >>> masks = numpy.ones((2, 64, 64), bool)
        >>> plan = sasaug.SAS(thumbnail=(32, 32), p=1.0).plan(masks, seed=7)
        >>> plan.transform_points([[0, 0], [64, 64]], sample=1)
        array([[16., 16.],
               [48., 48.]])
        """
        return _moved_points(points, *self._places(sample, "window", "thumbnail"))

    def inverse_points(self, points: Any, sample: ArrayLike = 0) -> Any:
        """Return where points of the canvas lie in the source images.

        See :meth:`transform_points` for the parameters, what is returned and what is raised.

        Examples
        --------
        >>> import numpy, sasaug
        >>> masks = numpy.ones((2, 64, 64), bool)
        >>> plan = sasaug.SAS(thumbnail=(32, 32), p=1.0).plan(masks, seed=7)
        >>> plan.inverse_points([32, 24])
        array([32., 16.])
        """
        return _moved_points(points, *self._places(sample, "thumbnail", "window"))

    def transform_boxes(
        self, boxes: Any, sample: ArrayLike = 0, format: str = "xyxy", clip: bool = False
    ) -> Any:
        """Return where boxes of the source images lie on the canvas.

        Parameters
        ----------
        boxes : array [... 4]
            In pixels, with coordinates as for :meth:`transform_points`: a box around the first
            pixel is (0, 0, 1, 1) as "xyxy".
        sample : int or array of int
            The sample that the boxes belong to, or one for each, as for
            :meth:`transform_points`.
        format : {"xyxy", "xywh", "cxcywh"}
            Two corners; a corner and width and height; the centre and width and height.
        clip : bool
            Cut the boxes to the thumbnail. One that lies beside the window keeps no area.

        Returns
        -------
        array [... 4]
            In the same format, library and device; floats keep their type, anything else becomes
            float64.

        Raises
        ------
        ValueError, TypeError
            The message names the argument, the rule and the value.

        Examples
        --------
        >>> import numpy, sasaug
        >>> masks = numpy.ones((2, 64, 64), bool)
        >>> plan = sasaug.SAS(thumbnail=(32, 32), p=1.0).plan(masks, seed=7)
        >>> plan.transform_boxes([32, 0, 64, 16], format="xywh", clip=True)
        array([32., 16., 16.,  8.])
        """
        places = self._places(sample, "window", "thumbnail")
        return _moved_boxes(boxes, *places, format, clip)

    def inverse_boxes(
        self, boxes: Any, sample: ArrayLike = 0, format: str = "xyxy", clip: bool = False
    ) -> Any:
        """Return where boxes of the canvas lie in the source images; ``clip`` cuts to the window.

        See :meth:`transform_boxes` for the parameters, what is returned and what is raised.

        Examples
        --------
        >>> import numpy, sasaug
        >>> masks = numpy.ones((2, 64, 64), bool)
        >>> plan = sasaug.SAS(thumbnail=(32, 32), p=1.0).plan(masks, seed=7)
        >>> plan.inverse_boxes([16, 16, 32, 24])
        array([ 0.,  0., 32., 16.])
        """
        places = self._places(sample, "thumbnail", "window")
        return _moved_boxes(boxes, *places, format, clip)

    def undo(
        self,
        images: Any = None,
        masks: Any = None,
        *,
        sizes: ArrayLike | None = None,
        channels: str | None = None,
        num_threads: int | None = None,
    ) -> tuple[Any, Any]:
        """Bring what lies in the thumbnails back to the sizes of the source images.

        For predictions: images are resized bilinearly, masks by the nearest-exact rule, and both
        are 0 outside of the window. Noise stays.

        Parameters
        ----------
        images : array [n h w], [n h w c] or [n c h w], optional
            On the plan's canvas, such as probabilities; any number of channels. A plan of one
            sample takes them without the axis n, too.
        masks : array [n h w], optional
            On the plan's canvas: bool or any integer type.
        sizes : (int, int) or array [n 2] of int, optional
            (height, width) of the source images. Default: the smallest that hold the windows,
            which are the sources' own where the window was the whole image.
        channels, num_threads
            As in :class:`SAS` and :meth:`SAS.__call__`.

        Returns
        -------
        images, masks : array, or list of arrays where the sizes differ
            Of the same library and types; None for what was not given.

        Raises
        ------
        ValueError, TypeError
            The message names the argument, the rule and the value.

        Examples
        --------
        >>> import numpy, sasaug
        >>> masks = [numpy.ones((48, 64), bool), numpy.ones((80, 60), bool)]
        >>> plan = sasaug.SAS(canvas=32, p=1.0).plan(masks, seed=7)
        >>> _, back = plan.undo(masks=numpy.ones((2, 32, 32), bool))
        >>> [mask.shape for mask in back]
        [(48, 64), (80, 60)]
        """
        from ._undo import undo  # it runs the kernels, by plans

        return undo(self, images, masks, sizes, channels, num_threads)  # type: ignore[arg-type]

    def _places(
        self, sample: ArrayLike, source: str, target: str
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """The rectangles that something of these samples moves from and to, [... 4]."""
        chosen = self.samples[checked_sample(sample, len(self.samples))]
        return chosen[source].astype(np.float64), chosen[target].astype(np.float64)


def _moved_points(points: Any, source: NDArray[Any], target: NDArray[Any]) -> Any:
    frontend, points = _vectors(points, "points", 2, source)
    exact = frontend.as_float64(points)
    corner, size = source[..., :2], np.maximum(source[..., 2:], 1)
    to_corner, to_size = target[..., :2], target[..., 2:]
    here = [frontend.beside(points, numbers) for numbers in (corner, to_size, size, to_corner)]
    return frontend.as_type((exact - here[0]) * here[1] / here[2] + here[3], points)


def _moved_boxes(
    boxes: Any, source: NDArray[Any], target: NDArray[Any], format: str, clip: bool
) -> Any:
    check_choice("format", format, FORMATS)
    clip = checked_flag("clip", clip)
    frontend, boxes = _vectors(boxes, "boxes", 4, source)
    exact = frontend.as_float64(boxes)
    first, second = exact[..., :2], exact[..., 2:]
    if format == "cxcywh":
        first = first - second / 2
    if format != "xyxy":
        second = first + second
    first, second = (_moved_points(corner, source, target) for corner in (first, second))
    if clip:
        low = frontend.beside(boxes, target[..., :2])
        high = frontend.beside(boxes, target[..., :2] + target[..., 2:])
        first, second = (corner.clip(low, high) for corner in (first, second))
    if format != "xyxy":
        second = second - first
    if format == "cxcywh":
        first = first + second / 2
    return frontend.as_type(frontend.concatenate([first, second]), boxes)


def _vectors(values: Any, name: str, length: int, rectangles: NDArray[Any]) -> tuple[Frontend, Any]:
    """Points or boxes as an array, whose last axis has this length."""
    rule = f"{name} must be numbers [... {length}]"
    frontend = next((frontend for frontend in FRONTENDS if frontend.owns(values)), None)
    if frontend is None and hasattr(values, "__dlpack__"):
        frontend, values = adopt(values, name)
    elif frontend is None:
        try:
            frontend, values = NUMPY, np.asarray(values)
        except ValueError:
            raise ValueError(f"{rule}, got lists of different lengths") from None
    shape, dtype = tuple(values.shape), str(values.dtype)
    numbers = any(kind in dtype for kind in ("int", "float", "bool"))
    if not numbers or not shape or shape[-1] != length:
        raise ValueError(f"{rule}, got {dtype} of shape {shape}")
    of = rectangles.shape[:-1]
    fits = all(a in (1, b) for a, b in zip(of[::-1], shape[-2::-1], strict=False))
    if len(of) >= len(shape) or not fits:
        raise ValueError(
            f"sample must be one integer or one for each of the {name}, {shape[:-1]}, "
            f"got shape {of}"
        )
    return frontend, values
