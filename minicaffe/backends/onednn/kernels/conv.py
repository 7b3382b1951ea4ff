"""Convolution and transposed convolution; oneDNN chooses the layouts of all tensors.

In bfloat16 the results of a convolution are bfloat16 too, because the next convolution would round
them anyway. Those of a transposed one are float32, because its bias is added to them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.backend import OneDnnBackend, kernel
from minicaffe.backends.onednn.kernels._channel_bias import OneDnnChannelBias
from minicaffe.backends.onednn.kernels._channel_blocks import BLOCKS, has_blocks
from minicaffe.backends.onednn.kernels._depthwise_conv import DepthwiseConv, plan_depthwise_conv
from minicaffe.backends.onednn.kernels._direct_conv import DirectConv, plan_direct_conv
from minicaffe.backends.onednn.kernels._epilogue import OneDnnEpilogue
from minicaffe.backends.onednn.kernels._first_conv import (
    FirstConvGradient,
    plan_first_conv_gradient,
)
from minicaffe.backends.onednn.kernels._packed_product import OPERANDS, PackedProduct, Request
from minicaffe.backends.onednn.kernels._small_conv import SmallConv, plan_small_conv
from minicaffe.backends.onednn.runtime.channel_epilogue import ChannelEpilogue
from minicaffe.backends.onednn.runtime.library import Alg, Arg, DataType, Query
from minicaffe.backends.onednn.runtime.memory import AnyLayout, Layout
from minicaffe.backends.onednn.runtime.precision import BF16, FP32
from minicaffe.backends.onednn.runtime.primitive import EpilogueKind
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.backends.onednn.winograd.correlation import Correlation, correlation, flipped
from minicaffe.backends.onednn.winograd.forward import Winograd
from minicaffe.backends.onednn.winograd.gradient import WinogradGradient
from minicaffe.errors import Unsupported
from minicaffe.ops.backend import EpilogueOp, Tensor
from minicaffe.ops.conv import Conv, missing

MAX_SPATIAL_AXES = 3
# The channels in a block of the library's layouts on AVX2, and the least number of taps for which
# a product over columns can be faster.
BLOCK = 8
MIN_TAPS = 25
RESULTS = frozenset({Arg.DST, Arg.DIFF_SRC})


@kernel(Conv)
class OneDnnConv(PackedProduct[Conv]):
    """Convolution, or its transpose; gradients are planned at the first backward pass."""

    product = "convolution"
    algorithm = (Alg.CONVOLUTION_DIRECT,)

    def __init__(self, backend: OneDnnBackend, op: Conv, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        if not 1 <= len(op.kernel) <= MAX_SPATIAL_AXES:
            raise Unsupported(f"oneDNN has no convolution over {len(op.kernel)} spatial axes")
        x, w, y = (t.shape for t in tensors[:3])
        self._wide, self._narrow = (y, x) if op.transposed else (x, y)
        self._weight_shape = w
        self._weights = w if op.group == 1 else (op.group, w[0] // op.group, *w[1:])
        # oneDNN counts the gaps between taps, Caffe the distance.
        gaps = tuple(d - 1 for d in op.dilation)
        more = missing(op, self._wide[2:])
        after = tuple(p + m for p, m in zip(op.pad, more, strict=True))
        self._steps = (op.stride, gaps, op.pad, after)
        self._results = DataType.F32 if op.transposed else self._operands
        self._converted = OPERANDS if op.transposed else OPERANDS | RESULTS
        self._has_primitive_bias = op.bias and not op.transposed
        has_channel_bias = op.bias and op.transposed
        self._channel_bias = OneDnnChannelBias(backend, y[1]) if has_channel_bias else None
        self._epilogue = OneDnnEpilogue(backend, y)
        self._without_epilogue = self._call_forward(EpilogueKind())
        self._native: SmallConv | DepthwiseConv | None = plan_small_conv(backend, op, x, y)
        if self._native is None and backend.precision == FP32:
            self._native = self._plan_depthwise()
        self._float32_gradient = cache_method(self._plan_float32_gradient)
        self._winograd = cache_method(self._plan_winograd)
        self._direct = cache_method(self._plan_direct)
        self._winograd_of_weights = cache_method(self._plan_winograd_of_weights)
        self._first_conv = cache_method(self._plan_first_conv)
        self._winograd_of_data = cache_method(self._plan_winograd_of_data)
        # While training, weights change before the next pass.
        self._is_trained = False
        if op.transposed:
            self._call_gradient()

    def forward(
        self, x: OneDnnTensor, w: OneDnnTensor, b: OneDnnTensor | None, y: OneDnnTensor
    ) -> None:
        """Overwrite y."""
        if not self.op.transposed:
            scaling = self._epilogue.tensors()
            epilogue = ChannelEpilogue(b, scaling, self._epilogue.kind.rectifies)
            if self._native is not None:
                self._native.forward(x, w, epilogue, y)
                return
            winograd = self._winograd()
            if winograd is not None:
                winograd(x, w, y, epilogue, caches=not self._is_trained)
                return
            direct = self._direct()
            if direct is not None:
                direct(x, w, y, epilogue)
                return
            inputs = (x, w) if b is None else (x, w, b)
            self._call_forward(self._epilogue.kind)(*inputs, *scaling, y)
            return
        self._call_gradient()(x, w, y)
        if b is not None and self._channel_bias is not None:
            self._channel_bias.add(y, b, y)

    def fuse(self, epilogue: Sequence[EpilogueOp]) -> int:
        """Fuse normalisation, scaling and ReLU of y, unless that loses the compiled code."""
        if self.op.transposed:
            return 0
        n = self._epilogue.fuse(epilogue)
        if self._native is not None:
            return n
        fused = self._call_forward(self._epilogue.kind).primitive
        if self._without_epilogue.primitive.is_compiled and not fused.is_compiled:
            return self._epilogue.fuse(())
        return n

    def backward_data(self, dy: OneDnnTensor, w: OneDnnTensor, dx: OneDnnTensor) -> None:
        """Overwrite dx."""
        if self.op.transposed:
            self._without_epilogue(dy, w, dx)
            return
        if self._native is not None:
            self._native.backward_data(dy, w, dx)
            return
        winograd = self._winograd_of_data()
        if winograd is not None:
            winograd(dy, w, dx)
        elif (in_float32 := self._float32_gradient()) is not None:
            in_float32.backward_data(dy, w, dx)
        else:
            self._call_gradient()(dy, w, dx)

    def backward_weights(
        self,
        x: OneDnnTensor,
        dy: OneDnnTensor,
        dw: OneDnnTensor | None,
        db: OneDnnTensor | None,
    ) -> None:
        """Add to dw and db."""
        self._is_trained = True
        if self._native is not None:
            self._native.backward_weights(x, dy, dw, db)
            return
        winograd = self._winograd_of_weights()
        if winograd is not None and dw is not None:
            winograd(x, dy, dw, db)
            return
        first_conv = self._first_conv()
        if first_conv is not None and dw is not None:
            first_conv(x, dy, dw, db)
            return
        wide, narrow = (dy, x) if self.op.transposed else (x, dy)
        with_bias = db is not None and self._channel_bias is None
        call = self._call_weights(with_bias)
        totals = (dw, db) if with_bias else (dw,)
        shapes = (self._weights, self._narrow[1:2])
        self._accumulate(lambda *results: call(wide, narrow, *results), totals, shapes)
        if db is not None and self._channel_bias is not None:
            self._channel_bias.accumulate(dy, db)

    def _plan_depthwise(self) -> DepthwiseConv | None:
        """Return the C kernels for one filter a channel, in the library's layouts."""
        primitive = self._without_epilogue.primitive
        x, y = primitive.layout(Query.SRC, self._wide), primitive.layout(Query.DST, self._narrow)
        return plan_depthwise_conv(self.backend, self.op, x.widened, y.widened)

    def _plan_float32_gradient(self) -> DepthwiseConv | None:
        """Return the C kernels for one filter a channel with a stride.

        The library takes seven times as long in bfloat16.
        """
        return None if set(self.op.stride) == {1} else self._plan_depthwise()

    def _correlation(self) -> Correlation | None:
        """Return the sizes if there are C kernels for Winograd's algorithm in this precision."""
        if self.backend.native is None or self.backend.precision not in (FP32, BF16):
            return None
        return correlation(self.op, self._wide, self._narrow)

    def _is_faster(self, sizes: Correlation) -> bool:
        native = self.backend.native
        return native is not None and sizes.is_faster(native.lanes, self._operands)

    def _plan_direct(self) -> DirectConv | None:
        """Return the C kernel for few pixels, None if it is not faster."""
        return plan_direct_conv(self.backend, self.op, self._wide, self._narrow)

    def _plan_winograd(self) -> Winograd | None:
        """Return Winograd's algorithm for y, None if it is not faster."""
        sizes = self._correlation()
        if sizes is None or not self._is_faster(sizes):
            return None
        return Winograd(self.backend, sizes, self._weight_shape)

    def _plan_winograd_of_data(self) -> Winograd | None:
        """Return Winograd's algorithm for dx, None if it is not faster."""
        sizes = self._correlation()
        if sizes is None or not self._is_faster(flipped(sizes)):
            return None
        return Winograd(self.backend, flipped(sizes), self._weight_shape)

    def _plan_winograd_of_weights(self) -> WinogradGradient | None:
        """Return Winograd's algorithm for dw and db, None if it is not faster."""
        sizes = self._correlation()
        if sizes is None or not self._is_faster(sizes):
            return None
        return WinogradGradient(self.backend, sizes, self._weight_shape)

    def _plan_first_conv(self) -> FirstConvGradient | None:
        """Return the C kernel for dw and db of images with few channels, None if there is none."""
        primitive = self._call_weights(self._has_primitive_bias).primitive
        arguments = {
            Arg.SRC: self._wide,
            Arg.DIFF_WEIGHTS: self._weights,
            Arg.DIFF_DST: self._narrow,
        }
        layouts = [primitive.port(arg, shape)[1] for arg, shape in arguments.items()]
        return plan_first_conv_gradient(self.backend, self.op, *layouts)

    def _narrow_result(self) -> Request:
        return self._narrow_layout(self._results)

    def _narrow_operand(self) -> Request:
        return self._narrow_layout(self._operands)

    def _narrow_layout(self, data_type: DataType) -> Request:
        """Return the layout to request: the library's choice, except for greyscale images.

        Measured on AVX2, the gradient of LeNet's first weights takes 0.9 ms with channels of y
        last, 2.7 ms in the library's choice. With more channels of x it takes longer.
        """
        is_grey = len(self._wide) == 4 and self._wide[1] == 1
        if is_grey and data_type is DataType.F32:
            return Layout.channels_last(self._narrow)
        return AnyLayout(self._narrow, data_type)

    def _gradient_layouts(self) -> tuple[Request, Request]:
        if self._uses_columns():
            return Layout.plain(self._wide), Layout.plain(self._narrow)
        if self._skips_pixels():
            forward = self._call_forward(EpilogueKind()).primitive
            wide = forward.layout(Query.SRC, self._wide)
            narrow = forward.layout(Query.DST, self._narrow)
            if any(has_blocks(wide, n) and has_blocks(narrow, n) for n in BLOCKS):
                return wide, narrow
        return AnyLayout(self._wide, self._results), self._narrow_operand()

    def _skips_pixels(self) -> bool:
        """Return whether most of the gradient of the data is zero: 1x1 filters with a stride.

        The library's choice of layouts, channels last, is slower, and the gradients on both sides
        would be converted. Measured on AVX2, the six of ResNet-50 take 25 ms in blocks, 33 ms so.
        """
        is_float = self.backend.precision == FP32
        return is_float and set(self.op.kernel) == {1} and min(self.op.stride) > 1

    def _uses_columns(self) -> bool:
        """Return whether the gradient of the data is faster as a product over columns (im2col).

        The library computes it so for images in C order. Measured on AVX2, LeNet's second
        convolution takes 2.2 ms so, 2.9 ms in blocks of 8 channels. With padding, fewer taps or an
        even number of blocks it takes longer.
        """
        op, blocks = self.op, -(-self._wide[1] // BLOCK)
        if self.backend.precision != FP32 or len(op.kernel) != 2 or op.group > 1 or any(op.pad):
            return False
        is_dense = {*op.stride, *op.dilation} == {1}
        return is_dense and blocks % 2 == 1 and math.prod(op.kernel) >= MIN_TAPS
