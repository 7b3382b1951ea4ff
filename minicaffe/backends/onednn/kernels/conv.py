"""Convolution and its transpose.

oneDNN chooses the layouts of all tensors. A transposed convolution is the same three primitives
with the roles changed: its forward pass is the convolution's gradient with respect to the data.
Below, "wide" is the side that has the windows, "narrow" the one with a value for each window.

In bfloat16 a convolution's results are bfloat16 too, as the next one would round them anyway.
Those of a transposed one are float32: its bias is added to them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel, kernel
from minicaffe.backends.onednn.kernels._accumulate import Accumulator
from minicaffe.backends.onednn.kernels._channel_bias import ChannelBias
from minicaffe.backends.onednn.kernels._epilogue import Epilogue, Kind
from minicaffe.backends.onednn.runtime.library import Alg, Arg, DataType, Prop, Query
from minicaffe.backends.onednn.runtime.memory import AnyLayout, Layout
from minicaffe.backends.onednn.runtime.precision import FP32
from minicaffe.backends.onednn.runtime.primitive import Call, Port, Primitive
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.backends.onednn.winograd.blocks import Sizes
from minicaffe.backends.onednn.winograd.forward import Winograd, suits
from minicaffe.backends.onednn.winograd.gradient import WinogradGradient, suits_gradient
from minicaffe.errors import Unsupported
from minicaffe.ops.backend import EpilogueOp, Shape, Tensor
from minicaffe.ops.conv import Conv

MAX_SPATIAL_AXES = 3
# Channels that the library keeps side by side on AVX2, and from how many taps on a product over
# columns can be faster.
BLOCK = 8
MIN_TAPS = 25
DIRECT = Alg.CONVOLUTION_DIRECT
OPERANDS = frozenset({Arg.SRC, Arg.WEIGHTS, Arg.DIFF_DST})
RESULTS = frozenset({Arg.DST, Arg.DIFF_SRC})


@kernel(Conv)
class OneDnnConv(OneDnnKernel):
    """Convolution, or its transpose; what backward needs is planned at the first backward pass."""

    def __init__(self, backend: OneDnnBackend, op: Conv, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        if not 1 <= len(op.kernel) <= MAX_SPATIAL_AXES:
            raise Unsupported(f"oneDNN has no convolution over {len(op.kernel)} spatial axes")
        x, w, y = (t.shape for t in tensors[:3])
        self._wide, self._narrow = (y, x) if op.transposed else (x, y)
        self._weight_shape = w
        self._filters = w if op.group == 1 else (op.group, w[0] // op.group, *w[1:])
        # oneDNN counts the gaps between taps where Caffe counts the distance.
        gaps = tuple(d - 1 for d in op.dilation)
        self._steps = (op.stride, gaps, op.pad, op.pad)
        self._operands = backend.precision.operands
        self._results = DataType.F32 if op.transposed else self._operands
        self._converted = OPERANDS if op.transposed else OPERANDS | RESULTS
        self._has_own_bias = op.bias and op.transposed
        self._accumulate = Accumulator(backend)
        self._channels = ChannelBias(backend, y[1]) if self._has_own_bias else None
        self._epilogue = Epilogue(backend, y)
        self._correlate = cache_method(self._plan_correlate)
        self._plain = self._correlate(Kind())
        self._winograd = cache_method(self._plan_winograd)
        self._winograd_of_weights = cache_method(self._plan_winograd_of_weights)
        self._winograd_of_data = cache_method(self._plan_winograd_of_data)
        # Weights that are trained change before the next pass.
        self._is_trained = False
        self._gather: Call | None = None
        self._weights: dict[bool, Call] = {}
        if op.transposed:
            self._gather = self._plan_gather()

    def forward(
        self, x: OneDnnTensor, w: OneDnnTensor, b: OneDnnTensor | None, y: OneDnnTensor
    ) -> None:
        """Overwrite y."""
        if not self.op.transposed:
            scaling = self._epilogue.tensors()
            winograd = self._winograd(self._epilogue.kind)
            if winograd is not None:
                winograd(x, w, y, b, scaling, keeps=not self._is_trained)
                return
            given = (x, w) if b is None else (x, w, b)
            self._correlate(self._epilogue.kind)(*given, *scaling, y)
            return
        self._run_gather(x, w, y)
        if b is not None and self._channels is not None:
            self._channels.add(y, b, y)

    def fuse(self, epilogue: Sequence[EpilogueOp]) -> int:
        """Normalise, scale and rectify y in the same pass."""
        if self.op.transposed:
            return 0
        n = self._epilogue.take(epilogue)
        fused = self._correlate(self._epilogue.kind).primitive
        if self._plain.primitive.is_compiled and not fused.is_compiled:
            return self._epilogue.take(())
        return n

    def backward_data(self, dy: OneDnnTensor, w: OneDnnTensor, dx: OneDnnTensor) -> None:
        """Overwrite dx."""
        if self.op.transposed:
            self._plain(dy, w, dx)
            return
        winograd = self._winograd_of_data()
        if winograd is not None:
            winograd(dy, w, dx)
        else:
            self._run_gather(dy, w, dx)

    def backward_weights(
        self,
        x: OneDnnTensor,
        dy: OneDnnTensor,
        dw: OneDnnTensor | None,
        db: OneDnnTensor | None,
    ) -> None:
        """Add to dw and db."""
        self._is_trained = True
        winograd = self._winograd_of_weights()
        if winograd is not None and dw is not None:
            winograd(x, dy, dw, db)
            return
        wide, narrow = (dy, x) if self.op.transposed else (x, dy)
        with_bias = db is not None and self._channels is None
        call = self._weights.get(with_bias)
        if call is None:
            call = self._weights[with_bias] = self._plan_weights(with_bias)
        totals = (dw, db) if with_bias else (dw,)
        shapes = (self._filters, self._narrow[1:2])
        self._accumulate(lambda *parts: call(wide, narrow, *parts), totals, shapes)
        if db is not None and self._channels is not None:
            self._channels.accumulate(dy, db)

    def _run_gather(self, narrow: OneDnnTensor, w: OneDnnTensor, wide: OneDnnTensor) -> None:
        if self._gather is None:
            self._gather = self._plan_gather()
        self._gather(narrow, w, wide)

    def _suits(self, x: Shape, y: Shape) -> bool:
        """Return whether Winograd's algorithm, which is for float32, is faster."""
        return self.backend.precision == FP32 and suits(self.op, x, y)

    def _plan_winograd(self, kind: Kind) -> Winograd | None:
        """Return the faster way to y, where there is one."""
        sizes = Sizes(self._wide, self._narrow, self.op.pad, self.op.group)
        if not self._suits(self._wide, self._narrow):
            return None
        target = self._plain.primitive.layout(Query.DST, self._narrow)
        return Winograd(self.backend, sizes, self._weight_shape, target, kind)

    def _plan_winograd_of_data(self) -> Winograd | None:
        """Return the faster way to dx: the correlation of dy with turned filters."""
        if not self._suits(self._narrow, self._wide):
            return None
        pad = tuple(k - 1 - p for k, p in zip(self.op.kernel, self.op.pad, strict=True))
        sizes = Sizes(self._narrow, self._wide, pad, self.op.group)
        target = self._plain.primitive.layout(Query.SRC, self._wide)
        return Winograd(self.backend, sizes, self._weight_shape, target, is_turned=True)

    def _plan_winograd_of_weights(self) -> WinogradGradient | None:
        """Return the faster way to dw and db, where there is one."""
        sizes = Sizes(self._wide, self._narrow, self.op.pad, self.op.group)
        if not self._suits(self._wide, self._narrow) or not suits_gradient(sizes):
            return None
        return WinogradGradient(self.backend, sizes)

    def _narrow_layout(self, data_type: DataType) -> Layout | AnyLayout:
        """Return the layout to ask for: the library's choice but for grey pictures.

        Measured on AVX2, the gradient of LeNet's first weights takes 0.9 ms with the channels of y
        last, 2.7 ms as the library would have them. With more channels of x it takes longer.
        """
        is_grey = len(self._wide) == 4 and self._wide[1] == 1
        if is_grey and data_type is DataType.F32:
            return Layout.channels_last(self._narrow)
        return AnyLayout(self._narrow, data_type)

    def _plan_correlate(self, kind: Kind) -> Call:
        bias = Layout.plain(self._narrow[1:2]) if self.op.bias and not self.op.transposed else None
        wide, filters = (AnyLayout(s, self._operands) for s in (self._wide, self._filters))
        narrow = self._narrow_layout(self._results)
        primitive = Primitive(
            self.engine,
            "convolution_forward",
            *(Prop.TRAINING, DIRECT, wide, filters, bias, narrow, *self._steps),
            attributes=self._epilogue.attributes(kind),
        )
        reads: list[Port] = [
            (Arg.SRC, primitive.layout(Query.SRC, self._wide)),
            (Arg.WEIGHTS, primitive.layout(Query.WEIGHTS, self._filters)),
        ]
        if bias is not None:
            reads.append((Arg.BIAS, bias))
        reads += self._epilogue.ports(kind)
        writes = [(Arg.DST, primitive.layout(Query.DST, self._narrow))]
        return self.backend.call(primitive, reads, writes, self._converted)

    def _gathers_by_columns(self) -> bool:
        """Return whether the gradient of the data is computed sooner as a product over columns.

        The library does so for images in C order. Measured on AVX2, LeNet's second convolution
        takes 2.2 ms so, 2.9 ms in blocks of 8 channels. With padding, fewer taps or an even number
        of blocks it takes longer.
        """
        op, blocks = self.op, -(-self._wide[1] // BLOCK)
        if self.backend.precision != FP32 or len(op.kernel) != 2 or op.group > 1 or any(op.pad):
            return False
        is_dense = {*op.stride, *op.dilation} == {1}
        return is_dense and blocks % 2 == 1 and math.prod(op.kernel) >= MIN_TAPS

    def _plan_gather(self) -> Call:
        filters = AnyLayout(self._filters, self._operands)
        wide: Layout | AnyLayout = AnyLayout(self._wide, self._results)
        narrow = self._narrow_layout(self._operands)
        if self._gathers_by_columns():
            wide, narrow = Layout.plain(self._wide), Layout.plain(self._narrow)
        primitive = Primitive(
            self.engine,
            "convolution_backward_data",
            *(DIRECT, wide, filters, narrow, *self._steps),
            hint=self._plain.primitive,
        )
        reads = [
            (Arg.DIFF_DST, primitive.layout(Query.DIFF_DST, self._narrow)),
            (Arg.WEIGHTS, primitive.layout(Query.WEIGHTS, self._filters)),
        ]
        writes = [(Arg.DIFF_SRC, primitive.layout(Query.DIFF_SRC, self._wide))]
        return self.backend.call(primitive, reads, writes, self._converted)

    def _plan_weights(self, with_bias: bool) -> Call:
        bias = Layout.plain(self._narrow[1:2]) if with_bias else None
        wide, filters = AnyLayout(self._wide, self._operands), AnyLayout(self._filters)
        narrow = self._narrow_layout(self._operands)
        primitive = Primitive(
            self.engine,
            "convolution_backward_weights",
            *(DIRECT, wide, filters, bias, narrow, *self._steps),
            hint=self._plain.primitive,
        )
        reads = [
            (Arg.SRC, primitive.layout(Query.SRC, self._wide)),
            (Arg.DIFF_DST, primitive.layout(Query.DIFF_DST, self._narrow)),
        ]
        writes = [(Arg.DIFF_WEIGHTS, primitive.layout(Query.DIFF_WEIGHTS, self._filters))]
        if bias is not None:
            writes.append((Arg.DIFF_BIAS, bias))
        return self.backend.call(primitive, reads, writes, self._converted)
