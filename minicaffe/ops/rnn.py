"""Plain recurrent net: what must be computed. Shapes: see `minicaffe.ops.recurrent`.

State h, parameters w_x (D, K), b (D,), with ``static`` w_s (D, S), w_h (D, D), w_o (D, D),
b_o (D,)::

    h[t] = tanh(w_x x[t] + b + w_s static + w_h (cont[t] h[t-1]))
    y[t] = tanh(w_o h[t] + b_o)
"""

from __future__ import annotations

from dataclasses import dataclass

from minicaffe.ops.backend import Op
from minicaffe.ops.recurrent import RecurrentKernel


@dataclass(frozen=True)
class Rnn(Op[RecurrentKernel]):
    """Describe a plain recurrent net. Tensors in planning order: x, cont, y, the parameters."""

    static: bool = False
