"""SmoothL1LossOHEM and SoftmaxWithLossOHEM: losses with the loss of each region."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.blob import Blob
from minicaffe.layers.base import Blobs
from minicaffe.layers.loss import NormalizedLossLayer, require_labels
from minicaffe.layers.registry import register
from minicaffe.layers.rois.region_layer import clear_diffs
from minicaffe.layers.rois.smooth_l1_loss import require_like
from minicaffe.ops.rois.ohem import SoftmaxLossOhem
from minicaffe.ops.rois.smooth_l1_loss import SmoothL1LossOhem
from minicaffe.schema.minicaffe_pb2 import SoftmaxParameter


@register("SmoothL1LossOHEM")
class SmoothL1LossOHEM(NormalizedLossLayer):
    """Compute the smooth L1 loss and that of each region, for online hard example mining.

    Shapes: a (N, C, ...), b (N, C, ...)[, weights (N, C, ...)] -> loss ()[, losses (N, 1, ...)]

    Notes
    -----
    losses = sum over channels of f(weights * (a - b)), loss = sum of losses / Z, with f of
    SmoothL1Loss and sigma 1. loss_param { normalization } sets Z: VALID and FULL the number of
    regions, N * ..., BATCH_SIZE N, NONE 1, PRE_FIXED pre_fixed_normalizer. As in R-FCN, whose
    weights are 0 or 1, the gradient is not multiplied by the weights again: da = f'(...) / Z; and
    there is **no loss weight by default**.

    Source: Shrivastava, Gupta, Girshick, "Training Region-based Object Detectors with Online Hard
    Example Mining", CVPR 2016.
    """

    bottoms = (2, 3)
    tops = (1, 2)
    loss_weight = 0.0
    without_gradient = (2,)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Create the blob of losses for the case that no top holds them."""
        self.own_losses = Blob(self.context.backend, "losses")

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the sizes and plan."""
        super().reshape(bottom, top)
        require_like(self, bottom)
        x = bottom[0]
        self.require_shape(
            len(x.shape) > 1, f'bottom "{x.name}" must be (N, C, ...), it is {x.shape}'
        )
        self.losses = top[1] if len(top) > 1 else self.own_losses
        self.losses.reshape((x.shape[0], 1, *x.shape[2:]))
        op = SmoothL1LossOhem(self._divisor(x.shape[0], self.losses.count))
        inputs = [blob.data for blob in bottom]
        self.kernel = self.plan(op, *inputs, self.losses.data, top[0].data)

    def _divisor(self, samples: int, regions: int) -> float:
        choice = self.normalization()
        if isinstance(choice, float):
            return choice
        return max({"none": 1, "batch_size": samples}.get(choice, regions), 1)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the tops."""
        self.kernel.forward([blob.data for blob in bottom], self.losses.data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the diffs of the first two bottoms; weights get a gradient of 0."""
        a, b = (x.diff if to else None for x, to in zip(bottom[:2], propagate_down, strict=False))
        self.kernel.backward([x.data for x in bottom], top[0].diff, a, b)
        clear_diffs(bottom[2:], propagate_down[2:])


@register("SoftmaxWithLossOHEM")
class SoftmaxWithLossOHEM(NormalizedLossLayer[SoftmaxParameter]):
    """Compute SoftmaxWithLoss and the loss of each label, for online hard example mining.

    Shapes: x (N, K, ...), labels (N, ...)
    -> loss ()[, probabilities (N, K, ...)[, losses (N, 1, ...)]]

    Notes
    -----
    losses = - log softmax(x)[label], 0 for ignore_label; loss = sum of losses / Z. Z is set by
    loss_param { normalization } as in SoftmaxWithLoss; PRE_FIXED is pre_fixed_normalizer.

    Differs from Intel's Caffe: with ignored labels, all that count are summed, not the first ones,
    as many as count; the second top holds the probabilities, not 0.

    Source: Shrivastava, Gupta, Girshick, "Training Region-based Object Detectors with Online Hard
    Example Mining", CVPR 2016.
    """

    tops = (1, 3)
    reads_tops = "values"  # the probabilities

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Create the blobs of probabilities and losses for the case that no tops hold them."""
        names = ("probabilities", "losses")
        self.own = [Blob(self.context.backend, name) for name in names[len(top) - 1 :]]

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the labels and plan."""
        super().reshape(bottom, top)
        x, labels = bottom
        axis = self.axis(self.settings.axis, x)
        require_labels(self, x, labels, axis)
        p, losses = self._outputs(top)
        p.reshape(x.shape)
        losses.reshape((*x.shape[:axis], 1, *x.shape[axis + 1 :]))
        op = SoftmaxLossOhem(axis, self.normalization(), self.ignore_label())
        self.kernel = self.plan(op, x.data, labels.data, p.data, losses.data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the tops."""
        p, losses = self._outputs(top)
        self.kernel.forward(bottom[0].data, bottom[1].data, p.data, losses.data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the scores' diff."""
        self.require_no_gradient(propagate_down)
        if propagate_down[0]:
            p, _ = self._outputs(top)
            self.kernel.backward(p.data, bottom[1].data, top[0].diff, bottom[0].diff)

    def _outputs(self, top: Blobs) -> list[Blob]:
        """Return the blobs of probabilities and losses."""
        return [*top[1:], *self.own]
