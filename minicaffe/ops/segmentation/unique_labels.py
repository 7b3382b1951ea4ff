"""The different labels of an image: what every backend must compute.

Tensors in planning order: labels (N, ...), whole numbers as floats, y (N, L, 1, 1). The labels of a
sample without those in `ignored`, with those in `forced`, each once, in rising order; -1 behind
them. If there are more than L, the largest are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class UniqueLabels(Op["UniqueLabelsKernel"]):
    """Describe the list of an image's labels."""

    ignored: tuple[int, ...] = ()
    forced: tuple[float, ...] = ()


class UniqueLabelsKernel(Protocol):
    """Forward only: labels have no gradient."""

    def forward(self, labels: Tensor, y: Tensor) -> None:
        """Overwrite y."""
