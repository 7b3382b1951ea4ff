"""LSTM."""

from __future__ import annotations

from minicaffe.layers.recurrent import RecurrentLayer
from minicaffe.layers.registry import register
from minicaffe.ops.backend import Op, Shape
from minicaffe.ops.lstm import Lstm as LstmOp
from minicaffe.ops.recurrent import RecurrentKernel


@register("LSTM")
class LSTM(RecurrentLayer):
    """Run a long short-term memory (LSTM) over the time steps of several sequences.

    Shapes: x (T, N, ...), cont (T, N)[, static (N, ...)][, h, c] -> y (T, N, D)[, h, c]

    Notes
    -----
    a[t] = w_x x[t] + b + w_s static + w_h (cont[t] h[t-1]); its quarters are i, f, o and g.
    c[t] = cont[t] sigmoid(f) c[t-1] + sigmoid(i) tanh(g); y[t] = h[t] = sigmoid(o) tanh(c[t]).
    cont is 0 where a sequence begins and 1 where it continues. The states h and c carry over to the
    next batch, in TRAIN and TEST; gradients end at the batch. With expose_hidden they are bottoms
    and tops of shape (1, N, D) instead.

    Parameters: w_x (4 D, K), b (4 D,), with a static bottom w_s (4 D, S), w_h (4 D, D).

    Source: Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 9 (1997), with
    the forget gate of Gers et al. (2000).

    Differs from Caffe: with expose_hidden, gradients flow through the states, from the tops to the
    bottoms. Snapshots store the states, so that a resumed run continues exactly. After a
    change of the number of streams the states are zero.
    """

    bottoms = (2, 5)
    tops = (1, 3)
    states = ("h", "c")

    def parameter_shapes(self, inputs: int, static: int | None) -> list[Shape]:
        """Return the shapes of w_x, b, w_s and w_h."""
        size = self.settings.num_output
        of_static = [] if static is None else [(4 * size, static)]
        return [(4 * size, inputs), (4 * size,), *of_static, (4 * size, size)]

    def op(self) -> Op[RecurrentKernel]:
        """Return the op."""
        return LstmOp(self.static is not None)
