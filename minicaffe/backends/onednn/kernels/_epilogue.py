"""Epilogue of a convolution or an inner product: ops fused into its output pass as post-ops.

Batch normalisation by stored statistics and Scale become one factor and one term for each channel,
computed again in every pass. These are some thousand numbers, and changed weights or statistics are
never missed; folding them into the filters instead would require change detection and a new product
of filters and factors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from minicaffe.backends.onednn.runtime.call import Port
from minicaffe.backends.onednn.runtime.library import Alg, Arg
from minicaffe.backends.onednn.runtime.memory import Layout
from minicaffe.backends.onednn.runtime.primitive import Attributes, EpilogueKind
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.ops.activation import starts_with_relu
from minicaffe.ops.backend import Array, EpilogueOp, Shape
from minicaffe.ops.batch_norm import BatchNorm
from minicaffe.ops.scale import Scale

if TYPE_CHECKING:
    from minicaffe.backends.onednn.backend import OneDnnBackend


class OneDnnEpilogue:
    """The ops that are fused into a kernel.

    Parameters
    ----------
    backend : OneDnnBackend
    shape : tuple of int
        Of the output, (N, C, ...); () if it has no channels that could be scaled.

    Attributes
    ----------
    kind : EpilogueKind
    """

    def __init__(self, backend: OneDnnBackend, shape: Shape) -> None:
        numbers = (1, *shape[1:2], *(1,) * (len(shape) - 2))
        self._channels, self._layout = shape[1:2], Layout.plain(numbers)
        self._factor, self._term = (OneDnnTensor(backend.reorders, numbers) for _ in range(2))
        self._scaling: Sequence[EpilogueOp] = ()
        self.kind = EpilogueKind()

    def fuse(self, epilogue: Sequence[EpilogueOp]) -> int:
        """Replace the fused ops by the longest possible prefix of these; return its length."""
        n = 0
        while n < len(epilogue) and self._scales_channels(epilogue[n]):
            n += 1
        self._scaling = epilogue[:n]
        self.kind = EpilogueKind(n > 0, starts_with_relu(epilogue[n:]))
        return n + self.kind.rectifies

    def tensors(self) -> tuple[OneDnnTensor, ...]:
        """Return the current factor and term, which the primitive reads after its own inputs."""
        if not self.kind.scales:
            return ()
        factor, term = np.ones(self._channels), np.zeros(self._channels)
        for epilogue_op in self._scaling:
            f, t = _factor_and_term(epilogue_op)
            factor, term = factor * f, term * f + t
        self._factor.write().reshape(-1)[...] = factor
        self._term.write().reshape(-1)[...] = term
        return self._factor, self._term

    def attributes(self, kind: EpilogueKind) -> Attributes:
        """Return the post-ops of a primitive for `kind`."""
        attributes = Attributes()
        if kind.scales:
            attributes.binary(Alg.BINARY_MUL, self._layout).binary(Alg.BINARY_ADD, self._layout)
        if kind.rectifies:
            attributes.relu()
        return attributes

    def ports(self, kind: EpilogueKind) -> list[Port]:
        """Return the ports of `tensors`."""
        n = 2 if kind.scales else 0
        return [(Arg.POST_OP * (i + 1) | Arg.SRC_1, self._layout) for i in range(n)]

    def _scales_channels(self, epilogue_op: EpilogueOp) -> bool:
        op = epilogue_op.op
        if isinstance(op, BatchNorm):
            fits = op.use_stored
        else:
            fits = isinstance(op, Scale) and op.axis == 1
        return fits and bool(self._channels) and epilogue_op.parameters()[0].shape == self._channels


def _factor_and_term(epilogue_op: EpilogueOp) -> tuple[Array, Array | float]:
    """Return the factor and then the term that an op applies to each channel."""
    numbers = [tensor.read() for tensor in epilogue_op.parameters()]
    if isinstance(epilogue_op.op, BatchNorm):
        mean, variance, weight = numbers
        share = 1 / weight[0] if weight[0] else 0.0
        factor = 1 / np.sqrt(variance * share + epilogue_op.op.eps)
        return factor, -mean * share * factor
    return numbers[0], numbers[1] if len(numbers) > 1 else 0.0
