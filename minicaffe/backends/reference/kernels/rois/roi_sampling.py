"""Bilinear samples on a grid over regions of interest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.backends.reference.kernels.rois._windows import (
    images_and_corners,
    round_half_away,
    with_border,
)
from minicaffe.ops.backend import Array, HostArray, Shape, Tensor
from minicaffe.ops.rois.roi_sampling import RoiGridSample


@dataclass(frozen=True)
class _Samples:
    """The four pixels around each sample; all arrays have the axes (R, rows, columns) or more.

    Parameters
    ----------
    pixels : int array (2, 2, ...)
        Indices into (images * H * W); the first two axes are the upper or lower, left or right one.
    shares : float array (..., 2)
        How far a sample is below and right of the upper left pixel, 0 to 1.
    is_inside : bool array (...)
    can_move : bool array (..., 2)
        Whether a sample moves with its region, along rows and columns.
    place : float array (rows, columns, 2)
        Where in the region, 0 to 1.
    """

    pixels: HostArray
    shares: HostArray
    is_inside: HostArray
    can_move: HostArray
    place: HostArray

    def weights(self) -> HostArray:
        """Return the weight of each pixel (2, 2, ...)."""
        row, column = self.shares[..., 0], self.shares[..., 1]
        sides = [[a * b for b in (1 - column, column)] for a in (1 - row, row)]
        return np.array(sides) * self.is_inside


@kernel(RoiGridSample)
class ReferenceRoiGridSample(ReferenceKernel[RoiGridSample]):
    """Bilinear samples; all regions, samples and channels at once."""

    def forward(self, x: Tensor, rois: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        xp, (r, c, h, w) = self.xp, y.shape
        values = xp.moveaxis(x.read(), 1, -1).reshape(-1, c)
        samples = self._samples(rois.get(), x.shape)
        out = xp.zeros((r, h, w, c), values.dtype)
        for tap, weight in zip(_taps(samples.pixels), _taps(samples.weights()), strict=True):
            share = xp.asarray(weight, dtype=values.dtype)[..., None]
            # An assignment: NaN times 0 would be NaN.
            out += xp.where(share != 0, values[xp.asarray(tap)] * share, 0)
        y.write()[...] = xp.moveaxis(out, -1, 1)

    def backward(
        self, x: Tensor, rois: Tensor, dy: Tensor, dx: Tensor | None, drois: Tensor | None
    ) -> None:
        """Overwrite dx and drois."""
        xp, (n, c, h, w) = self.xp, x.shape
        given = xp.moveaxis(dy.read(), 1, -1)
        samples = self._samples(rois.get(), x.shape)
        if dx is not None:
            weights = xp.asarray(samples.weights(), dtype=given.dtype)[..., None]
            indices = xp.asarray(samples.pixels)[..., None] * c + xp.arange(c)
            parts = (weights * given).ravel()
            total = xp.bincount(indices.ravel(), parts, minlength=n * h * w * c)
            dx.write()[...] = xp.moveaxis(total.reshape(n, h, w, c), -1, 1)
        if drois is not None:
            values = xp.moveaxis(x.read(), 1, -1).reshape(-1, c)
            out = drois.write()
            out[...] = self._corner_gradients(values, samples, given).reshape(out.shape)

    def _corner_gradients(self, values: Array, samples: _Samples, given: Array) -> Array:
        """Return the gradient of the regions, (R, 5)."""
        xp = self.xp
        upper, lower = (values[xp.asarray(side)] for side in samples.pixels)
        row, column = (xp.asarray(samples.shares[..., k, None]) for k in (0, 1))
        down = (lower - upper)[0] * (1 - column) + (lower - upper)[1] * column
        right = (upper[1] - upper[0]) * (1 - row) + (lower[1] - lower[0]) * row
        moves = samples.can_move & samples.is_inside[..., None]
        slopes = xp.stack([(given * down).sum(-1), (given * right).sum(-1)], -1)
        slopes = slopes * xp.asarray(moves) * self.op.scale
        place = xp.asarray(samples.place)
        first, last = ((slopes * share).sum((1, 2)) for share in (1 - place, place))
        columns = [xp.zeros(len(first)), first[:, 1], first[:, 0], last[:, 1], last[:, 0]]
        return xp.stack(columns, 1)

    def _samples(self, rois: HostArray, shape: Shape) -> _Samples:
        op, limits = self.op, np.array(shape[2:])
        images, first, last = images_and_corners(rois, shape[0])
        first, last = with_border(first, last, op.pad_ratio)
        start, end = (corner[:, None, None] * op.scale for corner in (first, last))
        if op.is_rounded:
            start, end = round_half_away(start), round_half_away(end)
        cells = np.array(op.cells)
        place = np.moveaxis(np.indices([n + op.has_end for n in op.cells]), 0, -1) / cells
        wanted = start + place * np.maximum(end - start, 0) - op.shift
        is_inside = ((wanted >= -0.5) & (wanted <= limits - 0.5)).all(-1)
        at = np.clip(wanted, 0, limits - 1)
        low = np.minimum(np.floor(at), np.maximum(limits - 2, 0)).astype(np.int64)
        high = np.minimum(low + 1, limits - 1)
        base = images[:, None, None] * limits[0]
        pixels = [
            [(base + row[..., 0]) * limits[1] + column[..., 1] for column in (low, high)]
            for row in (low, high)
        ]
        return _Samples(np.array(pixels), at - low, is_inside, at == wanted, place)


def _taps(values: HostArray) -> HostArray:
    """Return (2, 2, ...) as (4, ...)."""
    return values.reshape(4, *values.shape[2:])
