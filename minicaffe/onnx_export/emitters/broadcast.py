"""Products and sums of tensors, with and without broadcasting."""

from __future__ import annotations

import math
from collections.abc import Sequence

from minicaffe.onnx_export.backend import Emitter, emitter
from minicaffe.ops.apl import PiecewiseLinear
from minicaffe.ops.axpy import Axpy, PixelScale
from minicaffe.ops.backend import Shape, Tensor
from minicaffe.ops.bias import Bias
from minicaffe.ops.eltwise import Eltwise
from minicaffe.ops.layout import Add
from minicaffe.ops.prelu import PReLU
from minicaffe.ops.scale import Scale
from minicaffe.ops.segmentation.spatial_product import SpatialProduct


def _aligned(tensor: Tensor, axis: int, x: Tensor) -> Shape:
    """Return the shape with which a tensor is broadcast over x from `axis` on."""
    return (*tensor.shape, *(1,) * (len(x.shape) - axis - len(tensor.shape)))


@emitter(Scale)
class ScaleEmitter(Emitter[Scale]):
    """Mul, and Add with a bias."""

    def forward(self, x: Tensor, s: Tensor, b: Tensor | None, y: Tensor) -> None:
        """Overwrite y, which may be x itself."""
        shape = _aligned(s, self.op.axis, x) if s.shape else ()
        value = self.graph.one("Mul", self.read(x), self.read(s, shape))
        if b is not None:
            value = self.graph.one("Add", value, self.read(b, shape))
        self.write(y, value)


@emitter(Bias)
class BiasEmitter(Emitter[Bias]):
    """Add."""

    def forward(self, x: Tensor, b: Tensor, y: Tensor) -> None:
        """Overwrite y, which may be x itself."""
        shape = _aligned(b, self.op.axis, x) if b.shape else ()
        self.write(y, self.graph.one("Add", self.read(x), self.read(b, shape)))


@emitter(PReLU)
class PReLUEmitter(Emitter[PReLU]):
    """PRelu."""

    def forward(self, x: Tensor, a: Tensor, y: Tensor) -> None:
        """Overwrite y, which may be x itself."""
        shape = _aligned(a, 1, x) if a.shape else (1,)
        self.write(y, self.graph.one("PRelu", self.read(x), self.read(a, shape)))


@emitter(PiecewiseLinear)
class PiecewiseLinearEmitter(Emitter[PiecewiseLinear]):
    """Relu, and the sum of the hinges of each place."""

    def forward(self, x: Tensor, a: Tensor, b: Tensor, y: Tensor) -> None:
        """Overwrite y, which may be x itself."""
        graph, places = self.graph, math.prod(x.shape[1:])
        slopes, offsets = (self.read(t, (places, self.op.hinges)) for t in (a, b))
        value = self.read(x, (x.shape[0], places, 1))
        hinges = graph.one("Relu", graph.one("Sub", offsets, value))
        total = graph.reduce("ReduceSum", graph.one("Mul", slopes, hinges), [2])
        flat = self.read(x, (x.shape[0], places))
        result = graph.one("Add", graph.one("Relu", flat), total)
        self.write(y, result, (x.shape[0], places))


@emitter(Axpy)
class AxpyEmitter(Emitter[Axpy]):
    """Mul and Add."""

    def forward(self, a: Tensor, x: Tensor, z: Tensor, y: Tensor) -> None:
        """Overwrite y, which may be z itself."""
        factors = self.read(a, (*x.shape[:2], *(1,) * (len(x.shape) - 2)))
        scaled = self.graph.one("Mul", self.read(x), factors)
        self.write(y, self.graph.one("Add", scaled, self.read(z)))


@emitter(PixelScale)
class PixelScaleEmitter(Emitter[PixelScale]):
    """Mul with one image of factors."""

    def forward(self, x: Tensor, s: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        factors = self.read(s, (x.shape[0], 1, *x.shape[2:]))
        self.write(y, self.graph.one("Mul", self.read(x), factors))


@emitter(SpatialProduct)
class SpatialProductEmitter(Emitter[SpatialProduct]):
    """Mul with one plane."""

    def forward(self, x: Tensor, s: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        plane = self.read(s, (x.shape[0], 1, *x.shape[2:]))
        self.write(y, self.graph.one("Mul", self.read(x), plane))


@emitter(Eltwise)
class EltwiseEmitter(Emitter[Eltwise]):
    """Add, Mul or Max of two values at a time, because many runtimes take no more."""

    def forward(self, xs: Sequence[Tensor], y: Tensor) -> None:
        """Overwrite y."""
        op, graph = self.op, self.graph
        values = [self.read(x) for x in xs]
        if op.operation == "sum":
            pairs = zip(values, op.coefficients, strict=True)
            values = [graph.times(value, factor) for value, factor in pairs]
        kind = {"sum": "Add", "prod": "Mul", "max": "Max"}[op.operation]
        result = values[0]
        for value in values[1:]:
            result = graph.one(kind, result, value)
        self.write(y, result)


@emitter(Add)
class AddEmitter(Emitter[Add]):
    """Add of two values at a time."""

    def forward(self, xs: Sequence[Tensor], y: Tensor) -> None:
        """Overwrite y."""
        result = self.read(xs[0])
        for x in xs[1:]:
            result = self.graph.one("Add", result, self.read(x))
        self.write(y, result)
