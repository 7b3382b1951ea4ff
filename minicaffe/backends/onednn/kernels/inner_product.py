"""Inner product: a C kernel or oneDNN's primitive forward, its sgemm backward.

The C kernel is for few rows: it reads the weights once, at the speed of memory, where the library
takes up to five times as long. All layouts are plain. Packed weights save little if weights are
read once an iteration, and cost a second copy of the largest parameters of a net. sgemm adds to the
gradient in place, so accumulating over several passes needs no second gradient either.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel, kernel
from minicaffe.backends.onednn.kernels._epilogue import OneDnnEpilogue
from minicaffe.backends.onednn.kernels._packed_inner_product import PackedInnerProduct
from minicaffe.backends.onednn.runtime.call import Call, Port
from minicaffe.backends.onednn.runtime.channel_epilogue import ChannelEpilogue
from minicaffe.backends.onednn.runtime.gemm import sgemm
from minicaffe.backends.onednn.runtime.library import Arg, Prop
from minicaffe.backends.onednn.runtime.memory import Layout
from minicaffe.backends.onednn.runtime.precision import FP32
from minicaffe.backends.onednn.runtime.primitive import EpilogueKind, Primitive
from minicaffe.backends.onednn.runtime.tensor import FLOAT_BYTES, OneDnnTensor
from minicaffe.native.library import NativeFunction
from minicaffe.ops.backend import EpilogueOp, Tensor
from minicaffe.ops.inner_product import InnerProduct

# Rows of x up to which the C kernel is faster than the primitive, which has more than one way to
# keep values in registers but divides the work badly among threads. The first number is a limit of
# the C kernel.
MAX_ROWS, MAX_ROWS_OF_ONE_THREAD = 64, 48
# The C kernel copies x in parts of so many columns.
PACKED_COLUMNS = 256


@kernel(InnerProduct)
def plan_inner_product(
    backend: OneDnnBackend, op: InnerProduct, *tensors: Tensor
) -> OneDnnKernel[InnerProduct]:
    """Return the kernel for the backend's precision."""
    cls = OneDnnInnerProduct if backend.precision is FP32 else PackedInnerProduct
    return cls(backend, op, *tensors)


class OneDnnInnerProduct(OneDnnKernel[InnerProduct]):
    """y = x w^T + b on (M, K) and (N, K)."""

    def __init__(self, backend: OneDnnBackend, op: InnerProduct, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        x, y = tensors[0].shape, tensors[2].shape
        self._m, self._k = math.prod(x[: op.axis]), math.prod(x[op.axis :])
        self._n = math.prod(y[op.axis :])
        # With several axes before the outputs, the outputs are not what other layers call channels.
        self._epilogue = OneDnnEpilogue(backend, (self._m, self._n) if op.axis == 1 else ())
        self._forward = cache_method(self._plan_forward)
        self._native: NativeFunction | None = None
        self._packed_x = np.empty(0, np.float32)
        limit = MAX_ROWS if backend.threads > 1 else MAX_ROWS_OF_ONE_THREAD
        if self._m <= limit and not op.transpose:
            self._native = backend.native_function("inner_product")
            columns = -(-self._k // PACKED_COLUMNS) * PACKED_COLUMNS
            self._packed_x = np.empty(self._m * columns, np.float32)
        self._packed_at = self._packed_x.ctypes.data

    def forward(
        self, x: OneDnnTensor, w: OneDnnTensor, b: OneDnnTensor | None, y: OneDnnTensor
    ) -> None:
        """Overwrite y."""
        if self._native is not None:
            self._run_native(self._native, x, w, b, y)
            return
        if not self.op.transpose:
            inputs = (x, w) if b is None else (x, w, b)
            self._forward(self._epilogue.kind)(*inputs, *self._epilogue.tensors(), y)
            return
        out = y.write().reshape(self._m, self._n)
        out[...] = 0 if b is None else b.read()
        sizes = (self._m, self._n, self._k)
        matrices = x.address(), w.address(), y.address()
        sgemm(self.engine, (b"N", b"N"), sizes, matrices, beta=1.0)

    def fuse(self, epilogue: Sequence[EpilogueOp]) -> int:
        """Fuse normalisation, scaling and ReLU of y."""
        return 0 if self.op.transpose else self._epilogue.fuse(epilogue)

    def backward_data(self, dy: OneDnnTensor, w: OneDnnTensor, dx: OneDnnTensor) -> None:
        """Overwrite dx."""
        transposes = (b"N", b"T" if self.op.transpose else b"N")
        sizes = (self._m, self._k, self._n)
        matrices = dy.address(), w.address(), dx.address_to_write()
        sgemm(self.engine, transposes, sizes, matrices)

    def backward_weights(
        self,
        x: OneDnnTensor,
        dy: OneDnnTensor,
        dw: OneDnnTensor | None,
        db: OneDnnTensor | None,
    ) -> None:
        """Add to dw and db."""
        m, n, k = self._m, self._n, self._k
        if dw is not None:
            beta = 0.0 if dw.is_zero else 1.0
            a, b, sizes = dy.address(), x.address(), (n, k, m)
            if self.op.transpose:
                a, b, sizes = b, a, (k, n, m)
            out = dw.address_to_write() if dw.is_zero else dw.address_to_update()
            sgemm(self.engine, (b"T", b"N"), sizes, (a, b, out), beta)
        if db is not None:
            rows = dy.read().reshape(m, n)
            if db.is_zero:
                np.add.reduce(rows, axis=0, out=db.write().reshape(n))
            else:
                db.update().reshape(n)[...] += rows.sum(0)

    def _run_native(
        self,
        function: NativeFunction,
        x: OneDnnTensor,
        w: OneDnnTensor,
        b: OneDnnTensor | None,
        y: OneDnnTensor,
    ) -> None:
        m, n, k = self._m, self._n, self._k
        epilogue = ChannelEpilogue(b, self._epilogue.tensors(), self._epilogue.kind.rectifies)
        inputs = (x.address(), w.address(), *epilogue.addresses())
        # A thread computes whole columns of y, so their number changes no bit.
        threads = self.engine.threads_for(m * n * k, n * k * FLOAT_BYTES, keeps_bits=True)
        target = y.address_to_write()
        sizes = self._packed_at, m, n, k
        self.engine.launch(function, *inputs, target, *sizes, epilogue.rectifies, threads)

    def _plan_forward(self, kind: EpilogueKind) -> Call:
        m, n, k = self._m, self._n, self._k
        x, w, y = map(Layout.plain, ((m, k), (n, k), (m, n)))
        b = Layout.plain((n,)) if self.op.bias else None
        primitive = Primitive(
            *(self.engine, "inner_product_forward", Prop.TRAINING, x, w, b, y),
            attributes=self._epilogue.attributes(kind),
        )
        reads: list[Port] = [(Arg.SRC, x), (Arg.WEIGHTS, w)]
        if b is not None:
            reads.append((Arg.BIAS, b))
        reads += self._epilogue.ports(kind)
        return Call(primitive, reads, [(Arg.DST, y)])
