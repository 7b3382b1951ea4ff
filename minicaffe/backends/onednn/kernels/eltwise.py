"""Elementwise sums, products and maxima, in the layout of the first tensor."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel, kernel
from minicaffe.backends.onednn.kernels._native_sum import NativeSum
from minicaffe.backends.onednn.kernels._pointwise import gapless_layout, pointwise
from minicaffe.backends.onednn.runtime.call import Call, Port
from minicaffe.backends.onednn.runtime.library import Alg, Arg, Prop
from minicaffe.backends.onednn.runtime.memory import Layout
from minicaffe.backends.onednn.runtime.primitive import Attributes, Engine, Primitive
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.ops.activation import starts_with_relu
from minicaffe.ops.backend import Array, EpilogueOp, Tensor
from minicaffe.ops.eltwise import Eltwise

Tensors: TypeAlias = Sequence[OneDnnTensor]
# Each dx to overwrite, with the index of its x.
Wanted: TypeAlias = Sequence[tuple[int, OneDnnTensor]]


@kernel(Eltwise)
def plan_eltwise(backend: OneDnnBackend, op: Eltwise, *tensors: Tensor) -> OneDnnEltwise:
    """Return the kernel of the operation."""
    kernels = {"sum": OneDnnSum, "prod": OneDnnProduct, "max": OneDnnMaximum}
    return kernels[op.operation](backend, op, *tensors)


class OneDnnEltwise(OneDnnKernel[Eltwise]):
    """Base of the three operations."""

    def backward(
        self,
        xs: Sequence[OneDnnTensor],
        y: OneDnnTensor,
        dy: OneDnnTensor,
        dxs: Sequence[OneDnnTensor | None],
    ) -> None:
        """Overwrite the dxs that are not None."""
        wanted = [(i, dx) for i, dx in enumerate(dxs) if dx is not None]
        self._backward(wanted, xs, y, dy)

    def _backward(self, wanted: Wanted, xs: Tensors, y: OneDnnTensor, dy: OneDnnTensor) -> None:
        raise NotImplementedError


class OneDnnSum(OneDnnEltwise):
    """Weighted sum."""

    def __init__(self, backend: OneDnnBackend, op: Eltwise, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._native: NativeSum | None = None
        if backend.native is not None and set(op.coefficients) == {1.0}:
            self._native = NativeSum(backend, backend.native)
        # Only the primitive for two summands without coefficients accepts a ReLU.
        self._can_rectify = self._native is not None or op.coefficients == (1.0, 1.0)
        self._rectifies = False
        self._add_relu = cache_method(self._plan_add_relu)
        self._sum = cache_method(self._plan_sum)
        self._scale = cache_method(self._plan_scale)

    def forward(self, xs: Tensors, y: OneDnnTensor) -> None:
        """Overwrite y."""
        if self._native is not None:
            self._native.add(xs, y, rectifies=self._rectifies)
            return
        plan = self._add_relu if self._rectifies else self._sum
        plan(xs[0].layout)(*xs, y)

    def fuse(self, epilogue: Sequence[EpilogueOp]) -> int:
        """Fuse a ReLU of y."""
        self._rectifies = starts_with_relu(epilogue) and self._can_rectify
        return int(self._rectifies)

    def _backward(self, wanted: Wanted, xs: Tensors, y: OneDnnTensor, dy: OneDnnTensor) -> None:
        for i, dx in wanted:
            coefficient = self.op.coefficients[i]
            if coefficient != 1:
                self._scale(dy.layout, coefficient)(dy, dx)
            elif dx is not dy:
                dx.defer([dy])

    def _plan_sum(self, layout: Layout) -> Call:
        return plan_sum(self.engine, layout, self.op.coefficients)

    def _plan_add_relu(self, layout: Layout) -> Call:
        primitive = Primitive(
            *(self.engine, "binary", Alg.BINARY_ADD, layout, layout, layout),
            attributes=Attributes().relu(),
        )
        return Call(primitive, [(Arg.SRC, layout), (Arg.SRC_1, layout)], [(Arg.DST, layout)])

    def _plan_scale(self, layout: Layout, coefficient: float) -> Call:
        arguments = (Prop.TRAINING, Alg.ELTWISE_LINEAR, layout, layout, coefficient, 0.0)
        primitive = Primitive(self.engine, "eltwise_forward", *arguments)
        return Call(primitive, [(Arg.SRC, layout)], [(Arg.DST, layout)])


class OneDnnProduct(OneDnnEltwise):
    """Product; each gradient is the product of dy and the other inputs."""

    def __init__(self, backend: OneDnnBackend, op: Eltwise, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._n = len(tensors) - 1
        self._product = cache_method(self._plan_product)

    def forward(self, xs: Tensors, y: OneDnnTensor) -> None:
        """Overwrite y."""
        self._product(xs[0].layout, Alg.BINARY_MUL, self._n)(*xs, y)

    def _backward(self, wanted: Wanted, xs: Tensors, y: OneDnnTensor, dy: OneDnnTensor) -> None:
        for i, dx in wanted:
            if self.op.stable:
                others = [x for k, x in enumerate(xs) if k != i]
                self._product(xs[0].layout, Alg.BINARY_MUL, self._n)(*others, dy, dx)
            else:
                # Not in a layout with padding: 0 / 0 would make it NaN.
                self._product(gapless_layout(xs[0]), Alg.BINARY_DIV, 3)(y, xs[i], dy, dx)

    def _plan_product(self, layout: Layout, first: Alg, n: int) -> Call:
        """Return the product of n tensors, or another first operation and then products."""
        attributes = Attributes()
        reads: list[Port] = [(Arg.SRC, layout), (Arg.SRC_1, layout)]
        for i in range(n - 2):
            attributes.binary(Alg.BINARY_MUL, layout)
            reads.append((Arg.POST_OP * (i + 1) | Arg.SRC_1, layout))
        primitive = Primitive(
            self.engine, "binary", first, layout, layout, layout, attributes=attributes
        )
        return Call(primitive, reads, [(Arg.DST, layout)])


class OneDnnMaximum(OneDnnEltwise):
    """Maximum, computed with NumPy in chunks, because oneDNN's does not return the arg max.

    `_arg_max` is the index of the largest x, in the smallest integer type: the passes read and
    write it besides the values.
    """

    def __init__(self, backend: OneDnnBackend, op: Eltwise, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        n = len(tensors) - 1
        self._arg_max = np.zeros(math.prod(tensors[0].shape), np.min_scalar_type(n))
        self._layout = Layout.plain(tensors[0].shape)

    def forward(self, xs: Tensors, y: OneDnnTensor) -> None:
        """Overwrite y."""
        self._layout = gapless_layout(xs[0])
        pointwise(self.backend, self._layout, _maximum, xs, [y], [self._arg_max])

    def _backward(self, wanted: Wanted, xs: Tensors, y: OneDnnTensor, dy: OneDnnTensor) -> None:
        indices = [i for i, _ in wanted]

        def distribute(dy: Array, *arrays: Array) -> None:
            *dxs, arg_max = arrays
            for i, dx in zip(indices, dxs, strict=True):
                np.copyto(dx, np.where(arg_max == i, dy, 0))

        results = [dx for _, dx in wanted]
        pointwise(self.backend, self._layout, distribute, [dy], results, [self._arg_max])


def _maximum(first: Array, *arrays: Array) -> None:
    second, *others, y, arg_max = arrays
    np.less_equal(first, second, out=arg_max, casting="unsafe")
    np.maximum(first, second, out=y)
    for i, x in enumerate(others, 2):
        # Indices increase, so the maximum selects the last x that is larger than all before it; a
        # masked copy would take 40 times as long.
        index = (x > y).astype(arg_max.dtype) * arg_max.dtype.type(i)
        np.maximum(arg_max, index, out=arg_max)
        np.maximum(y, x, out=y)


def plan_sum(engine: Engine, layout: Layout, coefficients: Sequence[float]) -> Call:
    """Return the weighted sum of as many tensors of one layout as there are coefficients."""
    n = len(coefficients)
    factors = (ctypes.c_float * n)(*coefficients)
    handles = (ctypes.c_void_p * n)(*[layout.handle] * n)
    primitive = Primitive(engine, "sum", layout, n, factors, handles)
    reads = [(Arg.MULTIPLE_SRC + i, layout) for i in range(n)]
    return Call(primitive, reads, [(Arg.DST, layout)])
