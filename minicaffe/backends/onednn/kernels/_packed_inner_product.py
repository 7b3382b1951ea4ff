"""Inner product in layouts of the library's choice: how bfloat16 is multiplied.

For bfloat16 the weights have to be copied in every iteration anyway, so that the order which suits
the processor costs nothing more. The output, the gradient of the input and those of the parameters
stay float32: next to the weights they are small, and losses read them.

Transposed weights exchange the roles, as for convolutions: forward is then the primitive that
computes the gradient with respect to the input.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel
from minicaffe.backends.onednn.kernels._accumulate import Accumulator
from minicaffe.backends.onednn.kernels._epilogue import Epilogue, Kind
from minicaffe.backends.onednn.runtime.library import Arg, Prop, Query
from minicaffe.backends.onednn.runtime.memory import AnyLayout, Layout
from minicaffe.backends.onednn.runtime.primitive import Call, Port, Primitive
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.ops.backend import EpilogueOp, Tensor
from minicaffe.ops.inner_product import InnerProduct

OPERANDS = frozenset({Arg.SRC, Arg.WEIGHTS, Arg.DIFF_DST})


class PackedInnerProduct(OneDnnKernel):
    """y = x w^T + b on (M, K) and (N, K); the primitives map an inner size to an outer one."""

    def __init__(self, backend: OneDnnBackend, op: InnerProduct, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        x, y = tensors[0].shape, tensors[2].shape
        m, k, n = math.prod(x[: op.axis]), math.prod(x[op.axis :]), math.prod(y[op.axis :])
        inner, outer = (n, k) if op.transpose else (k, n)
        self._inner, self._outer, self._weights = (m, inner), (m, outer), (outer, inner)
        self._operands = backend.precision.operands
        self._epilogue = Epilogue(backend, (m, n) if op.axis == 1 else ())
        self._accumulate = Accumulator(backend)
        self._project = cache_method(self._plan_project)
        self._gather = cache_method(self._plan_gather)
        self._multiply = cache_method(self._plan_weights)

    def forward(
        self, x: OneDnnTensor, w: OneDnnTensor, b: OneDnnTensor | None, y: OneDnnTensor
    ) -> None:
        """Overwrite y."""
        if not self.op.transpose:
            given = (x, w) if b is None else (x, w, b)
            self._project(self._epilogue.kind)(*given, *self._epilogue.tensors(), y)
            return
        self._gather()(x, w, y)
        if b is not None:
            y.update().reshape(self._inner)[...] += b.read()

    def fuse(self, epilogue: Sequence[EpilogueOp]) -> int:
        """Normalise, scale and rectify y in the same pass."""
        return 0 if self.op.transpose else self._epilogue.take(epilogue)

    def backward_data(self, dy: OneDnnTensor, w: OneDnnTensor, dx: OneDnnTensor) -> None:
        """Overwrite dx."""
        if self.op.transpose:
            self._project(Kind())(dy, w, dx)
        else:
            self._gather()(dy, w, dx)

    def backward_weights(
        self,
        x: OneDnnTensor,
        dy: OneDnnTensor,
        dw: OneDnnTensor | None,
        db: OneDnnTensor | None,
    ) -> None:
        """Add to dw and db."""
        inner, outer = (dy, x) if self.op.transpose else (x, dy)
        if dw is not None:
            self._accumulate(
                lambda part: self._multiply()(inner, outer, part), (dw,), (self._weights,)
            )
        if db is not None:
            # From the gradient as it came, which nothing has to be rounded for.
            db.update().reshape(-1)[...] += dy.read().reshape(-1, db.shape[-1]).sum(0)

    def _plan_project(self, kind: Kind) -> Call:
        bias = Layout.plain(self._outer[1:]) if self._has_bias else None
        source, weights = (AnyLayout(s, self._operands) for s in (self._inner, self._weights))
        result = Layout.plain(self._outer)
        primitive = Primitive(
            *(self.engine, "inner_product_forward", Prop.TRAINING, source, weights, bias, result),
            attributes=self._epilogue.attributes(kind),
        )
        reads: list[Port] = [
            (Arg.SRC, primitive.layout(Query.SRC, self._inner)),
            (Arg.WEIGHTS, primitive.layout(Query.WEIGHTS, self._weights)),
        ]
        if bias is not None:
            reads.append((Arg.BIAS, bias))
        reads += self._epilogue.ports(kind)
        return self.backend.call(primitive, reads, [(Arg.DST, result)], OPERANDS)

    def _plan_gather(self) -> Call:
        weights, given = (AnyLayout(s, self._operands) for s in (self._weights, self._outer))
        result = Layout.plain(self._inner)
        primitive = Primitive(
            *(self.engine, "inner_product_backward_data", result, weights, given),
            hint=self._project(Kind()).primitive,
        )
        reads = [
            (Arg.DIFF_DST, primitive.layout(Query.DIFF_DST, self._outer)),
            (Arg.WEIGHTS, primitive.layout(Query.WEIGHTS, self._weights)),
        ]
        return self.backend.call(primitive, reads, [(Arg.DIFF_SRC, result)], OPERANDS)

    def _plan_weights(self) -> Call:
        source, given = (AnyLayout(s, self._operands) for s in (self._inner, self._outer))
        primitive = Primitive(
            *(self.engine, "inner_product_backward_weights"),
            *(source, AnyLayout(self._weights), None, given),
            hint=self._project(Kind()).primitive,
        )
        reads = [
            (Arg.SRC, primitive.layout(Query.SRC, self._inner)),
            (Arg.DIFF_DST, primitive.layout(Query.DIFF_DST, self._outer)),
        ]
        result = primitive.layout(Query.DIFF_WEIGHTS, self._weights)
        return self.backend.call(primitive, reads, [(Arg.DIFF_WEIGHTS, result)], OPERANDS)

    @property
    def _has_bias(self) -> bool:
        return bool(self.op.bias) and not self.op.transpose
