"""Recurrent ops: common shapes, and the protocol of their kernels.

Shapes: T time steps, N independent streams, D = size of the state, K inputs per step. x is
(T, N, K...), cont (T, N), static (N, S...), a state (1, N, D) or (N, D), y (T, N, D).

cont is 1 for each step that continues the sequence of its stream and 0 for a step that begins a new
one: the state before the step is multiplied with it. It has no gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Tensor


@dataclass(frozen=True)
class RecurrentInputs:
    """Inputs of a recurrent kernel, or their gradients: None for those that are not needed.

    Parameters
    ----------
    x : Tensor or None
    static : Tensor or None
        None also without ``static``.
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
    """Forward and backward over all time steps."""

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
