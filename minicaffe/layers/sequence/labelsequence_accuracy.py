"""LabelsequenceAccuracy."""

from __future__ import annotations

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.layers.sequence.ctc import require_label_rows, require_sequences
from minicaffe.ops.sequence.ctc_decode import CtcDecode, SequenceScores
from minicaffe.schema import LayerParameter
from minicaffe.schema.forks_pb2 import LabelsequenceAccuracyParameter


@register("LabelsequenceAccuracy")
class LabelsequenceAccuracy(Layer[LabelsequenceAccuracyParameter]):
    """Compute the share of sequences that greedy decoding reads without an error.

    Shapes: x (N, T, C), labels (N, L) -> accuracy ()

    Notes
    -----
    Takes the best class of each step, merges equal neighbours and drops blank_label; labels equal
    to it are skipped. x has the samples first, unlike the bottom of CtcLoss: a Permute layer with
    order 1, 0, 2 stands between. The layer is that of crnn.caffe.
    """

    role = "output"
    bottoms = 2
    without_gradient = (0, 1)

    @classmethod
    def deployed(cls, param: LayerParameter) -> None:
        """Return None: it needs labels."""

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the sequences and plan."""
        x, labels = bottom
        blank = self.settings.blank_label
        require_sequences(self, x, blank, "blank_label", "NTC")
        require_label_rows(self, labels, x.shape[0])
        top[0].reshape(())
        op = SequenceScores(CtcDecode(blank, samples_first=True), ("accuracy",))
        self.kernel = self.plan(op, x.data, labels.data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the accuracy."""
        self.kernel.forward(bottom[0].data, bottom[1].data, top[0].data)
