"""Layers that compute with numbers on grids: what Ristretto's types add to those of Caffe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from minicaffe.blob import Blob
from minicaffe.layers.base import Blobs, Layer, P
from minicaffe.layers.format_text import formats_text
from minicaffe.layers.number_formats import NumberFormats
from minicaffe.layers.unread_formats import unread_formats
from minicaffe.ops.backend import EpilogueOp, Tensor
from minicaffe.ops.quantize import Grid, Quantize, QuantizeKernel
from minicaffe.random import RandomStream
from minicaffe.schema import LayerParameter


class RoundedBlob(Blob):
    """The gradient of a blob, with a copy of its values on a grid.

    Parameters
    ----------
    source : Blob
    op : Quantize
    """

    def __init__(self, source: Blob, op: Quantize) -> None:
        super().__init__(source.backend, source.name, source.shape)
        self._source, self._op = source, op
        self._kernel: QuantizeKernel  # set by `plan`

    @property
    def diff(self) -> Tensor:
        """The gradient of the source."""
        return self._source.diff

    def plan(self) -> None:
        """Take the present shape of the source."""
        self.reshape(self._source.shape)
        self._kernel = self.backend.plan(self._op, self._source.data, self.data)

    def round(self, stream: RandomStream | None) -> None:
        """Overwrite the copy."""
        self._kernel.forward(self._source.data, self.data, stream)


class QuantizedLayer(Layer[P]):
    """Rounds what the next class in the method resolution order reads and computes.

    It computes with rounded copies of the bottoms and of the parameters, and rounds its tops in
    place. Gradients are those of that computation, with respect to the numbers before rounding.
    """

    shared_fields = ("quantization_param",)
    # Whether quantization_param is about weights as well.
    has_weights = True
    can_recompute = False

    @classmethod
    def summary(cls, param: LayerParameter) -> str:
        """Return the settings of the layer, and the bits of what it rounds."""
        parts = super().summary(param), formats_text(param.quantization_param, cls.has_weights)
        return ", ".join(filter(None, parts))

    @classmethod
    def unread_settings(cls, param: LayerParameter) -> Iterator[str]:
        """Yield a sentence about each setting without effect."""
        yield from super().unread_settings(param)
        yield from unread_formats(param.quantization_param, cls.type, cls.has_weights)

    def output_axis(self) -> int | None:
        """Return the axis of the weights that counts output channels; None if none does."""
        return None

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Set up the layer in floating point, and read the grids."""
        super().setup(bottom, top)
        axis = self.output_axis()
        outputs = 0 if axis is None else self.blobs[0].shape[axis]
        self.formats = NumberFormats.of(self, axis, outputs)
        # The bottoms, which the net may replace by copies, and what the layer reads instead.
        self._given: list[Blob] = []
        self._bottoms: list[Blob] = []
        grids = (self.formats.weights, self.formats.bias)
        pairs = zip(self.blobs, grids, strict=False)
        self._parameters = [self._rounded(blob, grid) for blob, grid in pairs]

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Shape and plan the copies, then the layer on them."""
        if self._given != list(bottom):
            self._given = list(bottom)
            self._bottoms = [self._rounded(blob, self.formats.bottoms) for blob in bottom]
        rounded = _rounded_ones([*self._bottoms, *self._parameters])
        for blob in rounded:
            blob.plan()
        super().reshape(self._bottoms, top)
        grid = self.formats.tops
        tops = [] if grid is None else [(self.plan(self._op(grid), t.data, t.data), t) for t in top]
        self._round_tops = tops
        n_draws, draws = len(rounded) + len(tops), self.formats.is_stochastic
        self._stream = self.stream("rounding", n_draws) if draws else None

    def fuse(self, epilogue: Sequence[EpilogueOp]) -> int:
        """Fuse nothing if the tops are rounded, which comes before the ops of the epilogue."""
        return super().fuse(epilogue) if self.formats.tops is None else 0

    @property
    def reads_bottoms(self) -> bool:
        """Whether backward reads the bottoms, and not copies."""
        return self.formats.bottoms is None and super().reads_bottoms

    def weight_values(self) -> tuple[Tensor, Tensor | None]:
        """Return weights and bias as the last forward pass has rounded them."""
        w, *bias = (blob.data for blob in self._parameters)
        return w, bias[0] if bias else None

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Round bottoms and parameters, compute, round the tops."""
        stream = self._stream
        for bottom_copy in _rounded_ones(self._bottoms):
            bottom_copy.round(stream)
        for parameter in _rounded_ones(self._parameters):
            # The same for all parts of a batch.
            parameter.round(stream and stream.undivided())
        super().forward(self._bottoms, top)
        for kernel, blob in self._round_tops:
            kernel.forward(blob.data, blob.data, stream)

    def recompute_forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the tops with the rounded numbers of the last pass."""
        super().forward(self._bottoms, top)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottoms' diffs, add to the parameters'."""
        super().backward(top, propagate_down, self._bottoms)

    def _rounded(self, blob: Blob, grid: Grid | None) -> Blob:
        return blob if grid is None else RoundedBlob(blob, self._op(grid))

    def _op(self, grid: Grid) -> Quantize:
        return Quantize(grid, self.formats.is_stochastic)


def _rounded_ones(blobs: Blobs) -> list[RoundedBlob]:
    return [blob for blob in blobs if isinstance(blob, RoundedBlob)]
