"""Repetition of pixels in the layout of x.

Forward is the library's nearest-neighbour resampling. The gradient is that of average pooling times
the number of pixels in a window, because the library's gradient of resampling is no faster than
NumPy.
"""

from __future__ import annotations

import math

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel, kernel
from minicaffe.backends.onednn.runtime.call import Call
from minicaffe.backends.onednn.runtime.library import Alg, Arg, Prop, Query
from minicaffe.backends.onednn.runtime.memory import AnyLayout, Layout
from minicaffe.backends.onednn.runtime.primitive import Attributes, Primitive
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.ops.backend import Tensor
from minicaffe.ops.upsample import RepeatPixels


@kernel(RepeatPixels)
class OneDnnRepeatPixels(OneDnnKernel[RepeatPixels]):
    """Repeat pixels, and sum their gradients."""

    def __init__(self, backend: OneDnnBackend, op: RepeatPixels, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._x, self._y = (tensor.shape for tensor in tensors)
        self._layout = Layout.plain(self._x)
        self._forward = cache_method(self._plan_forward)
        self._backward = cache_method(self._plan_backward)

    def forward(self, x: OneDnnTensor, y: OneDnnTensor) -> None:
        """Overwrite y."""
        self._layout = x.layout
        self._forward(self._layout)(x, y)

    def backward(self, dy: OneDnnTensor, dx: OneDnnTensor) -> None:
        """Overwrite dx, in the layout of x."""
        self._backward(self._layout)(dy, dx)

    def _plan_forward(self, layout: Layout) -> Call:
        primitive = Primitive(
            *(self.engine, "resampling_forward", Prop.TRAINING, Alg.RESAMPLING_NEAREST),
            *(None, layout, AnyLayout(self._y)),
        )
        return Call(primitive, [(Arg.SRC, layout)], [primitive.port(Arg.DST, self._y)])

    def _plan_backward(self, layout: Layout) -> Call:
        wide = self._forward(layout).primitive.layout(Query.DST, self._y)
        factors, none = self.op.factors, (0, 0)
        sums = Attributes().eltwise(Alg.ELTWISE_LINEAR, math.prod(factors))
        primitive = Primitive(
            *(self.engine, "pooling_forward", Prop.INFERENCE, Alg.POOLING_AVG_EXCLUDE_PADDING),
            *(wide, layout, factors, factors, none, none, none),
            attributes=sums,
        )
        return Call(primitive, [(Arg.SRC, wide)], [(Arg.DST, layout)])
