"""Inner products with an angular margin for the true class: what every backend must compute.

Tensors in planning order: x (N..., K...), w (F, K), labels (N,), classes as floats, damping (1,),
y (N..., F). Axes before `axis` are samples. With theta the angle between a sample and the weights
of its class l, and lambda the value of damping::

    y[n, j] = <w[j], x[n]>                                                     for j != l
    y[n, l] = |w[l]| |x[n]| (lambda cos(theta) + psi(theta)) / (1 + lambda)
    psi(theta) = (-1)^k cos(m theta) - 2 k  for theta in [k pi / m, (k + 1) pi / m]

so that m = `multiple` makes the class m times harder to reach, and lambda eases the start. The
angle of a vector of zeros is 90 degrees.

The gradients are the derivatives, except with `normalizes_gradient`, for weights of unit rows. Then

    dw[j] = sum over n of dy[n, j] x[n], as without a margin;
    dx[n] gets dy[n, l] (lambda w[l] + (a w[l] + b x[n]) / sqrt(a^2 + b^2)) / (1 + lambda) of the
    true class, where a w[l] + b x[n] is the derivative of |x[n]| psi by x[n].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class MarginProduct(Op["MarginProductKernel"]):
    """Describe inner products with a margin; `multiple` is 1 to 4."""

    axis: int
    multiple: int
    normalizes_gradient: bool = False


class MarginProductKernel(Protocol):
    """Forward raises a LabelError for a label that is not a class."""

    def forward(self, x: Tensor, w: Tensor, labels: Tensor, damping: Tensor, y: Tensor) -> None:
        """Overwrite y."""

    def backward(
        self,
        inputs: tuple[Tensor, Tensor, Tensor, Tensor],
        dy: Tensor,
        dx: Tensor | None,
        dw: Tensor | None,
    ) -> None:
        """Overwrite dx and add to dw; None for what is not needed.

        `inputs` are x, w, labels and damping, as in forward.
        """
