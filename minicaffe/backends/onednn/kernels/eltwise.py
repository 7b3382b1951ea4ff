"""Sums, products and maxima element by element, in the layout of the first tensor."""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Sequence

import numpy as np

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel, kernel
from minicaffe.backends.onednn.kernels._pointwise import gapless_layout, pointwise
from minicaffe.backends.onednn.runtime.library import Alg, Arg, Prop
from minicaffe.backends.onednn.runtime.memory import Layout
from minicaffe.backends.onednn.runtime.primitive import Attributes, Call, Engine, Port, Primitive
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.ops.activation import starts_with_relu
from minicaffe.ops.backend import Array, EpilogueOp, Tensor
from minicaffe.ops.eltwise import Eltwise


@kernel(Eltwise)
def plan_eltwise(backend: OneDnnBackend, op: Eltwise, *tensors: Tensor) -> OneDnnKernel:
    """Return the kernel of the operation."""
    kernels = {"sum": OneDnnSum, "prod": OneDnnProduct, "max": OneDnnMaximum}
    return kernels[op.operation](backend, op, *tensors)


class OneDnnSum(OneDnnKernel):
    """The weighted sum."""

    def __init__(self, backend: OneDnnBackend, op: Eltwise, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        engine, coefficients = backend.engine, op.coefficients
        # The primitive for sums takes no ReLU; that for two summands does.
        self._can_rectify = op.coefficients == (1.0, 1.0)
        self._is_rectified = False
        self._rectify = cache_method(self._plan_rectify)
        self._sum = functools.cache(lambda layout: plan_sum(engine, layout, coefficients))
        self._scale = cache_method(self._plan_scale)

    def forward(self, xs: Sequence[OneDnnTensor], y: OneDnnTensor) -> None:
        """Overwrite y."""
        plan = self._rectify if self._is_rectified else self._sum
        plan(xs[0].layout)(*xs, y)

    def fuse(self, epilogue: Sequence[EpilogueOp]) -> int:
        """Apply a ReLU to y in the same pass."""
        self._is_rectified = starts_with_relu(epilogue) and self._can_rectify
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


class OneDnnProduct(OneDnnKernel):
    """The product; each gradient is one too, of the others and dy."""

    def __init__(self, backend: OneDnnBackend, op: Eltwise, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._n = len(tensors) - 1
        self._product = cache_method(self._plan_product)

    def forward(self, xs: Sequence[OneDnnTensor], y: OneDnnTensor) -> None:
        """Overwrite y."""
        self._product(xs[0].layout, Alg.BINARY_MUL, self._n)(*xs, y)

    def backward(
        self,
        xs: Sequence[OneDnnTensor],
        y: OneDnnTensor,
        dy: OneDnnTensor,
        dxs: Sequence[OneDnnTensor | None],
    ) -> None:
        """Overwrite the dxs."""
        for i, dx in enumerate(dxs):
            if dx is None:
                continue
            if self.op.stable:
                others = [x for k, x in enumerate(xs) if k != i]
                self._product(xs[0].layout, Alg.BINARY_MUL, self._n)(*others, dy, dx)
            else:
                # Not in a layout with padding: 0 / 0 would not leave it zero.
                self._product(gapless_layout(xs[0]), Alg.BINARY_DIV, 3)(y, xs[i], dy, dx)

    def _plan_product(self, layout: Layout, first: Alg, n: int) -> Call:
        """Return the product, or with another first operation the rest of it, of n tensors."""
        attributes = Attributes()
        reads: list[Port] = [(Arg.SRC, layout), (Arg.SRC_1, layout)]
        for i in range(n - 2):
            attributes.binary(Alg.BINARY_MUL, layout)
            reads.append((Arg.POST_OP * (i + 1) | Arg.SRC_1, layout))
        primitive = Primitive(
            self.engine, "binary", first, layout, layout, layout, attributes=attributes
        )
        return Call(primitive, reads, [(Arg.DST, layout)])


class OneDnnMaximum(OneDnnKernel):
    """The maximum, in chunks: oneDNN's does not say which x it took.

    `chosen` is the index of that x, as small as it can be: beside the numbers themselves it is what
    the passes read and write.
    """

    def __init__(self, backend: OneDnnBackend, op: Eltwise, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        n = len(tensors) - 1
        self._chosen = np.zeros(math.prod(tensors[0].shape), np.min_scalar_type(n))
        self._layout = Layout.plain(tensors[0].shape)

    def forward(self, xs: Sequence[OneDnnTensor], y: OneDnnTensor) -> None:
        """Overwrite y."""
        self._layout = gapless_layout(xs[0])
        pointwise(self.backend, self._layout, _choose, xs, [y], [self._chosen])

    def backward(
        self,
        xs: Sequence[OneDnnTensor],
        y: OneDnnTensor,
        dy: OneDnnTensor,
        dxs: Sequence[OneDnnTensor | None],
    ) -> None:
        """Overwrite the dxs."""
        wanted = [(i, dx) for i, dx in enumerate(dxs) if dx is not None]
        numbers = [i for i, _ in wanted]

        def share(dy: Array, *arrays: Array) -> None:
            *dxs, chosen = arrays
            for i, dx in zip(numbers, dxs, strict=True):
                np.multiply(dy, chosen == i, out=dx)

        results = [dx for _, dx in wanted]
        pointwise(self.backend, self._layout, share, [dy], results, [self._chosen])


def _choose(first: Array, *arrays: Array) -> None:
    second, *others, y, chosen = arrays
    np.less_equal(first, second, out=chosen, casting="unsafe")
    np.maximum(first, second, out=y)
    for i, x in enumerate(others, 2):
        # Later ones have larger numbers; a copy where x > y would take 40 times as long.
        index = (x > y).astype(chosen.dtype) * chosen.dtype.type(i)
        np.maximum(chosen, index, out=chosen)
        np.maximum(y, x, out=y)


def plan_sum(engine: Engine, layout: Layout, coefficients: Sequence[float]) -> Call:
    """Return the weighted sum of as many tensors of one layout as there are coefficients."""
    n = len(coefficients)
    factors = (ctypes.c_float * n)(*coefficients)
    given = (ctypes.c_void_p * n)(*[layout.handle] * n)
    primitive = Primitive(engine, "sum", layout, n, factors, given)
    reads = [(Arg.MULTIPLE_SRC + i, layout) for i in range(n)]
    return Call(primitive, reads, [(Arg.DST, layout)])
