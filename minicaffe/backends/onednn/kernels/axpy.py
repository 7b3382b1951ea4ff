"""Channels scaled by factors of each sample plus another tensor, in the layout of x."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel, kernel
from minicaffe.backends.onednn.kernels._channel_blocks import BlockedImages
from minicaffe.backends.onednn.runtime.call import Call
from minicaffe.backends.onednn.runtime.library import Alg, Arg
from minicaffe.backends.onednn.runtime.memory import AnyLayout, Layout
from minicaffe.backends.onednn.runtime.primitive import Attributes, Primitive
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.errors import Unsupported
from minicaffe.ops.axpy import Axpy
from minicaffe.ops.backend import Tensor


class _Calls(NamedTuple):
    """The primitives for one layout of x: x, a, z -> a x + z, and x, a -> a x."""

    scale_and_add: Call
    scale: Call


@kernel(Axpy)
class OneDnnAxpy(OneDnnKernel[Axpy]):
    """Binary primitives; NumPy sums the gradient of the factors, one sample at a time."""

    def __init__(self, backend: OneDnnBackend, op: Axpy, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        shape = tensors[1].shape
        if not 3 <= len(shape) <= 5:
            raise Unsupported("oneDNN scales the channels of images only")
        self._factors = (*shape[:2], *(1,) * (len(shape) - 2))
        self._calls = cache_method(self._plan)

    def forward(self, a: OneDnnTensor, x: OneDnnTensor, z: OneDnnTensor, y: OneDnnTensor) -> None:
        """Overwrite y."""
        self._calls(x.layout).scale_and_add(x, a, z, y)

    def backward_factors(self, x: OneDnnTensor, dy: OneDnnTensor, da: OneDnnTensor) -> None:
        """Overwrite da."""
        images = BlockedImages.of(x)
        values, given = images.read(x), images.read(dy)
        out, n_threads = da.write().reshape(images.samples, -1), self.backend.threads

        def run(thread: int) -> None:
            product = np.empty(values.shape[1:], np.float32)
            # Here, because the threads of the pool have settings of their own.
            with np.errstate(all="ignore"):
                for n in range(thread, images.samples, n_threads):
                    np.multiply(values[n], given[n], out=product)
                    out[n] = images.sum_pixels(product)

        self.backend.spread(run, images.samples)

    def backward_data(self, a: OneDnnTensor, dy: OneDnnTensor, dx: OneDnnTensor) -> None:
        """Overwrite dx."""
        self._calls(dy.layout).scale(dy, a, dx)

    def _plan(self, layout: Layout) -> _Calls:
        arguments = (self.engine, "binary", Alg.BINARY_MUL, layout)
        # There is no fast code for factors in another layout than the one that the library chooses.
        scale = Primitive(*arguments, AnyLayout(self._factors), layout)
        factors = scale.port(Arg.SRC_1, self._factors)
        adds = Attributes().binary(Alg.BINARY_ADD, layout)
        scale_and_add = Primitive(*arguments, factors[1], layout, attributes=adds)
        reads, to = [(Arg.SRC, layout), factors], [(Arg.DST, layout)]
        third = (Arg.POST_OP | Arg.SRC_1, layout)
        return _Calls(Call(scale_and_add, [*reads, third], to), Call(scale, reads, to))
