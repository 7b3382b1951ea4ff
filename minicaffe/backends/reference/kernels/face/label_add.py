"""A number added to the score of the true class."""

from __future__ import annotations

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.backends.reference.kernels._labels import class_indices
from minicaffe.backends.reference.kernels.loss import rows
from minicaffe.ops.backend import Tensor
from minicaffe.ops.face.label_add import LabelAdd


@kernel(LabelAdd)
class ReferenceLabelAdd(ReferenceKernel[LabelAdd]):
    """Add to one value of each sample."""

    def forward(self, x: Tensor, labels: Tensor, bias: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        xp, scores, number = self.xp, rows(x.read()), bias.read()
        classes, _ = class_indices(xp, labels.read().reshape(-1), scores.shape[1])
        at = (xp.arange(len(scores)), classes)
        true = scores[at]
        out = y.write()
        out[...] = scores.reshape(out.shape)
        rows(out)[at] = true + xp.where(true > -number, number, 0)
