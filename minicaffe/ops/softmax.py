"""Softmax and softmax loss: what every backend must compute.

x has `outer` axes before `axis`, K classes along it, and `inner` axes after it::

    p[o, k, i] = exp(x[o, k, i] - max over k of x) / sum over k of this

Softmax: tensors in planning order x, y of one shape; y may be x. Backward reads y.

SoftmaxLoss: tensors x, labels (outer * inner values, indices stored as floats), p like x, loss ().
Pixels whose label is `ignore_label` are ignored::

    loss = - sum over o, i of w[label] sum over k of t[k] log(max(p[o, k, i], tiny)) / Z
    dx   = dloss / Z * w[label] (p sum of t - t),  0 where ignored

with tiny the smallest normal float32, w[k] the weight of a class, 1 without `class_weights`, and
targets t[k] = 1 - `smoothing` for the label and smoothing / K for the other classes. Z, never below
1, is "full": outer * inner; "valid": the number of pixels not ignored, whatever their weights;
"batch_size": the product of the outer axes; "none": 1. Z may be given as a number as well, which
must be positive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from minicaffe.ops.backend import Op, Tensor

Normalization: TypeAlias = Literal["full", "valid", "batch_size", "none"] | float


@dataclass(frozen=True)
class Softmax(Op["SoftmaxKernel"]):
    """Describe a softmax along one axis."""

    axis: int


class SoftmaxKernel(Protocol):
    """Forward, and the gradient from y alone."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""

    def backward(self, y: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx with y * (dy - sum over classes of dy * y)."""


@dataclass(frozen=True)
class SoftmaxLoss(Op["SoftmaxLossKernel"]):
    """Describe a softmax followed by the multinomial logistic loss."""

    axis: int
    normalization: Normalization
    ignore_label: int | None = None
    class_weights: tuple[float, ...] = ()
    smoothing: float = 0.0


class SoftmaxLossKernel(Protocol):
    """Forward overwrites the probabilities, backward reads them."""

    def forward(self, x: Tensor, labels: Tensor, p: Tensor, loss: Tensor) -> None:
        """Overwrite p and loss.

        Raises
        ------
        LabelError
            If a label that counts is not a whole number in 0 .. K - 1.
        """

    def backward(self, p: Tensor, labels: Tensor, dloss: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
