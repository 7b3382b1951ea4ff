"""Addition of a bias to each channel, for primitives that have no bias of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.kernels._accumulate import Accumulator
from minicaffe.backends.onednn.runtime.call import Call
from minicaffe.backends.onednn.runtime.images import images_layout
from minicaffe.backends.onednn.runtime.library import Alg, Arg, Prop
from minicaffe.backends.onednn.runtime.memory import Layout
from minicaffe.backends.onednn.runtime.primitive import Primitive
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor

if TYPE_CHECKING:
    from minicaffe.backends.onednn.backend import OneDnnBackend


class OneDnnChannelBias:
    """y = x + b[channel] on (N, C, *S), in the layout of x."""

    def __init__(self, backend: OneDnnBackend, channels: int) -> None:
        self._engine, self._channels = backend.engine, channels
        self._accumulate = Accumulator(backend)
        self._add = cache_method(self._plan_add)
        self._sum = cache_method(self._plan_sum)

    def add(self, x: OneDnnTensor, b: OneDnnTensor, y: OneDnnTensor) -> None:
        """Overwrite y with x + b."""
        self._add(images_layout(x))(x, b, y)

    def accumulate(self, dy: OneDnnTensor, db: OneDnnTensor) -> None:
        """Add to db the sum of dy over all axes but the channels."""
        layout = images_layout(dy)
        if layout.shape == self._bias(layout).shape:
            # One pixel of one image: the library refuses a sum of single values.
            db.add(dy)
            return
        call = self._sum(layout)
        shapes = (self._bias(layout).shape,)
        self._accumulate(lambda result: call(dy, result), (db,), shapes)

    def _bias(self, layout: Layout) -> Layout:
        return Layout.plain((1, self._channels, *(1,) * (len(layout.shape) - 2)))

    def _plan_add(self, layout: Layout) -> Call:
        bias = self._bias(layout)
        primitive = Primitive(self._engine, "binary", Alg.BINARY_ADD, layout, bias, layout)
        return Call(primitive, [(Arg.SRC, layout), (Arg.SRC_1, bias)], [(Arg.DST, layout)])

    def _plan_sum(self, layout: Layout) -> Call:
        bias = self._bias(layout)
        if layout.shape == bias.shape:
            # oneDNN refuses a reduction that reduces no axis, so that one value is copied.
            copy = (Prop.TRAINING, Alg.ELTWISE_LINEAR, bias, bias, 1.0, 0.0)
            primitive = Primitive(self._engine, "eltwise_forward", *copy)
            return Call(primitive, [(Arg.SRC, bias)], [(Arg.DST, bias)])
        arguments = (Alg.REDUCTION_SUM, layout, bias, 0.0, 0.0)
        primitive = Primitive(self._engine, "reduction", *arguments)
        return Call(primitive, [(Arg.SRC, layout)], [(Arg.DST, bias)])
