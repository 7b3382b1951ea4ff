"""The different labels of an image; on the host, because their numbers depend on values."""

from __future__ import annotations

import numpy as np

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.ops.backend import Tensor
from minicaffe.ops.segmentation.unique_labels import UniqueLabels


@kernel(UniqueLabels)
class ReferenceUniqueLabels(ReferenceKernel[UniqueLabels]):
    """Sorted labels, padded."""

    def forward(self, labels: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        given, op = labels.get(), self.op
        rows = np.full(y.shape[:2], -1.0)
        for row, values in zip(rows, given, strict=True):
            kept = values[~np.isin(values, op.ignored)]
            found = np.unique(np.append(kept, op.forced))[: len(row)]
            row[: len(found)] = found
        y.set(rows.reshape(y.shape))
