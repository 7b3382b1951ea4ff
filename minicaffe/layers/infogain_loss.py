"""InfogainLoss."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.blob import Blob
from minicaffe.errors import DataError
from minicaffe.layers.base import Blobs
from minicaffe.layers.loss import NormalizedLossLayer, require_labels
from minicaffe.layers.registry import register
from minicaffe.ops.infogain_loss import InfogainLoss as InfogainLossOp
from minicaffe.schema import read_blobproto
from minicaffe.schema.minicaffe_pb2 import InfogainLossParameter


@register("InfogainLoss")
class InfogainLoss(NormalizedLossLayer[InfogainLossParameter]):
    """Compute the information gain loss: a matrix holds the cost of each pair of classes.

    Shapes: x (N, K, ...), labels (N, ...)[, h (K, K)] -> loss ()[, probabilities (N, K, ...)]

    Notes
    -----
    With p the softmax of x along `axis`, loss = - sum over labels and classes k of
    h[label, k] log(p[k]) / Z; Z is set by loss_param { normalization }. Probabilities below 1e-20
    are raised to it. The identity as h gives SoftmaxWithLoss. h is the third bottom, or read from
    `source`, a .binaryproto with K * K values. loss_param { normalize } is an error.

    Differs from Caffe: a label that is not a class is an error; there it read foreign memory.
    """

    bottoms = (2, 3)
    tops = (1, 2)
    reads_tops = "values"  # the probabilities
    without_gradient = (1, 2)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the matrix from its file, unless it is a bottom."""
        self.require(
            not self.param.loss_param.HasField("normalize"),
            "InfogainLoss does not know normalize; use loss_param { normalization: ... }",
        )
        self.own_probabilities = Blob(self.context.backend, "probabilities")
        if len(bottom) > 2:
            self.matrix = bottom[2]
            return
        source = self.settings.source
        self.require(source, "give the matrix as source, a .binaryproto, or as a third bottom")
        try:
            values = read_blobproto(source)
        except DataError as error:
            raise DataError(f"{self.where}: source: {error}") from error
        self.matrix = Blob(self.context.backend, source, values.shape)
        self.matrix.data.set(values)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check labels and matrix and plan."""
        super().reshape(bottom, top)
        x, labels = bottom[:2]
        if len(bottom) > 2:
            self.matrix = bottom[2]
        axis = self.axis(self.settings.axis, x)
        require_labels(self, x, labels, axis)
        classes = x.shape[axis]
        self.require_shape(
            self.matrix.count == classes * classes,
            f'the matrix "{self.matrix.name}" {self.matrix.shape} must have {classes} x {classes} '
            f'values: bottom "{x.name}" {x.shape} has {classes} classes along axis {axis}',
        )
        self.probabilities = top[1] if len(top) > 1 else self.own_probabilities
        self.probabilities.reshape(x.shape)
        op = InfogainLossOp(axis, self.normalization(), self.ignore_label())
        tensors = (x, labels, self.matrix, self.probabilities, top[0])
        self.kernel = self.plan(op, *(blob.data for blob in tensors))

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the tops."""
        x, labels = bottom[:2]
        blobs = (x, labels, self.matrix, self.probabilities, top[0])
        self.kernel.forward(*(blob.data for blob in blobs))

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the scores' diff."""
        self.require_no_gradient(propagate_down)
        if propagate_down[0]:
            p = top[1] if len(top) > 1 else self.own_probabilities
            labels, matrix = bottom[1].data, self.matrix.data
            self.kernel.backward(p.data, labels, matrix, top[0].diff, bottom[0].diff)
