"""RNN."""

from __future__ import annotations

from minicaffe.layers.recurrent import RecurrentLayer
from minicaffe.layers.registry import register
from minicaffe.ops.backend import Op, Shape
from minicaffe.ops.recurrent import RecurrentKernel
from minicaffe.ops.rnn import Rnn as RnnOp


@register("RNN")
class RNN(RecurrentLayer):
    """Run a simple (Elman) recurrent net over the time steps of several sequences.

    Shapes: x (T, N, ...), cont (T, N)[, static (N, ...)][, h] -> y (T, N, D)[, h]

    Notes
    -----
    h[t] = tanh(w_x x[t] + b + w_s static + w_h (cont[t] h[t-1])); y[t] = tanh(w_o h[t] + b_o).
    cont is 0 where a sequence begins and 1 where it continues. The state h carries over to the next
    batch, in TRAIN and TEST; gradients end at the batch. With expose_hidden it is a bottom and a
    top of shape (1, N, D) instead.

    Parameters: w_x (D, K), b (D,), with a static bottom w_s (D, S), w_h (D, D), w_o (D, D),
    b_o (D,).

    Differs from Caffe: with expose_hidden, gradients flow through the state, from the top to the
    bottom. Snapshots store the state, so that a resumed run continues exactly. After a
    change of the number of streams the state is zero.
    """

    bottoms = (2, 4)
    tops = (1, 2)
    states = ("h",)

    def parameter_shapes(self, inputs: int, static: int | None) -> list[Shape]:
        """Return the shapes of w_x, b, w_s, w_h, w_o and b_o."""
        size = self.settings.num_output
        of_static = [] if static is None else [(size, static)]
        return [(size, inputs), (size,), *of_static, (size, size), (size, size), (size,)]

    def op(self) -> Op[RecurrentKernel]:
        """Return the op."""
        return RnnOp(self.static is not None)
