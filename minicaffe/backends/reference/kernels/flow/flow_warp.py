"""Images moved by optical flow: four neighbours of each place, gathered at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.flow.flow_warp import FlowWarp


class _Places(NamedTuple):
    """Where the pixels of y lie in x, each (N, H, W)."""

    is_inside: Array
    top: Array
    bottom: Array
    left: Array
    right: Array
    # How far they lie below `top` and right of `left`, 0 to 1.
    down: Array
    across: Array


@kernel(FlowWarp)
class ReferenceFlowWarp(ReferenceKernel[FlowWarp]):
    """Gather in forward, scatter in backward."""

    def forward(self, x: Tensor, flow: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        at = self._places(flow.read())
        values, corners = self._pixels_last(x.read()), self._corners(at)
        found = sum(weight * values[index] for weight, index in corners)
        found = self.xp.where(at.is_inside[..., None], found, self.op.fill)
        self._pixels_last(y.write())[...] = found

    def backward(
        self, x: Tensor, flow: Tensor, dy: Tensor, dx: Tensor | None, dflow: Tensor | None
    ) -> None:
        """Overwrite dx and dflow."""
        at = self._places(flow.read())
        given = self.xp.where(at.is_inside[..., None], self._pixels_last(dy.read()), 0)
        corners = self._corners(at)
        if dx is not None:
            total = self._pixels_last(dx.write())
            total[...] = 0
            for weight, index in corners:
                self.xp.add.at(total, index, weight * given)
        if dflow is not None:
            values, out = self._pixels_last(x.read()), dflow.write()
            top_left, top_right, bottom_left, bottom_right = (values[index] for _, index in corners)
            down, across = at.down[..., None], at.across[..., None]
            by_x = (1 - down) * (top_right - top_left) + down * (bottom_right - bottom_left)
            by_y = (1 - across) * (bottom_left - top_left) + across * (bottom_right - top_right)
            # 0 outside, also where x is not finite.
            inside = at.is_inside[..., None]
            out[:, 0] = self.xp.where(inside, given * by_x, 0).sum(3)
            out[:, 1] = self.xp.where(inside, given * by_y, 0).sum(3)

    def _pixels_last(self, values: Array) -> Array:
        """Return a view of (N, C, H, W) as (N, H, W, C)."""
        return values.transpose(0, 2, 3, 1)

    def _places(self, flow: Array) -> _Places:
        xp, (rows, columns) = self.xp, flow.shape[2:]
        column = flow[:, 0] + xp.arange(columns, dtype=flow.dtype)
        row = flow[:, 1] + xp.arange(rows, dtype=flow.dtype)[:, None]
        inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
        column, row = xp.where(inside, column, 0), xp.where(inside, row, 0)
        left, top = column.astype(np.int64), row.astype(np.int64)
        right, bottom = xp.minimum(left + 1, columns - 1), xp.minimum(top + 1, rows - 1)
        down, across = (row - top).astype(flow.dtype), (column - left).astype(flow.dtype)
        return _Places(inside, top, bottom, left, right, down, across)

    def _corners(self, at: _Places) -> list[tuple[Array, tuple[Array, ...]]]:
        """Return weight (N, H, W, 1) and index of top left, top right, bottom left and right."""
        samples = self.xp.arange(len(at.top))[:, None, None]
        return [
            ((v * h)[..., None], (samples, row, column))
            for v, row in ((1 - at.down, at.top), (at.down, at.bottom))
            for h, column in ((1 - at.across, at.left), (at.across, at.right))
        ]
