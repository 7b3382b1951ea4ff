"""PixelWindows of pixels that depend on values: computed on the host, gathered on the device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from minicaffe.backends.reference.kernels._labels import image_numbers
from minicaffe.ops.backend import HostArray, Shape


@dataclass(frozen=True)
class PixelWindows:
    """Rectangles of pixels in images of one size, in order of descending area.

    Parameters
    ----------
    image : int array (B,)
    first, last : int array (B, 2)
        Row and column of the first pixel, and of the one behind the last.
    size : tuple of int
        Rows and columns of the images.
    """

    image: HostArray
    first: HostArray
    last: HostArray
    size: tuple[int, int]

    @property
    def areas(self) -> HostArray:
        """The number of pixels of each, int array (B,)."""
        areas: HostArray = np.maximum(self.last - self.first, 0).prod(1)
        return areas

    def pixels(self) -> Iterator[HostArray]:
        """Yield the first pixel of each window, then the second of each that has one, and so on.

        Yields
        ------
        int array (m,)
            Indices into (images * rows * columns); m windows, the first ones, have the pixel. The
            order of a window's pixels is row-major.
        """
        rows, columns = self.size
        areas = self.areas
        for k in range(int(areas[0]) if len(areas) else 0):
            m = int(np.searchsorted(-areas, -k))
            width = self.last[:m, 1] - self.first[:m, 1]
            row, column = self.first[:m, 0] + k // width, self.first[:m, 1] + k % width
            yield (self.image[:m] * rows + row) * columns + column


def sorted_windows(
    image: HostArray, first: HostArray, last: HostArray, size: Shape
) -> tuple[PixelWindows, HostArray]:
    """Return windows cut to the images and in order, and the index that each had in the arguments.

    Parameters
    ----------
    image : int array (B,)
    first, last : number array (B, 2)
    size : tuple of int
        Rows and columns of the images.
    """
    first = np.clip(first, 0, size).astype(np.int64)
    last = np.clip(last, 0, size).astype(np.int64)
    order: HostArray = np.argsort(-np.maximum(last - first, 0).prod(1), kind="stable")
    rows, columns = size
    return PixelWindows(image[order], first[order], last[order], (rows, columns)), order


def round_half_away(values: HostArray) -> HostArray:
    """Return the nearest whole numbers, halves away from zero."""
    rounded: HostArray = np.copysign(np.floor(np.abs(values) + 0.5), values)
    return rounded


def images_and_corners(rois: HostArray, n_images: int) -> tuple[HostArray, HostArray, HostArray]:
    """Return the images (R,) of regions (R, 5) and their first and last corners (R, 2) as (y, x).

    Raises
    ------
    LabelError
        If an image is not a whole number in 0 .. n_images - 1.
    """
    rows = rois.reshape(len(rois), 5).astype(np.float64)
    images = image_numbers(np, rows[:, 0], n_images)
    return images, rows[:, 2:0:-1], rows[:, 4:2:-1]


def with_border(first: HostArray, last: HostArray, ratio: float) -> tuple[HostArray, HostArray]:
    """Return corners moved outwards by a share of the region's rows and columns."""
    border = ratio * (last - first + 1)
    return first - border, last + border
