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
from minicaffe.backends.onednn.runtime.gemm import Sgemm
from minicaffe.backends.onednn.runtime.library import Arg, Prop
from minicaffe.backends.onednn.runtime.memory import Layout
from minicaffe.backends.onednn.runtime.native import ThreadedFunction
from minicaffe.backends.onednn.runtime.precision import FP32
from minicaffe.backends.onednn.runtime.primitive import EpilogueKind, Primitive
from minicaffe.backends.onednn.runtime.tensor import FLOAT_BYTES, OneDnnTensor
from minicaffe.ops.backend import EpilogueOp, Tensor
from minicaffe.ops.inner_product import InnerProduct

# Rows of x up to which the C kernel is faster than the primitive, which has more than one way to
# keep values in registers but divides the work badly among threads. The first number is a limit of
# the C kernel.
MAX_ROWS, MAX_ROWS_OF_ONE_THREAD = 64, 48
# Rows up to which it is as fast as products of bfloat16, whose weights are converted first.
MAX_FLOAT32_ROWS = 24
# The C kernel copies x in parts of so many columns.
PACKED_COLUMNS = 256


@kernel(InnerProduct)
def plan_inner_product(
    backend: OneDnnBackend, op: InnerProduct, *tensors: Tensor
) -> OneDnnKernel[InnerProduct]:
    """Return the kernel: of float32 for few rows in any precision, because these are not slower."""
    rows = math.prod(tensors[0].shape[: op.axis])
    is_small = rows <= MAX_FLOAT32_ROWS and backend.native is not None and not op.transpose
    is_float32 = is_small or backend.precision is FP32
    cls = OneDnnInnerProduct if is_float32 else PackedInnerProduct
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
        self._products = self._plan_products()
        self._native: ThreadedFunction | None = None
        self._packed_x = np.empty(0, np.float32)
        limit = MAX_ROWS if backend.threads > 1 else MAX_ROWS_OF_ONE_THREAD
        if self._m <= limit and not op.transpose and backend.native is not None:
            function = backend.native.lookup("inner_product")
            work = self._m * self._n * self._k, self._n * self._k * FLOAT_BYTES
            self._native = ThreadedFunction(self.engine, function, *work)
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
        self._products[0](x.address(), w.address(), y.address(), beta=1.0)

    def fuse(self, epilogue: Sequence[EpilogueOp]) -> int:
        """Fuse normalisation, scaling and ReLU of y."""
        return 0 if self.op.transpose else self._epilogue.fuse(epilogue)

    def backward_data(self, dy: OneDnnTensor, w: OneDnnTensor, dx: OneDnnTensor) -> None:
        """Overwrite dx."""
        self._products[1](dy.address(), w.address(), dx.address_to_write())

    def backward_weights(
        self,
        x: OneDnnTensor,
        dy: OneDnnTensor,
        dw: OneDnnTensor | None,
        db: OneDnnTensor | None,
    ) -> None:
        """Add to dw and db."""
        m, n = self._m, self._n
        if dw is not None:
            beta = 0.0 if dw.is_zero else 1.0
            a, b = dy.address(), x.address()
            if self.op.transpose:
                a, b = b, a
            out = dw.address_to_write() if dw.is_zero else dw.address_to_update()
            self._products[2](a, b, out, beta)
        if db is not None:
            rows = dy.read().reshape(m, n)
            if db.is_zero:
                np.add.reduce(rows, axis=0, out=db.write().reshape(n))
            else:
                db.update().reshape(n)[...] += rows.sum(0)

    def _run_native(
        self,
        function: ThreadedFunction,
        x: OneDnnTensor,
        w: OneDnnTensor,
        b: OneDnnTensor | None,
        y: OneDnnTensor,
    ) -> None:
        m, n, k = self._m, self._n, self._k
        epilogue = ChannelEpilogue(b, self._epilogue.tensors(), self._epilogue.kind.rectifies)
        inputs = (x.address(), w.address(), *epilogue.addresses())
        target = y.address_to_write()
        function(*inputs, target, self._packed_at, m, n, k, epilogue.rectifies)

    def _plan_products(self) -> tuple[Sgemm, Sgemm, Sgemm]:
        """Return the products for y with transposed weights, and for dx and dw."""
        m, n, k = self._m, self._n, self._k
        transpose = b"T" if self.op.transpose else b"N"
        weights = (k, n, m) if self.op.transpose else (n, k, m)
        planned = (
            ((b"N", b"N"), (m, n, k)),
            ((b"N", transpose), (m, k, n)),
            ((b"T", b"N"), weights),
        )
        y, dx, dw = (Sgemm(self.engine, self.backend.native, *each) for each in planned)
        return y, dx, dw

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
