"""Pooling inside regions of interest: all regions and channels at once, pixel by pixel of a bin."""

from __future__ import annotations

import math

import numpy as np

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.backends.reference.kernels.rois._windows import (
    PixelWindows,
    images_and_corners,
    round_half_away,
    sorted_windows,
    with_border,
)
from minicaffe.ops.backend import Array, HostArray, Tensor
from minicaffe.ops.rois.roi_pooling import PsRoiAveragePool, RoiMaxPool


@kernel(RoiMaxPool)
class ReferenceRoiMaxPool(ReferenceKernel[RoiMaxPool]):
    """The maximum in each bin; forward saves the indices of the maxima."""

    def __init__(self, backend: ReferenceBackend, op: RoiMaxPool, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._at: Array = self.xp.full((0, tensors[0].shape[1]), -1)

    def forward(self, x: Tensor, rois: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        xp, (r, c, h, w) = self.xp, y.shape
        windows, order = self._bins(rois.get(), x.shape)
        values = xp.moveaxis(x.read(), 1, -1).reshape(-1, c)
        best = xp.zeros((r * h * w, c), values.dtype)
        at = xp.full(best.shape, -1)
        for k, pixels in enumerate(windows.pixels()):
            n, indices = len(pixels), xp.asarray(pixels)
            found = values[indices]
            # The first pixel, a larger one, or NaN, which no later one replaces.
            better = (found > best[:n]) | (found != found) if k else xp.ones(found.shape, bool)
            xp.copyto(best[:n], found, where=better)
            xp.copyto(at[:n], indices[:, None], where=better)
        back = xp.asarray(np.argsort(order))
        self._at = at[back]
        y.write()[...] = xp.moveaxis(best[back].reshape(r, h, w, c), -1, 1)

    def backward(self, rois: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        xp, (n, c, h, w) = self.xp, dx.shape
        given = xp.moveaxis(dy.read(), 1, -1).reshape(-1, c)
        given = xp.where(self._at >= 0, given, 0)
        indices = xp.maximum(self._at, 0) * c + xp.arange(c)
        total = xp.bincount(indices.ravel(), given.ravel(), minlength=n * h * w * c)
        dx.write()[...] = xp.moveaxis(total.reshape(n, h, w, c), -1, 1)

    def _bins(self, rois: HostArray, shape: tuple[int, ...]) -> tuple[PixelWindows, HostArray]:
        """Return the windows of all bins, (R, h, w) in order, and their order by area."""
        images, first, last = images_and_corners(rois, shape[0])
        first, last = with_border(first, last, self.op.pad_ratio)
        start = round_half_away(first * self.op.scale)[:, None, None]
        size = np.maximum(round_half_away(last * self.op.scale)[:, None, None] - start + 1, 1)
        cells = np.array(self.op.bins)
        bins = np.moveaxis(np.indices(self.op.bins), 0, -1)
        # Whole numbers, so that the borders of bins are exact.
        low = start + bins * size // cells
        high = start - -(bins + 1) * size // cells
        images = np.repeat(images, math.prod(self.op.bins))
        return sorted_windows(images, low.reshape(-1, 2), high.reshape(-1, 2), shape[2:])


@kernel(PsRoiAveragePool)
class ReferencePsRoiAveragePool(ReferenceKernel[PsRoiAveragePool]):
    """The mean in each bin of the channels that belong to it."""

    def forward(self, x: Tensor, rois: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        xp, g, (r, d, _, _) = self.xp, self.op.group, y.shape
        n, _, rows, columns = x.shape
        images, first, last = self._bins(rois.get(), x.shape)
        # The channels of a bin are those of an image of its own: (N, g, g, rows, columns, D).
        maps = x.read().reshape(n, d, g, g, rows, columns)
        values = xp.moveaxis(maps, 1, -1).reshape(-1, d)
        image = images[:, None] * g * g + np.arange(g * g)
        windows, order = sorted_windows(image.ravel(), first, last, (rows, columns))
        total = xp.zeros((r * g * g, d), values.dtype)
        for pixels in windows.pixels():
            total[: len(pixels)] += values[xp.asarray(pixels)]
        total /= xp.asarray(np.maximum(windows.areas, 1)[:, None], dtype=total.dtype)
        back = xp.asarray(np.argsort(order))
        y.write()[...] = xp.moveaxis(total[back].reshape(r, g, g, d), -1, 1)

    def backward(self, rois: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        xp, g, (r, d, _, _) = self.xp, self.op.group, dy.shape
        n, _, rows, columns = dx.shape
        images, first, last = self._bins(rois.get(), dx.shape)
        low, high = first.reshape(r, g, g, 2), last.reshape(r, g, g, 2)
        given = dy.read()
        # Indicators of the rows and columns of each bin: (R, g, rows) and (R, g, columns).
        in_rows = _between(low[:, :, 0, 0], high[:, :, 0, 0], rows)
        in_columns = _between(low[:, 0, :, 1], high[:, 0, :, 1], columns)
        areas = in_rows.sum(-1)[:, None, :, None] * in_columns.sum(-1)[:, None, None]
        means = given / xp.asarray(np.maximum(areas, 1), dtype=given.dtype)
        out = dx.write().reshape(n, d, g, g, rows, columns)
        for image in range(n):
            mine = np.flatnonzero(images == image)
            # Sums over regions of products, for each bin: (g, g, D rows, R) @ (g, R, columns).
            left = means[xp.asarray(mine)].transpose(2, 3, 1, 0)[:, :, :, None]
            left = left * xp.asarray(in_rows[mine].transpose(1, 2, 0))[:, None, None]
            left = left.reshape(g, g, d * rows, len(mine))
            right = xp.asarray(in_columns[mine].transpose(1, 0, 2), dtype=given.dtype)
            sums = (left @ right).reshape(g, g, d, rows, columns)
            out[image] = xp.moveaxis(sums, 2, 0)

    def _bins(
        self, rois: HostArray, shape: tuple[int, ...]
    ) -> tuple[HostArray, HostArray, HostArray]:
        """Return the images of the regions (R,), and of all bins the corners (R g g, 2)."""
        images, first, last = images_and_corners(rois, shape[0])
        start = (round_half_away(first) * self.op.scale)[:, None, None]
        end = ((round_half_away(last) + 1) * self.op.scale)[:, None, None]
        size = np.maximum(end - start, 0.1)
        g = self.op.group
        bins = np.moveaxis(np.indices((g, g)), 0, -1)
        low = np.floor(start + bins * size / g)
        high = np.ceil(start + (bins + 1) * size / g)
        return images, low.reshape(-1, 2), high.reshape(-1, 2)


def _between(low: HostArray, high: HostArray, n: int) -> HostArray:
    """Return 1 where low <= k < high, 0 elsewhere, for k in 0 .. n - 1, along a new last axis."""
    k = np.arange(n)
    inside: HostArray = (low[..., None] <= k) & (k < high[..., None])
    return inside
