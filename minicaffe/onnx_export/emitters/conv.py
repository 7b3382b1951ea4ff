"""Convolutions, windows as channels, and inner products."""

from __future__ import annotations

import math

import numpy as np

from minicaffe.onnx_export.backend import Emitter, emitter
from minicaffe.onnx_export.emitters.quantize import transpose_integers
from minicaffe.ops.backend import Shape, Tensor
from minicaffe.ops.conv import Conv, missing
from minicaffe.ops.im2col import Im2col
from minicaffe.ops.inner_product import InnerProduct


def _pads(op: Conv | Im2col, image: Shape) -> list[int]:
    """Return ONNX's pads: all begins, then all ends."""
    ends = [pad + more for pad, more in zip(op.pad, missing(op, image), strict=True)]
    return [*op.pad, *ends]


@emitter(Conv)
class ConvEmitter(Emitter[Conv]):
    """Conv or ConvTranspose; the weights have Caffe's layout."""

    def forward(self, x: Tensor, w: Tensor, b: Tensor | None, y: Tensor) -> None:
        """Overwrite y."""
        op = self.op
        inputs = [self.read(tensor) for tensor in (x, w, b) if tensor is not None]
        pads = [*op.pad, *op.pad] if op.transposed else _pads(op, x.shape[2:])
        name = self.graph.one(
            "ConvTranspose" if op.transposed else "Conv",
            *inputs,
            kernel_shape=op.kernel,
            strides=op.stride,
            pads=pads,
            dilations=op.dilation,
            group=op.group,
        )
        self.write(y, name)


@emitter(Im2col)
class Im2colEmitter(Emitter[Im2col]):
    """A convolution with one filter for each place in the window."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        op, n_axes = self.op, len(self.op.kernel)
        channels, taps = x.shape[-n_axes - 1], math.prod(op.kernel)
        one_hot = np.tile(np.eye(taps, dtype=np.float32), (channels, 1))
        weights = self.graph.constant(one_hot.reshape(channels * taps, 1, *op.kernel))
        image = x.shape[-n_axes - 1 :]
        name = self.graph.one(
            "Conv",
            self.read(x, (math.prod(x.shape[: -n_axes - 1]), *image)),
            weights,
            kernel_shape=op.kernel,
            strides=op.stride,
            pads=_pads(op, image[1:]),
            dilations=op.dilation,
            group=channels,
        )
        self.write(y, name, (math.prod(x.shape[: -n_axes - 1]), *y.shape[-n_axes - 1 :]))


@emitter(InnerProduct)
class InnerProductEmitter(Emitter[InnerProduct]):
    """Gemm on samples as rows."""

    def forward(self, x: Tensor, w: Tensor, b: Tensor | None, y: Tensor) -> None:
        """Overwrite y."""
        rows, size = math.prod(x.shape[: self.op.axis]), math.prod(x.shape[self.op.axis :])
        matrix = self.read(x, (rows, size))
        weights = self.read(w)
        is_transposed = self.op.transpose and not transpose_integers(self.graph, weights)
        inputs = [matrix, weights, *([] if b is None else [self.read(b)])]
        name = self.graph.one("Gemm", *inputs, transB=int(not is_transposed))
        self.write(y, name, (rows, y.shape[-1]))
