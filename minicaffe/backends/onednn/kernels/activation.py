"""Activation functions as eltwise primitives, in any layout."""

from __future__ import annotations

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel, kernel
from minicaffe.backends.onednn.kernels._activation_by_formula import ActivationByFormula
from minicaffe.backends.onednn.kernels._activation_recipe import Recipe, recipe_of
from minicaffe.backends.onednn.kernels._native_sum import NativeSum
from minicaffe.backends.onednn.kernels._non_finite import has_finite_values, without_warnings
from minicaffe.backends.onednn.kernels._pointwise import gapless_layout
from minicaffe.backends.onednn.runtime.call import Call
from minicaffe.backends.onednn.runtime.library import Alg, Arg, Prop
from minicaffe.backends.onednn.runtime.memory import Layout
from minicaffe.backends.onednn.runtime.primitive import Attributes, Primitive
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.ops import activation as ops
from minicaffe.ops.activation import ACTIVATIONS, Activation
from minicaffe.ops.backend import Tensor


@kernel(*ACTIVATIONS)
def plan_activation(
    backend: OneDnnBackend, op: Activation, x: Tensor, y: Tensor
) -> OneDnnKernel[Activation]:
    """Return a kernel with an eltwise primitive, or with NumPy formulas where oneDNN has none."""
    recipe = recipe_of(op)
    if recipe is None:
        return ActivationByFormula(backend, op, x, y)
    return OneDnnActivation(backend, op, recipe, x, y)


class OneDnnActivation(OneDnnKernel[Activation]):
    """One eltwise primitive, with a linear one before and a factor after it where the op has them.

    In place, forward shares the memory of x where the gradient needs x.
    """

    def __init__(
        self, backend: OneDnnBackend, op: Activation, recipe: Recipe, *tensors: Tensor
    ) -> None:
        super().__init__(backend, op, *tensors)
        x, y = tensors
        self._recipe = recipe
        # A copy of the function's argument, where backward finds it neither in x nor in y.
        is_lost = not recipe.reads_y and (x is y or recipe.has_inner)
        self._saved = OneDnnTensor(backend.reorders, x.shape) if is_lost else None
        # Computes a pass over values that are not finite, if the primitive loses NaN.
        self._substitute: ActivationByFormula | None = None
        self._rectifies = isinstance(op, ops.Relu) and op.slope == 0
        self._sum: NativeSum | None = None
        if self._rectifies and backend.native is not None:
            self._sum = NativeSum(backend, backend.native)
        self._forward = cache_method(self._plan_forward)
        self._backward = cache_method(self._plan_backward)
        self._linear = cache_method(self._plan_linear)

    def forward(self, x: OneDnnTensor, y: OneDnnTensor) -> None:
        """Overwrite y."""
        self._substitute = None
        if self._recipe.loses_nan and not has_finite_values(self.backend, x):
            self._substitute = ActivationByFormula(self.backend, self.op, x, y)
            without_warnings(self._substitute.forward, x, y)
            return
        recipe, layout = self._recipe, self._layout(x)
        if recipe.has_inner:
            inner = self._saved or y
            self._linear(layout, recipe.scale, recipe.shift)(x, inner)
            x = inner
        elif self._saved is not None:
            self._saved.move_from(x, layout)
            x = self._saved
        self._forward(layout)(*((x, x) if self._rectifies else (x,)), y)
        if recipe.factor != 1:
            self._linear(layout, recipe.factor, 0.0)(y, y)

    def backward(
        self, x: OneDnnTensor, y: OneDnnTensor, dy: OneDnnTensor, dx: OneDnnTensor
    ) -> None:
        """Overwrite dx."""
        if self._substitute is not None:
            without_warnings(self._substitute.backward, x, y, dy, dx)
            return
        if self._sum is not None and self._sum.layout([y]) is y.stored:
            self._sum.backward_relu(y, dy, dx)
            return
        values = y if self._recipe.reads_y else self._saved or x
        layout = self._layout(values)
        self._backward(layout)(values, dy, dx)
        factor = self._recipe.scale * self._recipe.factor
        if factor != 1:
            self._linear(layout, factor, 0.0)(dx, dx)

    def _layout(self, x: OneDnnTensor) -> Layout:
        # ReLU without a slope maps bfloat16 to bfloat16; other functions are planned for float32.
        if self._rectifies:
            return x.stored
        # oneDNN has no fast code for layouts with padding where the function does not keep zero.
        return x.layout if self._recipe.keeps_zero else gapless_layout(x)

    def _plan_forward(self, layout: Layout) -> Call:
        if self._rectifies:
            # The maximum of x and x, which is x, has a ReLU that keeps NaN.
            arguments = (Alg.BINARY_MAX, layout, layout, layout)
            primitive = Primitive(self.engine, "binary", *arguments, attributes=Attributes().relu())
            return Call(primitive, [(Arg.SRC, layout), (Arg.SRC_1, layout)], [(Arg.DST, layout)])
        given = (self._recipe.function, layout, layout, *self._recipe.numbers)
        primitive = Primitive(self.engine, "eltwise_forward", Prop.TRAINING, *given)
        return Call(primitive, [(Arg.SRC, layout)], [(Arg.DST, layout)])

    def _plan_backward(self, layout: Layout) -> Call:
        gradient, numbers = self._recipe.gradient, self._recipe.gradient_numbers
        hint = Primitive(
            self.engine, "eltwise_forward", Prop.TRAINING, gradient, layout, layout, *numbers
        )
        primitive = Primitive(
            *(self.engine, "eltwise_backward", gradient, layout, layout, layout, *numbers),
            hint=hint,
        )
        reads = [(self._recipe.gradient_reads, layout), (Arg.DIFF_DST, layout)]
        return Call(primitive, reads, [(Arg.DIFF_SRC, layout)])

    def _plan_linear(self, layout: Layout, scale: float, shift: float) -> Call:
        given = (Alg.ELTWISE_LINEAR, layout, layout, scale, shift)
        primitive = Primitive(self.engine, "eltwise_forward", Prop.TRAINING, *given)
        return Call(primitive, [(Arg.SRC, layout)], [(Arg.DST, layout)])
