"""Loss and accuracy of one of MS-CNN's maps: what every backend must compute.

labels is (N, 6, H, W): class, center x, y and size w, h of a true box in pixels, IoU; see
`minicaffe.ops.mscnn.fields`. A positive cell has a class other than 0, a candidate is one of class
0 with an IoU below `negative_iou`. Cells of `ignore_label` take no part. With `is_objectness`
classes above 1 count as 1.

DetectionLoss: tensors in planning order x (N, C + 4, H, W), labels, loss (1, 1, 1, 2). Classes
learn by softmax loss at all positives and at negatives, which are candidates that are chosen image
by image: "all" of them; "bootstrap" for each class but the background the `multiple` n with the
largest logit of that class, at least 4, if it has n cells; "random" up to `multiple` times the
number of positives, at least 4 (C - 1), drawn from all cells, with repetition; "mixture" half of
both. The weight of a positive is 1, or its IoU if `weights_iou`; with `balances` those of positives
sum up to 1 / (1 + multiple) of the number of cells, those of negatives to the rest. Offsets are cut
to the limits; d is their distance to the true box's offsets, both normalised::

    class = sum of weights times softmax losses / cells
    box   = scale sum over positives of f(d) / (4 positives), f smooth L1 or 0.5 d^2
    loss  = [class + box, box]

dx is dloss[0] times the gradient of class + box, where cutting has the slope 1, so it is the
derivative of loss[0] only inside of the limits.

DetectionAccuracy: tensors x, labels, accuracy (1, 1, 1, 2), iou (1, 1, 1, 1): the share of
positives and candidates whose class is among the `top_k` largest logits, the same of positives
only, and the mean IoU of predicted and true boxes at positives; -1 where there is no cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np

from minicaffe.ops.backend import Op, Tensor
from minicaffe.ops.mscnn.fields import Field, Four

Sampling: TypeAlias = Literal["all", "bootstrap", "random", "mixture"]


@dataclass(frozen=True)
class DetectionLoss(Op["DetectionLossKernel"]):
    """Describe the loss of a map with `n_classes` logits."""

    n_classes: int
    field: Field
    means: Four
    deviations: Four
    scale: float
    is_smooth: bool
    negative_iou: float
    multiple: int
    sampling: Sampling
    weights_iou: bool
    balances: bool
    is_objectness: bool
    ignore_label: int | None


class DetectionLossKernel(Protocol):
    """Forward saves the gradient for backward; it waits for the device."""

    def forward(self, x: Tensor, labels: Tensor, loss: Tensor, random: np.random.Generator) -> None:
        """Overwrite loss.

        Raises
        ------
        LabelError
            If the class of a cell that counts is not a whole number in 0 .. C - 1.
        """

    def backward(self, dloss: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""


@dataclass(frozen=True)
class DetectionAccuracy(Op["DetectionAccuracyKernel"]):
    """Describe the accuracy of a map with `n_classes` logits."""

    n_classes: int
    field: Field
    top_k: int
    negative_iou: float
    is_objectness: bool
    ignore_label: int | None


class DetectionAccuracyKernel(Protocol):
    """Forward only; waits for the device."""

    def forward(self, x: Tensor, labels: Tensor, accuracy: Tensor, iou: Tensor) -> None:
        """Overwrite accuracy and iou."""
