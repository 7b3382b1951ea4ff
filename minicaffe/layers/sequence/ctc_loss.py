"""CtcLoss of crnn.caffe and WarpCTCLoss of caffe_ocr."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from minicaffe.layers.base import Blobs
from minicaffe.layers.loss import LossLayer
from minicaffe.layers.registry import register
from minicaffe.layers.sequence.ctc import require_label_rows, require_sequences
from minicaffe.ops.sequence.ctc_loss import CtcLoss as CtcLossOp
from minicaffe.schema.forks_pb2 import CTCLossParameter


@register("CtcLoss")
class CtcLoss(LossLayer[CTCLossParameter]):
    """Compute the connectionist temporal classification loss of sequences without alignment.

    Shapes: x (T, N, C), labels (N, L) -> loss ()

    Notes
    -----
    x holds the scores of C classes at T steps, before the softmax. A row of labels holds the
    sequence of a sample; entries equal to blank_label are skipped wherever they stand, so that
    they fill shorter rows. The cost of a sample is the negative logarithm of the probability that
    a path of one class a step gives the sequence, after equal neighbours are merged and blanks
    dropped. loss is the mean cost over the N samples; **the gradient is that of the sum**: it is
    not divided by N, as in the fork. A sequence that T steps cannot hold costs 0 and has no
    gradient. alphabet_size and time_step, if given, must be C and T.

    References
    ----------
    Graves et al., "Connectionist temporal classification: labelling unsegmented sequence data with
    recurrent neural networks", 2006. The layer is that of crnn.caffe.
    """

    blank_field: ClassVar[str] = "blank_label"
    divides_by_possible: ClassVar[bool] = False

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the sequences and plan."""
        x, labels = bottom
        proto = self.settings
        blank = int(getattr(proto, self.blank_field))
        require_sequences(self, x, blank, self.blank_field)
        for field, axis in (("time_step", 0), ("alphabet_size", 2)):
            given = getattr(proto, field)
            self.require(
                given in (0, x.shape[axis]),
                f"{field}: {given} must be {x.shape[axis]}, the size of axis {axis} of bottom "
                f'"{x.name}" {x.shape}. Correct or remove it.',
            )
        require_label_rows(self, labels, x.shape[1])
        top[0].reshape(())
        op = CtcLossOp(blank, self.divides_by_possible)
        self.kernel = self.plan(op, x.data, labels.data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the loss."""
        self.kernel.forward(bottom[0].data, bottom[1].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the scores' diff."""
        self.require_no_gradient(propagate_down)
        if propagate_down[0]:
            x, labels = bottom
            self.kernel.backward(x.data, labels.data, top[0].diff, x.diff)


@register("WarpCTCLoss")
class WarpCTCLoss(CtcLoss):
    """Compute the connectionist temporal classification loss, as caffe_ocr does.

    Shapes: x (T, N, C), labels (N, L) -> loss ()

    Notes
    -----
    As CtcLoss, with two differences: the blank is blank_index, and loss is the mean over the
    samples whose sequence T steps can hold. The gradient is that of the sum of costs.

    Differs from caffe_ocr: the gradient is multiplied by loss_weight; there it was not.

    References
    ----------
    Graves et al., "Connectionist temporal classification: labelling unsegmented sequence data with
    recurrent neural networks", 2006. The layer is that of caffe_ocr.
    """

    blank_field = "blank_index"
    divides_by_possible = True
