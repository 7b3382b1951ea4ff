"""Loss functions except softmax loss: what every backend must compute.

Every loss is a single number, shape (), and every gradient is multiplied with dloss, a tensor
of shape () that backward reads. N is the number of samples, the size of the first axis.

EuclideanLoss: tensors in planning order a, b (N, ...), loss::

    loss = sum of (a - b)^2 / (2 N)        da = (a - b) / N = -db

HingeLoss: x, labels (N,), margins, loss. A sample of x is a vector of K scores, one a class; s is
-1 for the true class and 1 for the others::

    margins = max(0, 1 + s x)
    L1: loss = sum of margins / N          dx = s / N where margins > 0, 0 elsewhere
    L2: loss = sum of margins^2 / N        dx = 2 s margins / N

ContrastiveLoss: a, b (N, ...), similar (N,), loss. d is the Euclidean distance of a sample's two
vectors; similar is a whole number, 0 if they are dissimilar::

    similar:     d^2                       da = (a - b) / N = -db
    dissimilar:  max(0, margin - d)^2      da = -max(0, margin - d) / (d + 1e-4) (a - b) / N
    legacy:      max(0, margin - d^2)      da = -(a - b) / N where that is above 0
    loss = sum over the samples / (2 N)

MultinomialLogisticLoss: p (N, K...), labels (N,), loss; p holds probabilities::

    loss = - sum of log(q[label]) / N      dp[label] = -1 / (N q[label]), 0 elsewhere

with q = max(p, 1e-20).

SigmoidCrossEntropyLoss: x, t of one shape, loss. t holds probabilities; where, cut to a whole
number, it is `ignore_label`, it counts for nothing::

    loss = - sum of t log(s) + (1 - t) log(1 - s), s = 1 / (1 + exp(-x)), / Z
    dx   = (s - t) / Z

Z is a softmax loss's (see `minicaffe.ops.softmax`); for SigmoidCrossEntropyLoss every value is a
pixel and "batch_size" is N.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from minicaffe.ops.backend import Op, Tensor
from minicaffe.ops.softmax import Normalization

HingeNorm: TypeAlias = Literal["L1", "L2"]


@dataclass(frozen=True)
class EuclideanLoss(Op["EuclideanLossKernel"]):
    """Describe half the mean squared distance."""


class EuclideanLossKernel(Protocol):
    """Forward, and the gradients of both inputs."""

    def forward(self, a: Tensor, b: Tensor, loss: Tensor) -> None:
        """Overwrite loss."""

    def backward(
        self, a: Tensor, b: Tensor, dloss: Tensor, da: Tensor | None, db: Tensor | None
    ) -> None:
        """Overwrite da and db; None for those that are not needed."""


@dataclass(frozen=True)
class HingeLoss(Op["HingeLossKernel"]):
    """Describe a one-against-all hinge loss."""

    norm: HingeNorm


class HingeLossKernel(Protocol):
    """Forward raises a LabelError for a label that is not a class."""

    def forward(self, x: Tensor, labels: Tensor, margins: Tensor, loss: Tensor) -> None:
        """Overwrite margins, which are like x, and loss."""

    def backward(self, x: Tensor, labels: Tensor, dloss: Tensor, dx: Tensor) -> None:
        """Overwrite dx, which may be the tensor of the margins in forward."""


@dataclass(frozen=True)
class ContrastiveLoss(Op["ContrastiveLossKernel"]):
    """Describe a contrastive loss of pairs."""

    margin: float
    legacy: bool = False


class ContrastiveLossKernel(Protocol):
    """Forward, and the gradients of both inputs."""

    def forward(self, a: Tensor, b: Tensor, similar: Tensor, loss: Tensor) -> None:
        """Overwrite loss."""

    def backward(
        self,
        a: Tensor,
        b: Tensor,
        similar: Tensor,
        dloss: Tensor,
        da: Tensor | None,
        db: Tensor | None,
    ) -> None:
        """Overwrite da and db; None for those that are not needed."""


@dataclass(frozen=True)
class MultinomialLogisticLoss(Op["MultinomialLogisticLossKernel"]):
    """Describe the negative log likelihood of given probabilities."""


class MultinomialLogisticLossKernel(Protocol):
    """Forward raises a LabelError for a label that is not a class."""

    def forward(self, p: Tensor, labels: Tensor, loss: Tensor) -> None:
        """Overwrite loss."""

    def backward(self, p: Tensor, labels: Tensor, dloss: Tensor, dp: Tensor) -> None:
        """Overwrite dp."""


@dataclass(frozen=True)
class SigmoidCrossEntropyLoss(Op["SigmoidCrossEntropyLossKernel"]):
    """Describe a sigmoid followed by the cross entropy of each value."""

    normalization: Normalization
    ignore_label: int | None = None


class SigmoidCrossEntropyLossKernel(Protocol):
    """Forward and backward."""

    def forward(self, x: Tensor, t: Tensor, loss: Tensor) -> None:
        """Overwrite loss."""

    def backward(self, x: Tensor, t: Tensor, dloss: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
