"""Top-k accuracy: what every backend must compute.

Tensors in planning order: x (scores with K classes along `axis`), labels (one per pixel), accuracy
() and optionally per_class (K,). A prediction is right if fewer than top_k *other* classes score at
least as high as the true one: a tie counts against it, as in Caffe. Pixels whose label is
`ignore_label` are ignored. accuracy is the share of right predictions, 0 if no pixel counts;
per_class is the same over the pixels of each true class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class Accuracy(Op["AccuracyKernel"]):
    """Describe a top-k accuracy along one axis."""

    axis: int
    top_k: int = 1
    ignore_label: int | None = None


class AccuracyKernel(Protocol):
    """Forward only: accuracy has no gradient."""

    def forward(
        self, x: Tensor, labels: Tensor, accuracy: Tensor, per_class: Tensor | None = None
    ) -> None:
        """Overwrite accuracy and, where given, per_class.

        Raises
        ------
        LabelError
            If a label that counts is not a whole number in 0 .. K - 1.
        """
