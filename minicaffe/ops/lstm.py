"""LSTM, and a single step of one: what must be computed. Shapes: see `minicaffe.ops.recurrent`.

Lstm, states h and c, parameters w_x (4 D, K), b (4 D,), with ``static`` w_s (4 D, S), and w_h
(4 D, D)::

    a[t] = w_x x[t] + b + w_s static + w_h (cont[t] h[t-1])
    i, f, o, g = the four quarters of a[t], in this order
    c[t] = cont[t] sigmoid(f) c[t-1] + sigmoid(i) tanh(g)
    y[t] = h[t] = sigmoid(o) tanh(c[t])

LstmUnit is the last two lines for one step: c[t-1] (1, N, D), a (1, N, 4 D), cont (1, N) -> c, h.

Source: Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 9 (1997), with the
forget gate of Gers et al. (2000), as in Donahue et al., "Long-term recurrent convolutional
networks", CVPR 2015.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor
from minicaffe.ops.recurrent import RecurrentKernel


@dataclass(frozen=True)
class Lstm(Op[RecurrentKernel]):
    """Describe an LSTM. Tensors in planning order: x, cont, y, the parameters."""

    static: bool = False


@dataclass(frozen=True)
class LstmUnit(Op["LstmUnitKernel"]):
    """Describe one step of an LSTM. Tensors in planning order: c[t-1], a, cont, c, h."""


class LstmUnitKernel(Protocol):
    """Forward and backward of one step."""

    def forward(self, c0: Tensor, a: Tensor, cont: Tensor, c: Tensor, h: Tensor) -> None:
        """Overwrite c and h."""

    def backward(
        self, c0: Tensor, dc: Tensor, dh: Tensor, dc0: Tensor | None, da: Tensor | None
    ) -> None:
        """Overwrite dc0 and da, if they are needed; belongs to the last `forward`."""
