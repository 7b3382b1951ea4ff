"""Smooth L1 losses."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.backends.reference.kernels.loss import write_both
from minicaffe.ops.backend import Array, ArrayModule, Tensor
from minicaffe.ops.rois.smooth_l1_loss import SmoothL1Loss, SmoothL1LossOhem


def smooth_l1(xp: ArrayModule, d: Array, sigma: float = 1.0) -> Array:
    """Return the smooth L1 function of d."""
    far = xp.abs(d)
    return xp.where(far < 1 / sigma**2, 0.5 * sigma**2 * d * d, far - 0.5 / sigma**2)


def smooth_l1_slope(xp: ArrayModule, d: Array, sigma: float = 1.0) -> Array:
    """Return the derivative of the smooth L1 function."""
    return xp.where(xp.abs(d) < 1 / sigma**2, sigma**2 * d, xp.sign(d))


@kernel(SmoothL1Loss)
class ReferenceSmoothL1Loss(ReferenceKernel[SmoothL1Loss]):
    """The loss over N, with optional weights inside and outside of the function."""

    def forward(self, xs: Sequence[Tensor], loss: Tensor) -> None:
        """Overwrite loss."""
        d, weights = _weighted_difference(xs), xs[3:]
        values = smooth_l1(self.xp, d, self.op.sigma)
        if weights:
            values = values * weights[0].read().reshape(values.shape)
        loss.write()[...] = values.sum() / max(len(values), 1)

    def backward(
        self, xs: Sequence[Tensor], dloss: Tensor, da: Tensor | None, db: Tensor | None
    ) -> None:
        """Overwrite da and db."""
        d = _weighted_difference(xs)
        slope = smooth_l1_slope(self.xp, d, self.op.sigma)
        for weights in xs[2:]:
            slope = slope * weights.read().reshape(slope.shape)
        write_both(slope * (dloss.read() / max(len(d), 1)), da, db)


@kernel(SmoothL1LossOhem)
class ReferenceSmoothL1LossOhem(ReferenceKernel[SmoothL1LossOhem]):
    """The loss with that of each region."""

    def forward(self, xs: Sequence[Tensor], losses: Tensor, loss: Tensor) -> None:
        """Overwrite losses and loss."""
        values = smooth_l1(self.xp, _weighted_difference(xs)).sum(1, keepdims=True)
        losses.write()[...] = values
        loss.write()[...] = values.sum() / self.op.divisor

    def backward(
        self, xs: Sequence[Tensor], dloss: Tensor, da: Tensor | None, db: Tensor | None
    ) -> None:
        """Overwrite da and db."""
        slope = smooth_l1_slope(self.xp, _weighted_difference(xs))
        write_both(slope * (dloss.read() / self.op.divisor), da, db)


def _weighted_difference(xs: Sequence[Tensor]) -> Array:
    """Return the difference of the first two, times the third if there is one."""
    a = xs[0].read()
    d = a - xs[1].read().reshape(a.shape)
    return d * xs[2].read().reshape(a.shape) if len(xs) > 2 else d
