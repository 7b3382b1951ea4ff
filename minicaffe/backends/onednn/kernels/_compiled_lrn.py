"""Local response normalisation by the library's compiled code.

Its backward pass needs a workspace that the training form of the forward pass writes, as large as x
or twice that. It is kept for a few images at a time: the forward pass of these runs again just
before, which costs little because they stay in the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.runtime.call import Call
from minicaffe.backends.onednn.runtime.library import Alg, Arg, Prop, check_onednn
from minicaffe.backends.onednn.runtime.memory import Buffer, Layout, MemoryCursor
from minicaffe.backends.onednn.runtime.primitive import Primitive
from minicaffe.backends.onednn.runtime.tensor import FLOAT_BYTES, OneDnnTensor
from minicaffe.ops.lrn import Lrn

if TYPE_CHECKING:
    from minicaffe.backends.onednn.backend import OneDnnBackend

# Images of a thread in a chunk: with fewer, starting a primitive costs more than the cache saves.
IMAGES = 2


class CompiledLrn:
    """Forward and backward in one layout.

    Parameters
    ----------
    backend : OneDnnBackend
    op : Lrn
    layout : Layout
        Of x, and of all other tensors.

    Attributes
    ----------
    computes_forward, computes_backward : bool
        Whether there is compiled code.
    """

    def __init__(self, backend: OneDnnBackend, op: Lrn, layout: Layout) -> None:
        self._backend, self._layout = backend, layout
        algorithm = Alg.LRN_ACROSS if op.region == "across" else Alg.LRN_WITHIN
        self._algorithm = algorithm
        self._numbers = (op.local_size, op.alpha, op.beta, op.k)
        forward = self._forward_primitive(Prop.INFERENCE, layout)
        self.computes_forward = forward.is_compiled
        self._forward = Call(forward, [(Arg.SRC, layout)], [(Arg.DST, layout)])
        self._chunk = cache_method(self._plan_chunk)
        self._n = min(IMAGES * backend.threads, layout.shape[0])
        self.computes_backward = self._chunk(self._n).is_compiled

    def forward(self, x: OneDnnTensor, y: OneDnnTensor) -> None:
        """Overwrite y."""
        self._forward(x, y)

    def backward(self, x: OneDnnTensor, dy: OneDnnTensor, dx: OneDnnTensor) -> None:
        """Overwrite dx, which may be dy."""
        n_images, layout = self._layout.shape[0], self._layout
        values, given = x.values(layout), dy.values(layout)
        result = dx.values_to_write(layout)
        size = layout.size_bytes // FLOAT_BYTES // n_images
        for start in range(0, n_images, self._n):
            n = min(self._n, n_images - start)
            part = slice(start * size, (start + n) * size)
            chunk = self._chunk(n)
            # The library reads dy of other channels after it has written dx.
            out = chunk.scratch.values[: n * size] if dx is dy else result[part]
            chunk.run(*(array.ctypes.data for array in (values[part], given[part], out)))
            if dx is dy:
                np.copyto(result[part], out)
        dx.write_back()

    def _forward_primitive(self, prop: Prop, layout: Layout) -> Primitive:
        arguments = (prop, self._algorithm, layout, layout, *self._numbers)
        return Primitive(self._backend.engine, "lrn_forward", *arguments)

    def _plan_chunk(self, n: int) -> _Chunk:
        shape, engine = self._layout.shape, self._backend.engine
        layout = self._layout.submemory((n, *shape[1:]), (0,) * len(shape))
        forward = self._forward_primitive(Prop.TRAINING, layout)
        arguments = (self._algorithm, layout, layout, layout, *self._numbers)
        backward = Primitive(engine, "lrn_backward", *arguments, hint=forward)
        workspace = forward.new_workspace()
        for primitive in (forward, backward):
            primitive.use_workspace(workspace)
        x, dy, dx = (MemoryCursor(engine.handle, layout) for _ in range(3))
        scratch = Buffer(layout.size_bytes, engine.handle)
        handles = (x.handle, dy.handle, dx.handle)
        return _Chunk(
            (x, dy, dx),
            scratch,
            forward.bind((Arg.SRC, Arg.DST), (x.handle, scratch.memory(layout))),
            backward.bind((Arg.SRC, Arg.DIFF_DST, Arg.DIFF_SRC), handles),
            forward.is_compiled and backward.is_compiled,
        )


class _Chunk(NamedTuple):
    """The passes of some images, on memory that is chosen for each run."""

    cursors: tuple[MemoryCursor, ...]
    scratch: Buffer
    forward: Callable[[], int]
    backward: Callable[[], int]
    is_compiled: bool

    def run(self, *addresses: int) -> None:
        """Compute the images whose x, dy and dx are at these addresses; overwrites the scratch."""
        for cursor, address in zip(self.cursors, addresses, strict=True):
            cursor.move(address)
        for execute in (self.forward, self.backward):
            check_onednn(execute(), "execution")
