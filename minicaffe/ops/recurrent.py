"""Recurrent layers: what every backend must compute.

Shapes: T time steps, N independent streams, D = size of the state, K inputs a step. x is
(T, N, K...), cont (T, N), static (N, S...), a state (1, N, D) or (N, D), y (T, N, D).

cont says for each step whether its stream goes on (1) or a new sequence begins (0): the state
before the step is multiplied with it. It has no gradient.

Lstm, states h and c, parameters w_x (4 D, K), b (4 D,), with ``static`` w_s (4 D, S), and w_h
(4 D, D)::

    a[t] = w_x x[t] + b + w_s static + w_h (cont[t] h[t-1])
    i, f, o, g = the four quarters of a[t], in this order
    c[t] = cont[t] sigmoid(f) c[t-1] + sigmoid(i) tanh(g)
    y[t] = h[t] = sigmoid(o) tanh(c[t])

LstmUnit is the last two lines for one step: c[t-1] (1, N, D), a (1, N, 4 D), cont (1, N) -> c, h.

Rnn, state h, parameters w_x (D, K), b (D,), with ``static`` w_s (D, S), w_h (D, D), w_o (D, D),
b_o (D,)::

    h[t] = tanh(w_x x[t] + b + w_s static + w_h (cont[t] h[t-1]))
    y[t] = tanh(w_o h[t] + b_o)

Source: Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 9 (1997), with the
forget gate of Gers et al. (2000), as in Donahue et al., "Long-term recurrent convolutional
networks", CVPR 2015.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class Lstm(Op["RecurrentKernel"]):
    """Describe an LSTM. Tensors in planning order: x, cont, y, the parameters."""

    static: bool = False


@dataclass(frozen=True)
class Rnn(Op["RecurrentKernel"]):
    """Describe a plain recurrent net. Tensors in planning order: x, cont, y, the parameters."""

    static: bool = False


@dataclass(frozen=True)
class LstmUnit(Op["LstmUnitKernel"]):
    """Describe one step of an LSTM. Tensors in planning order: c[t-1], a, cont, c, h."""


@dataclass(frozen=True)
class RecurrentInputs:
    """What a recurrent kernel reads, or the gradients of it: None where nobody wants them.

    Parameters
    ----------
    x : Tensor or None
    static : Tensor or None
        None without ``static``, too.
    start : sequence of Tensor or None
        The states before the first step.
    params : sequence of Tensor or None
        The parameters, in the order above.
    """

    x: Tensor | None
    static: Tensor | None
    start: Sequence[Tensor | None]
    params: Sequence[Tensor | None]


class RecurrentKernel(Protocol):
    """All time steps forward, then all backward."""

    def forward(
        self, inputs: RecurrentInputs, cont: Tensor, y: Tensor, end: Sequence[Tensor]
    ) -> None:
        """Overwrite y, and `end` with the states after the last step.

        `end` may be the tensors of `inputs.start`: these are read first.
        """

    def backward(
        self,
        inputs: RecurrentInputs,
        dy: Tensor,
        dend: Sequence[Tensor | None],
        gradients: RecurrentInputs,
    ) -> None:
        """Overwrite the gradients of data and states, add to those of the parameters.

        Belongs to the last `forward`; the values of `inputs.start` are not read. dend is the
        gradient of the states after the last step, None for zeros.
        """


class LstmUnitKernel(Protocol):
    """Forward and backward of one step."""

    def forward(self, c0: Tensor, a: Tensor, cont: Tensor, c: Tensor, h: Tensor) -> None:
        """Overwrite c and h."""

    def backward(
        self, c0: Tensor, dc: Tensor, dh: Tensor, dc0: Tensor | None, da: Tensor | None
    ) -> None:
        """Overwrite dc0 and da, where they are wanted; belongs to the last `forward`."""
