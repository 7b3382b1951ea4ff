"""Convolution with learned filters."""

from __future__ import annotations

import math
from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.layers.views import Views
from minicaffe.layers.window import Window, require_group, window_text
from minicaffe.ops.backend import EpilogueOp, Shape, Tensor
from minicaffe.ops.conv import Conv
from minicaffe.schema import LayerParameter
from minicaffe.schema.minicaffe_pb2 import ConvolutionParameter


@register("Convolution")
class Convolution(Layer[ConvolutionParameter]):
    """Convolve the input with learned filters (cross-correlation).

    Shapes: x (N, C, *S) -> y (N, F, *S')

    Notes
    -----
    y[n, f, p] = b[f] + sum over c, k of w[f, c, k] x[n, c, p * stride - pad + k * dilation], with
    S' = (S + 2 pad - (dilation (kernel - 1) + 1)) / stride + 1, with the quotient rounded towards
    zero: a kernel may exceed the padded image by less than a stride, and what is missing counts as
    0. With group: g, filter f reads only the C / g channels of its own group. Any number of spatial
    axes; `axis` names the channel axis, all axes before it are samples. Several bottoms of one
    shape share the filters.

    Parameters: weights (F, C / group, *kernel), then bias (F,).
    """

    needs_workspace = True
    role = "convolution"
    can_recompute = True
    bottoms = (1, None)
    tops = (1, None)
    transposed = False
    quantized_type = "ConvolutionRistretto"

    @classmethod
    def summary(cls, param: LayerParameter) -> str:
        """Return number and window of the filters, group and dilation."""
        proto = param.convolution_param
        group = f", group {proto.group}" if proto.group > 1 else ""
        dilation = ", ".join(map(str, proto.dilation))
        dilated = f", dilation {dilation}" if dilation not in ("", "1") else ""
        return f"{proto.num_output} x {window_text(proto)}{group}{dilated}"

    def multiply_adds(self, bottom: Blobs, top: Blobs) -> int:
        """Return the size of one filter for each output value, or input value if transposed."""
        blobs = bottom if self.transposed else top
        return sum(blob.count for blob in blobs) * math.prod(self.blobs[0].shape[1:])

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the window and create weights and bias."""
        proto = self.settings
        self.channel_axis = self.axis(proto.axis, bottom[0])
        self.views = Views()
        self.n_axes = len(bottom[0].shape) - self.channel_axis - 1
        self.require(len(bottom) == len(top), f"{len(bottom)} bottoms need as many tops")
        self.window = Window.of(self, self.n_axes)
        self.require(proto.num_output > 0, "num_output is missing or 0; it must be at least 1")
        channels, outputs, group = bottom[0].shape[self.channel_axis], proto.num_output, proto.group
        require_group(self, bottom[0].name, (channels, outputs), group)
        first, second = (channels, outputs) if self.transposed else (outputs, channels)
        self.add_parameter((first, second // group, *self.window.kernel), proto.weight_filler)
        if proto.bias_term:
            self.add_parameter(self.bias_shape(), proto.bias_filler)

    def bias_shape(self) -> Shape:
        """Return the shape of the bias in files."""
        return (self.settings.num_output,)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Compute the output size and plan."""
        axis, shape = self.channel_axis, bottom[0].shape
        for other in bottom:
            self.require_shape(
                other.shape == shape,
                f'bottoms "{bottom[0].name}" {shape} and "{other.name}" {other.shape} must have '
                "one shape, as they share the filters",
            )
        expected = self._channels()
        self.require_shape(
            len(shape) == axis + 1 + self.n_axes and shape[axis] == expected,
            f'bottom "{bottom[0].name}" now has shape {shape}; the filters were made for '
            f"{expected} channels and {self.n_axes} spatial axes",
        )
        images = self._output_size(bottom[0].name, shape[axis + 1 :])
        outputs = self.settings.num_output
        for blob in top:
            blob.reshape((*shape[:axis], outputs, *images))
        w, b = self.weight_values()
        op = Conv(
            kernel=self.window.kernel,
            stride=self.window.stride,
            pad=self.window.pad,
            dilation=self.window.dilation,
            group=self.settings.group,
            bias=b is not None,
            transposed=self.transposed,
        )
        x, y = self._images(bottom[0].data), self._images(top[0].data)
        self.kernel = self.plan(op, x, w, y, *([] if b is None else [b]))

    def fuse(self, epilogue: Sequence[EpilogueOp]) -> int:
        """Fuse ops that follow on the top into the kernel, as far as the backend supports it."""
        if self.channel_axis != 1:
            return 0  # the channels of the epilogue are not those of the kernel
        return self.context.backend.fuse(self.kernel, epilogue)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the tops."""
        w, b = self.weight_values()
        for x, y in zip(bottom, top, strict=True):
            self.kernel.forward(self._images(x.data), w, b, self._images(y.data))

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottoms' diffs, add to the filters'."""
        dw, db = self.weight_diffs()
        for x, y, needed in zip(bottom, top, propagate_down, strict=True):
            dy = self._images(y.diff)
            if dw is not None or db is not None:
                self.kernel.backward_weights(self._images(x.data), dy, dw, db)
            if needed:
                self.kernel.backward_data(dy, self.weight_values()[0], self._images(x.diff))

    def _channels(self) -> int:
        shape = self.blobs[0].shape
        return shape[0] if self.transposed else shape[1] * int(self.settings.group)

    def _images(self, tensor: Tensor) -> Tensor:
        """Return the view with all axes before the channel axis as one."""
        axis = self.channel_axis
        if axis == 1:
            return tensor
        shape = tensor.shape
        return self.views.of(tensor, (math.prod(shape[:axis]), *shape[axis:]))

    def _output_size(self, name: str, image: Shape) -> Shape:
        return self.window.positions(self, name, image)
