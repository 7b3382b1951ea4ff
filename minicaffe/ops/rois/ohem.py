"""Online hard example mining over regions: what every backend must compute.

SoftmaxLossOhem: tensors in planning order x (N, K, ...), labels, p like x, losses with a value for
each label, loss (). As SoftmaxLoss of `minicaffe.ops.softmax`, and::

    losses = - log(max(p[label], tiny)), 0 where ignored;  loss = sum of losses / Z

with Z of the normalization.

BoxAnnotatorOhem: tensors rois (N, 5, ...), losses, labels (N, 1, ...), weights (N, C, ...),
and the chosen labels and weights like these. Channel 0 of rois is the image. Of each image the
`keep` regions of largest loss keep label and weights; the others get `ignore_label` and 0. Of equal
losses the first one is kept.

Source: Shrivastava et al., "Training Region-based Object Detectors with Online Hard Example
Mining", CVPR 2016; Dai et al., "R-FCN", NIPS 2016, section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor
from minicaffe.ops.softmax import Normalization


@dataclass(frozen=True)
class SoftmaxLossOhem(Op["SoftmaxLossOhemKernel"]):
    """Describe a softmax loss with the loss of each label."""

    axis: int
    normalization: Normalization
    ignore_label: int | None = None


class SoftmaxLossOhemKernel(Protocol):
    """Forward overwrites the probabilities, backward reads them."""

    def forward(self, x: Tensor, labels: Tensor, p: Tensor, losses: Tensor, loss: Tensor) -> None:
        """Overwrite p, losses and loss.

        Raises
        ------
        LabelError
            If a label that counts is not a whole number in 0 .. K - 1.
        """

    def backward(self, p: Tensor, labels: Tensor, dloss: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""


@dataclass(frozen=True)
class BoxAnnotatorOhem(Op["BoxAnnotatorOhemKernel"]):
    """Describe the choice of the regions with the largest losses."""

    keep: int
    ignore_label: int


class BoxAnnotatorOhemKernel(Protocol):
    """Forward only."""

    def forward(
        self, rois: Tensor, losses: Tensor, given: Sequence[Tensor], chosen: Sequence[Tensor]
    ) -> None:
        """Overwrite the chosen labels and weights from those given."""
