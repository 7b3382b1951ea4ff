"""Inner product: oneDNN's primitive forward, its sgemm backward.

All layouts are plain. Packed weights gain little where weights are read once an iteration, and cost
a second copy of the largest parameters that nets have. sgemm adds to the gradient in place, so that
accumulating over several passes needs no second gradient either.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel, kernel
from minicaffe.backends.onednn.kernels._epilogue import Epilogue, Kind
from minicaffe.backends.onednn.kernels._packed_inner_product import PackedInnerProduct
from minicaffe.backends.onednn.runtime.gemm import multiply
from minicaffe.backends.onednn.runtime.library import Arg, Prop
from minicaffe.backends.onednn.runtime.memory import Layout
from minicaffe.backends.onednn.runtime.precision import FP32
from minicaffe.backends.onednn.runtime.primitive import Call, Port, Primitive
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.ops.backend import EpilogueOp, Tensor
from minicaffe.ops.inner_product import InnerProduct


@kernel(InnerProduct)
def plan(backend: OneDnnBackend, op: InnerProduct, *tensors: Tensor) -> OneDnnKernel:
    """Return the kernel for the backend's precision."""
    kind = OneDnnInnerProduct if backend.precision is FP32 else PackedInnerProduct
    return kind(backend, op, *tensors)


class OneDnnInnerProduct(OneDnnKernel):
    """y = x w^T + b on (M, K) and (N, K)."""

    def __init__(self, backend: OneDnnBackend, op: InnerProduct, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        x, y = tensors[0].shape, tensors[2].shape
        self._m, self._k = math.prod(x[: op.axis]), math.prod(x[op.axis :])
        self._n = math.prod(y[op.axis :])
        # With several axes before the outputs, these are not what other layers call channels.
        self._epilogue = Epilogue(backend, (self._m, self._n) if op.axis == 1 else ())
        self._forward = cache_method(self._plan_forward)

    def forward(
        self, x: OneDnnTensor, w: OneDnnTensor, b: OneDnnTensor | None, y: OneDnnTensor
    ) -> None:
        """Overwrite y."""
        if not self.op.transpose:
            given = (x, w) if b is None else (x, w, b)
            self._forward(self._epilogue.kind)(*given, *self._epilogue.tensors(), y)
            return
        out = y.write().reshape(self._m, self._n)
        out[...] = 0 if b is None else b.read()
        m, n, k = self._m, self._n, self._k
        multiply(b"N", b"N", m, n, k, x.address(), w.address(), 1.0, y.address())

    def fuse(self, epilogue: Sequence[EpilogueOp]) -> int:
        """Normalise, scale and rectify y in the same pass."""
        if self.op.transpose:
            return 0
        return self._epilogue.take(epilogue)

    def backward_data(self, dy: OneDnnTensor, w: OneDnnTensor, dx: OneDnnTensor) -> None:
        """Overwrite dx."""
        turned = b"T" if self.op.transpose else b"N"
        m, n, k = self._m, self._n, self._k
        given, weights, out = dy.address(), w.address(), dx.address_to_write()
        multiply(b"N", turned, m, k, n, given, weights, 0.0, out)

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
            old = 0.0 if dw.is_zero else 1.0
            left, right = x.address(), dy.address()
            out = dw.address_to_write() if dw.is_zero else dw.address_to_update()
            if self.op.transpose:
                multiply(b"T", b"N", k, n, m, left, right, old, out)
            else:
                multiply(b"T", b"N", n, k, m, right, left, old, out)
        if db is not None:
            rows = dy.read().reshape(m, n)
            if db.is_zero:
                np.add.reduce(rows, axis=0, out=db.write().reshape(n))
            else:
                db.update().reshape(n)[...] += rows.sum(0)

    def _plan_forward(self, kind: Kind) -> Call:
        m, n, k = self._m, self._n, self._k
        x, w, y = map(Layout.plain, ((m, k), (n, k), (m, n)))
        b = Layout.plain((n,)) if self.op.bias else None
        given = (Prop.TRAINING, x, w, b, y)
        attributes = self._epilogue.attributes(kind)
        primitive = Primitive(self.engine, "inner_product_forward", *given, attributes=attributes)
        reads: list[Port] = [(Arg.SRC, x), (Arg.WEIGHTS, w)]
        if b is not None:
            reads.append((Arg.BIAS, b))
        reads += self._epilogue.ports(kind)
        return Call(primitive, reads, [(Arg.DST, y)])
