"""A bias for each channel, where no primitive brings its own."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from minicaffe.backends.onednn._lib import Alg, Arg
from minicaffe.backends.onednn.accumulate import Accumulator
from minicaffe.backends.onednn.memory import Layout
from minicaffe.backends.onednn.primitive import Call, Primitive
from minicaffe.backends.onednn.tensor import OneDnnTensor

if TYPE_CHECKING:
    from minicaffe.backends.onednn.backend import OneDnnBackend


class ChannelBias:
    """Adds b[channel] to (N, C, *S), in whatever layout that has."""

    def __init__(self, backend: OneDnnBackend, n_axes: int, channels: int) -> None:
        self._engine = backend.engine
        self._accumulate = Accumulator(backend)
        self._shape = (1, channels, *(1,) * (n_axes - 2))
        self._bias = Layout.plain(self._shape)
        self._adding = functools.cache(self._plan_adding)
        self._summing = functools.cache(self._plan_summing)

    def add(self, b: OneDnnTensor, y: OneDnnTensor) -> None:
        """Add b to y."""
        self._adding(y.layout)(y, b, y)

    def accumulate(self, dy: OneDnnTensor, db: OneDnnTensor) -> None:
        """Add to db the sum of dy over all but the channels."""
        call = self._summing(dy.layout)
        self._accumulate(lambda part: call(dy, part), (db,), (self._shape,))

    def _plan_adding(self, layout: Layout) -> Call:
        primitive = Primitive(self._engine, "binary", Alg.BINARY_ADD, layout, self._bias, layout)
        reads = [(Arg.SRC, layout), (Arg.SRC_1, self._bias)]
        return Call(primitive, reads, [(Arg.DST, layout)])

    def _plan_summing(self, layout: Layout) -> Call:
        primitive = Primitive(
            self._engine, "reduction", Alg.REDUCTION_SUM, layout, self._bias, 0.0, 0.0
        )
        return Call(primitive, [(Arg.SRC, layout)], [(Arg.DST, self._bias)])
