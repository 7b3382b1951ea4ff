"""PReLU in the layout of x."""

from __future__ import annotations

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel, kernel
from minicaffe.backends.onednn.kernels._accumulate import Accumulator
from minicaffe.backends.onednn.kernels._non_finite import has_finite_values, without_warnings
from minicaffe.backends.onednn.runtime.call import Call
from minicaffe.backends.onednn.runtime.images import images_layout
from minicaffe.backends.onednn.runtime.library import Arg, Prop
from minicaffe.backends.onednn.runtime.memory import AnyLayout, Layout
from minicaffe.backends.onednn.runtime.primitive import Primitive
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.backends.reference.kernels.prelu import ReferencePReLU
from minicaffe.ops.backend import Shape, Tensor
from minicaffe.ops.prelu import PReLU


@kernel(PReLU)
class OneDnnPReLU(OneDnnKernel[PReLU]):
    """One slope for each channel; a single slope is copied, as oneDNN has no compiled code for it.

    The gradients read x. In place y overwrites it, so forward moves x to a tensor of the kernel.
    """

    def __init__(self, backend: OneDnnBackend, op: PReLU, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        x, a, y = tensors
        self._channels = x.shape[1:2]
        self._saved_x = OneDnnTensor(backend.reorders, x.shape) if x is y else None
        self._copies = None if a.shape else OneDnnTensor(backend.reorders, self._channels)
        self._slopes = OneDnnTensor(backend.reorders, self._channels)
        # The primitive computes both gradients; each method returns one and discards the other.
        self._unused_dx = OneDnnTensor(backend.reorders, x.shape)
        self._unused_da = OneDnnTensor(backend.reorders, self._channels)
        self._accumulate = Accumulator(backend)
        # Computes a pass over values that are not finite: the primitive loses NaN.
        self._substitute: ReferencePReLU | None = None
        self._forward = cache_method(self._plan_forward)
        self._backward = cache_method(self._plan_backward)

    def forward(self, x: OneDnnTensor, a: OneDnnTensor, y: OneDnnTensor) -> None:
        """Overwrite y."""
        self._substitute = None
        if not all(has_finite_values(self.backend, tensor) for tensor in (x, a)):
            self._substitute = ReferencePReLU(self.backend, self.op, x, a, y)
            without_warnings(self._substitute.forward, x, a, y)
            return
        layout = images_layout(x)
        if self._saved_x is not None:
            self._saved_x.move_from(x, layout)
            x = self._saved_x
        self._slopes = self._of_channels(a)
        self._forward(layout)(x, self._slopes, y)

    def backward_weights(self, x: OneDnnTensor, dy: OneDnnTensor, da: OneDnnTensor) -> None:
        """Add to da."""
        if self._substitute is not None:
            without_warnings(self._substitute.backward_weights, x, dy, da)
            return
        x = self._saved_x or x
        if not has_finite_values(self.backend, dy):
            reference = ReferencePReLU(self.backend, self.op, x, da, dy)
            without_warnings(reference.backward_weights, x, dy, da)
            return
        call, operands = self._backward(images_layout(x)), (x, self._slopes, dy, self._unused_dx)
        if self._copies is None:
            self._accumulate(lambda result: call(*operands, result), (da,), (self._channels,))
        else:
            call(*operands, self._unused_da)
            da.update()[...] += self._unused_da.read().sum()

    def backward_data(
        self, x: OneDnnTensor, a: OneDnnTensor, dy: OneDnnTensor, dx: OneDnnTensor
    ) -> None:
        """Overwrite dx."""
        if self._substitute is not None:
            without_warnings(self._substitute.backward_data, x, a, dy, dx)
            return
        x = self._saved_x or x
        self._backward(images_layout(x))(x, self._of_channels(a), dy, dx, self._unused_da)

    def _of_channels(self, a: OneDnnTensor) -> OneDnnTensor:
        """Return the slope of each channel."""
        if self._copies is None:
            return a
        self._copies.set(a.read())
        return self._copies

    def _shape(self, layout: Layout) -> Shape:
        """Return the shape of the slopes that broadcasts to that of a layout."""
        return (1, *self._channels, *(1,) * (len(layout.shape) - 2))

    # The library chooses the layout of the slopes: with a plain one it has no compiled code for
    # packed x, which takes some 200 times as long.

    def _plan_forward(self, layout: Layout) -> Call:
        slopes = self._shape(layout)
        arguments = (Prop.TRAINING, layout, AnyLayout(slopes), layout)
        primitive = Primitive(self.engine, "prelu_forward", *arguments)
        reads = [(Arg.SRC, layout), primitive.port(Arg.WEIGHTS, slopes)]
        return Call(primitive, reads, [(Arg.DST, layout)])

    def _plan_backward(self, layout: Layout) -> Call:
        slopes = self._shape(layout)
        arguments = (layout, AnyLayout(slopes), layout, AnyLayout(slopes), layout)
        hint = self._forward(layout).primitive
        primitive = Primitive(self.engine, "prelu_backward", *arguments, hint=hint)
        weights = primitive.port(Arg.WEIGHTS, slopes)
        reads = [(Arg.SRC, layout), weights, (Arg.DIFF_DST, layout)]
        gradients = [(Arg.DIFF_SRC, layout), primitive.port(Arg.DIFF_WEIGHTS, slopes)]
        return Call(primitive, reads, gradients)
