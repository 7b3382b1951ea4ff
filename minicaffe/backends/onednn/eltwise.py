"""Sums element by element, in the layout of the first summand."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence

from minicaffe.backends.onednn._lib import Alg, Arg, Prop
from minicaffe.backends.onednn.activation import starts_with_relu
from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel, kernel
from minicaffe.backends.onednn.memory import Layout
from minicaffe.backends.onednn.primitive import Attributes, Call, Engine, Primitive
from minicaffe.backends.onednn.tensor import OneDnnTensor
from minicaffe.errors import Unsupported
from minicaffe.ops.backend import Follower, Tensor
from minicaffe.ops.eltwise import Eltwise


@kernel(Eltwise)
class OneDnnEltwise(OneDnnKernel):
    """The weighted sum."""

    def __init__(self, backend: OneDnnBackend, op: Eltwise, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        if op.operation != "sum":
            raise Unsupported(f"no oneDNN kernel for Eltwise {op.operation}")
        engine, coefficients = backend.engine, op.coefficients
        # The primitive for sums takes no ReLU; that for two summands does.
        self._can_rectify = op.coefficients == (1.0, 1.0)
        self._is_rectified = False
        self._rectify = functools.cache(self._plan_rectify)
        self._sum = functools.cache(lambda layout: plan_sum(engine, layout, coefficients))
        self._scale = functools.cache(self._plan_scale)

    def forward(self, xs: Sequence[OneDnnTensor], y: OneDnnTensor) -> None:
        """Overwrite y."""
        plan = self._rectify if self._is_rectified else self._sum
        plan(xs[0].layout)(*xs, y)

    def absorb(self, followers: Sequence[Follower]) -> int:
        """Apply a ReLU to y in the same pass."""
        self._is_rectified = starts_with_relu(followers) and self._can_rectify
        return int(self._is_rectified)

    def backward(
        self,
        xs: Sequence[OneDnnTensor],
        y: OneDnnTensor,
        dy: OneDnnTensor,
        dxs: Sequence[OneDnnTensor | None],
    ) -> None:
        """Overwrite the dxs."""
        for coefficient, dx in zip(self.op.coefficients, dxs, strict=True):
            if dx is None:
                continue
            if coefficient == 1:
                dx.copy_from(dy)
            else:
                self._scale(dy.layout, coefficient)(dy, dx)

    def _plan_rectify(self, layout: Layout) -> Call:
        primitive = Primitive(
            *(self.engine, "binary", Alg.BINARY_ADD, layout, layout, layout),
            attributes=Attributes().eltwise(Alg.ELTWISE_RELU),
        )
        return Call(primitive, [(Arg.SRC, layout), (Arg.SRC_1, layout)], [(Arg.DST, layout)])

    def _plan_scale(self, layout: Layout, coefficient: float) -> Call:
        given = (Prop.TRAINING, Alg.ELTWISE_LINEAR, layout, layout, coefficient, 0.0)
        primitive = Primitive(self.engine, "eltwise_forward", *given)
        return Call(primitive, [(Arg.SRC, layout)], [(Arg.DST, layout)])


def plan_sum(engine: Engine, layout: Layout, coefficients: Sequence[float]) -> Call:
    """Return the weighted sum of as many tensors of one layout as there are coefficients."""
    n = len(coefficients)
    factors = (ctypes.c_float * n)(*coefficients)
    given = (ctypes.c_void_p * n)(*[layout.handle] * n)
    primitive = Primitive(engine, "sum", layout, n, factors, given)
    reads = [(Arg.MULTIPLE_SRC + i, layout) for i in range(n)]
    return Call(primitive, reads, [(Arg.DST, layout)])
