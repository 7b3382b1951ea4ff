"""Products with weights in layouts of the library's choice: forward and both gradients.

Base of the kernels of convolutions and of bfloat16 inner products. Below, "wide" is the input of
the forward primitive and "narrow" its output. A transposed op uses the same three primitives with
exchanged roles: its forward pass is the gradient with respect to the wide side.
"""

from __future__ import annotations

from typing import ClassVar, TypeAlias

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel
from minicaffe.backends.onednn.kernels._accumulate import Accumulator
from minicaffe.backends.onednn.kernels._epilogue import OneDnnEpilogue
from minicaffe.backends.onednn.runtime.call import Call
from minicaffe.backends.onednn.runtime.library import Alg, Arg, Prop
from minicaffe.backends.onednn.runtime.memory import AnyLayout, Layout
from minicaffe.backends.onednn.runtime.primitive import EpilogueKind, Primitive
from minicaffe.backends.reference.backend import OpT
from minicaffe.ops.backend import Shape, Tensor

OPERANDS = frozenset({Arg.SRC, Arg.WEIGHTS, Arg.DIFF_DST})
Request: TypeAlias = Layout | AnyLayout


class PackedProduct(OneDnnKernel[OpT]):
    """Plans the three primitives of a product; a subclass sets the shapes and runs them."""

    # The name of the primitives, and their arguments before and after the layouts.
    product: ClassVar[str]
    algorithm: ClassVar[tuple[Alg, ...]] = ()
    _steps: tuple[Shape, ...] = ()

    _wide: Shape
    _narrow: Shape
    _weights: Shape
    _has_primitive_bias: bool
    _epilogue: OneDnnEpilogue
    # The arguments of the precision's type; the others are float32.
    _converted: frozenset[Arg] = OPERANDS

    def __init__(self, backend: OneDnnBackend, op: OpT, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._operands = backend.precision.operands
        self._accumulate = Accumulator(backend)
        self._call_forward = cache_method(self._plan_forward)
        self._call_gradient = cache_method(self._plan_gradient)
        self._call_weights = cache_method(self._plan_weights)

    def _narrow_result(self) -> Request:
        """Return the layout to request for the narrow side as the forward primitive's result."""
        return Layout.plain(self._narrow)

    def _narrow_operand(self) -> Request:
        """Return the layout to request for the narrow side as an operand of both gradients."""
        return AnyLayout(self._narrow, self._operands)

    def _gradient_layouts(self) -> tuple[Request, Request]:
        """Return the layouts to request for wide and narrow in the gradient of the wide side."""
        return Layout.plain(self._wide), self._narrow_operand()

    def _primitive(
        self,
        name: str,
        *layouts: Request | None,
        hint: EpilogueKind | None = None,
        epilogue: EpilogueKind | None = None,
    ) -> Primitive:
        forward = None if hint is None else self._call_forward(hint).primitive
        attributes = None if epilogue is None else self._epilogue.attributes(epilogue)
        prop = () if forward else (Prop.TRAINING,)
        return Primitive(
            *(self.engine, f"{self.product}_{name}", *prop, *self.algorithm),
            *(*layouts, *self._steps),
            hint=forward,
            attributes=attributes,
        )

    def _plan_forward(self, kind: EpilogueKind) -> Call:
        bias = Layout.plain(self._narrow[1:2]) if self._has_primitive_bias else None
        wide, weights = (AnyLayout(s, self._operands) for s in (self._wide, self._weights))
        layouts = (wide, weights, bias, self._narrow_result())
        primitive = self._primitive("forward", *layouts, epilogue=kind)
        reads = [primitive.port(Arg.SRC, self._wide), primitive.port(Arg.WEIGHTS, self._weights)]
        if bias is not None:
            reads.append((Arg.BIAS, bias))
        reads += self._epilogue.ports(kind)
        writes = [primitive.port(Arg.DST, self._narrow)]
        return self.backend.call(primitive, reads, writes, self._converted)

    def _plan_gradient(self) -> Call:
        wide, narrow = self._gradient_layouts()
        weights = AnyLayout(self._weights, self._operands)
        primitive = self._primitive("backward_data", wide, weights, narrow, hint=EpilogueKind())
        reads = [
            primitive.port(Arg.DIFF_DST, self._narrow),
            primitive.port(Arg.WEIGHTS, self._weights),
        ]
        writes = [primitive.port(Arg.DIFF_SRC, self._wide)]
        return self.backend.call(primitive, reads, writes, self._converted)

    def _plan_weights(self, with_bias: bool) -> Call:
        bias = Layout.plain(self._narrow[1:2]) if with_bias else None
        wide, weights = AnyLayout(self._wide, self._operands), AnyLayout(self._weights)
        layouts = (wide, weights, bias, self._narrow_operand())
        primitive = self._primitive("backward_weights", *layouts, hint=EpilogueKind())
        reads = [primitive.port(Arg.SRC, self._wide), primitive.port(Arg.DIFF_DST, self._narrow)]
        writes = [primitive.port(Arg.DIFF_WEIGHTS, self._weights)]
        if bias is not None:
            writes.append((Arg.DIFF_BIAS, bias))
        return self.backend.call(primitive, reads, writes, self._converted)
