"""Information gain loss of a softmax: what every backend must compute.

x, labels, h (K, K), p like x, loss; p is the softmax of x along `axis`, and q = max(p, 1e-20).
Pixels whose label is `ignore_label` are ignored::

    loss = - sum over pixels, k of h[label, k] log(q[k]) / Z
    dx   = (p sum over k of h[label, k] - h[label]) / Z

Z is a softmax loss's (see `minicaffe.ops.softmax`); loss is one number, shape (), and the gradient
is multiplied with dloss, a tensor of shape () that backward reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor
from minicaffe.ops.softmax import Normalization


@dataclass(frozen=True)
class InfogainLoss(Op["InfogainLossKernel"]):
    """Describe a softmax followed by a loss with a weight for each pair of classes."""

    axis: int
    normalization: Normalization
    ignore_label: int | None = None


class InfogainLossKernel(Protocol):
    """Forward raises a LabelError for a label that counts and is not a class."""

    def forward(self, x: Tensor, labels: Tensor, h: Tensor, p: Tensor, loss: Tensor) -> None:
        """Overwrite p and loss; h has K * K values in any shape."""

    def backward(self, p: Tensor, labels: Tensor, h: Tensor, dloss: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
