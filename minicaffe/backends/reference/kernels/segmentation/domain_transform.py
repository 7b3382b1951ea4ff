"""Edge-preserving smoothing: a loop over columns or rows, for all images and channels at once."""

from __future__ import annotations

import math

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.segmentation.domain_transform import DomainTransform


def _lines(values: Array) -> list[Array]:
    """Return views of (N, C, H, W) whose first axis is that of each pass, in its direction."""
    columns, rows = values.transpose(3, 0, 1, 2), values.transpose(2, 0, 1, 3)
    return [columns, columns[::-1], rows, rows[::-1]]


def _shares(weights: Array) -> list[Array]:
    """Return views of the weights between the neighbours of each pass, one less than pixels."""
    columns, rows = weights.transpose(3, 0, 1, 2), weights.transpose(2, 0, 1, 3)
    return [columns[1:], columns[:0:-1], rows[1:], rows[:0:-1]]


@kernel(DomainTransform)
class ReferenceDomainTransform(ReferenceKernel[DomainTransform]):
    """Four passes a round; forward saves the weights, and the values before and after each pass."""

    def __init__(self, backend: ReferenceBackend, op: DomainTransform, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._weights: list[Array] = []
        self._values: list[Array] = []

    def forward(self, x: Tensor, edges: Tensor, sizes: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        values, steepness = x.read().copy(), edges.read()
        inside = self._inside(sizes.read(), steepness.shape)
        self._weights, self._values = [], [values.copy()]
        for decay in self._decays():
            found = self.xp.exp(decay * (1 + steepness * self._ratio()))
            weights = self.xp.where(inside, self.xp.maximum(found, self.op.min_weight), 0)
            self._weights.append(weights)
            for line, share in zip(_lines(values), _shares(weights), strict=True):
                for k in range(1, len(line)):
                    line[k] += share[k - 1] * (line[k - 1] - line[k])
                self._values.append(values.copy())
        y.write()[...] = values

    def backward(self, dy: Tensor, dx: Tensor | None, dedges: Tensor | None) -> None:
        """Overwrite dx and dedges."""
        gradient = dy.read().copy()
        total = self.xp.zeros_like(self._weights[0])
        for i, decay in reversed(list(enumerate(self._decays()))):
            weights = self._weights[i]
            slopes = self.xp.zeros_like(weights)
            for p in (3, 2, 1, 0):
                self._pass_back(p, 4 * i + p, gradient, weights, slopes)
            free = weights > self.op.min_weight
            total += self.xp.where(free, slopes * weights * (decay * self._ratio()), 0)
        if dx is not None:
            dx.write()[...] = gradient
        if dedges is not None:
            dedges.write()[...] = total

    def _pass_back(
        self, p: int, number: int, gradient: Array, weights: Array, slopes: Array
    ) -> None:
        """Turn the gradient of the result of pass `p` into that of its input; add to slopes."""
        before, after = (_lines(self._values[n])[p] for n in (number, number + 1))
        line, share, slope = _lines(gradient)[p], _shares(weights)[p], _shares(slopes)[p]
        for k in range(len(line) - 1, 0, -1):
            slope[k - 1] += (line[k] * (after[k - 1] - before[k])).sum(1, keepdims=True)
            line[k - 1] += share[k - 1] * line[k]
            line[k] *= 1 - share[k - 1]

    def _decays(self) -> list[float]:
        """Return - sqrt(2) / sigma of each round."""
        op = self.op
        widths = math.sqrt(3) * op.spatial_sigma / math.sqrt(4**op.n_rounds - 1)
        return [
            -math.sqrt(2) / (widths * 2 ** (op.n_rounds - i)) for i in range(1, op.n_rounds + 1)
        ]

    def _ratio(self) -> float:
        return self.op.spatial_sigma / self.op.range_sigma

    def _inside(self, sizes: Array, shape: tuple[int, ...]) -> Array:
        """Return which pixels are smoothed, (N, 1, H, W)."""
        limits = sizes.reshape(-1, 2)[:, :, None, None, None]
        rows, columns = self.xp.arange(shape[2])[:, None], self.xp.arange(shape[3])
        return (rows < limits[:, 0]) & (columns < limits[:, 1])
