"""CTCGreedyDecoder."""

from __future__ import annotations

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.layers.sequence.ctc import require_label_rows, require_sequences
from minicaffe.ops.sequence.ctc_decode import CtcDecode, SequenceScores
from minicaffe.schema import LayerParameter
from minicaffe.schema.forks_pb2 import CTCDecoderParameter


@register("CTCGreedyDecoder")
class CTCGreedyDecoder(Layer[CTCDecoderParameter]):
    """Decode sequences of class scores greedily; with labels, tell how well they agree.

    Shapes: x (T, N, C)[, labels (N, L)] -> y (N, T, 1, 1), or (1, 2, 1, 1) with labels

    Notes
    -----
    Takes the best class of each step, merges equal neighbours (unless ctc_merge_repeated: false)
    and drops blank_index. With one bottom a row of y is the sequence of a sample, filled up with
    -1. With labels y holds two numbers: 1 - the mean edit distance, each divided by the length of
    the longer of sequence and labels, and the share of sequences without a difference. Labels
    equal to blank_index are skipped. The layer is that of caffe_ocr.
    """

    role = "output"
    bottoms = (1, 2)
    without_gradient = (0, 1)

    @classmethod
    def deployed(cls, param: LayerParameter) -> LayerParameter | None:
        """Return None with labels: it compares with them."""
        return param if len(param.bottom) == 1 else None

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top its shape and plan."""
        x, proto = bottom[0], self.settings
        require_sequences(self, x, proto.blank_index, "blank_index")
        steps, samples, _ = x.shape
        decode = CtcDecode(proto.blank_index, proto.ctc_merge_repeated)
        if len(bottom) == 1:
            top[0].reshape((samples, steps, 1, 1))
            self.decoder = self.plan(decode, x.data, top[0].data)
        else:
            require_label_rows(self, bottom[1], samples)
            top[0].reshape((1, 2, 1, 1))
            op = SequenceScores(decode, ("similarity", "accuracy"))
            self.scorer = self.plan(op, x.data, bottom[1].data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        if len(bottom) == 1:
            self.decoder.forward(bottom[0].data, top[0].data)
        else:
            self.scorer.forward(bottom[0].data, bottom[1].data, top[0].data)
