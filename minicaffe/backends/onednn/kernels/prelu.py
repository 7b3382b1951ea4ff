"""PReLU in the layout of x."""

from __future__ import annotations

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel, kernel
from minicaffe.backends.onednn.kernels._accumulate import Accumulator
from minicaffe.backends.onednn.kernels._non_finite import has_finite_values, without_warnings
from minicaffe.backends.onednn.runtime.call import Call
from minicaffe.backends.onednn.runtime.images import images_layout
from minicaffe.backends.onednn.runtime.library import Arg, Prop
from minicaffe.backends.onednn.runtime.memory import Layout
from minicaffe.backends.onednn.runtime.primitive import Primitive
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.backends.reference.kernels.prelu import ReferencePReLU
from minicaffe.ops.backend import Tensor
from minicaffe.ops.prelu import PReLU


@kernel(PReLU)
class OneDnnPReLU(OneDnnKernel[PReLU]):
    """One slope for each channel, or one for all.

    The gradients read x. In place y overwrites it, so forward moves x to a tensor of the kernel.
    """

    def __init__(self, backend: OneDnnBackend, op: PReLU, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        x, a, y = tensors
        self._n_slopes = a.shape[0] if a.shape else 1
        self._saved_x = OneDnnTensor(backend.reorders, x.shape) if x is y else None
        self._slopes = OneDnnTensor(backend.reorders, a.shape)
        # The primitive computes both gradients; each method returns one and discards the other.
        self._unused_dx = OneDnnTensor(backend.reorders, x.shape)
        self._unused_da = OneDnnTensor(backend.reorders, (self._n_slopes,))
        self._accumulate = Accumulator(backend)
        # Computes a pass over values that are not finite: the primitive loses NaN.
        self._substitute: ReferencePReLU | None = None
        self._forward = cache_method(self._plan_forward)
        self._backward = cache_method(self._plan_backward)

    def forward(self, x: OneDnnTensor, a: OneDnnTensor, y: OneDnnTensor) -> None:
        """Overwrite y."""
        self._substitute = None
        if not (has_finite_values(x) and has_finite_values(a)):
            self._substitute = ReferencePReLU(self.backend, self.op, x, a, y)
            without_warnings(self._substitute.forward, x, a, y)
            return
        layout = images_layout(x)
        if self._saved_x is not None:
            self._saved_x.move_from(x, layout)
            x = self._saved_x
        self._slopes = a
        self._forward(layout)(x, a, y)

    def backward_weights(self, x: OneDnnTensor, dy: OneDnnTensor, da: OneDnnTensor) -> None:
        """Add to da."""
        if self._substitute is not None:
            without_warnings(self._substitute.backward_weights, x, dy, da)
            return
        x = self._saved_x or x
        if not has_finite_values(dy):
            reference = ReferencePReLU(self.backend, self.op, x, self._slopes, dy)
            without_warnings(reference.backward_weights, x, dy, da)
            return
        layout, slopes = images_layout(x), self._slopes
        call = self._backward(layout)
        shape, unused = self._slope_layout(layout).shape, self._unused_dx
        self._accumulate(lambda result: call(x, slopes, dy, unused, result), (da,), (shape,))

    def backward_data(
        self, x: OneDnnTensor, a: OneDnnTensor, dy: OneDnnTensor, dx: OneDnnTensor
    ) -> None:
        """Overwrite dx."""
        if self._substitute is not None:
            without_warnings(self._substitute.backward_data, x, a, dy, dx)
            return
        x = self._saved_x or x
        layout = images_layout(x)
        self._backward(layout)(x, a, dy, dx, self._unused_da)

    def _slope_layout(self, layout: Layout) -> Layout:
        return Layout.plain((1, self._n_slopes, *(1,) * (len(layout.shape) - 2)))

    def _plan_forward(self, layout: Layout) -> Call:
        slopes = self._slope_layout(layout)
        arguments = (Prop.TRAINING, layout, slopes, layout)
        primitive = Primitive(self.engine, "prelu_forward", *arguments)
        return Call(primitive, [(Arg.SRC, layout), (Arg.WEIGHTS, slopes)], [(Arg.DST, layout)])

    def _plan_backward(self, layout: Layout) -> Call:
        slopes = self._slope_layout(layout)
        arguments = (layout, slopes, layout, slopes, layout)
        hint = self._forward(layout).primitive
        primitive = Primitive(self.engine, "prelu_backward", *arguments, hint=hint)
        reads = [(Arg.SRC, layout), (Arg.WEIGHTS, slopes), (Arg.DIFF_DST, layout)]
        return Call(primitive, reads, [(Arg.DIFF_SRC, layout), (Arg.DIFF_WEIGHTS, slopes)])
