"""The second half of an iteration: gradients become updates of the parameters."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from minicaffe.blob import Blob
from minicaffe.log import logger
from minicaffe.net import Net
from minicaffe.net.debug_info import mean_magnitude
from minicaffe.net.program import Piece, Program
from minicaffe.ops.backend import Tensor
from minicaffe.ops.update import StepSize, SumOfSquares, UpdateOperands
from minicaffe.solver.rules import Rule


class ParameterUpdate:
    """The solver's rule on all parameters of a net.

    Parameters
    ----------
    net : Net
        The net that is trained.
    param : SolverParameter
        Momentum, clipping and all that.
    rule : Rule
        The solver's type.

    Attributes
    ----------
    history : list of Tensor
        The rule's memory, in the order of a .solverstate file.
    """

    def __init__(self, net: Net, param: Any, rule: Rule) -> None:
        self._net, self._param = net, param
        self.history: list[Tensor] = [
            net.backend.tensor(p.blob.shape) for _ in range(rule.n_history) for p in net.parameters
        ]
        parameters = self._parameters()
        tensors = (tensor for p in parameters for tensor in (p.w, p.dw, *p.history))
        op = rule.op(param, param.regularization_type)
        with net.backend.lock:
            self._kernel = net.backend.plan(op, *tensors)
            self._squares = net.backend.plan(SumOfSquares(), *(p.dw for p in parameters))
        self._size = StepSize(0)
        self._non_finite = net.non_finite = net.backend.tensor(())
        self._alone = Program(net, lambda: [self.piece()])

    def _parameters(self) -> list[UpdateOperands]:
        n = len(self._net.parameters)
        return [
            UpdateOperands(p.blob.data, p.blob.diff, self.history[i::n], p.lr_mult, p.decay_mult)
            for i, p in enumerate(self._net.parameters)
        ]

    @property
    def reads_gradients(self) -> bool:
        """Whether the host looks at the gradients first: for clip_gradients, or for hooks."""
        return self._param.clip_gradients >= 0 or self._net.is_watched

    def prepare(self, rate: float, clipping: float = 1.0) -> None:
        """Set the size of the next step: the learning rate, before lr_mult, and a factor."""
        scale = clipping / self._param.iter_size
        self._size = StepSize(rate, self._param.weight_decay, scale)

    def piece(self) -> Piece:
        """Return the step on the parameters as they are now, as a piece of work."""
        return partial(self._update, self._parameters())

    def run(self, rate: float) -> None:
        """Update all parameters with the gradients that they have.

        Parameters
        ----------
        rate : float
            As for `prepare`.
        """
        with self._net.backend.lock:
            clipping = self._clipping()
        self.prepare(rate, clipping)
        self._alone()
        if self._net.debug_info:
            for p in self._net.parameters:
                _log_update(p.layer.name, p.name or p.index, p.blob)

    def _update(self, parameters: list[UpdateOperands]) -> None:
        with self._net.backend.lock:
            self._kernel.step(parameters, lambda: self._size, self._non_finite)

    def _clipping(self) -> float:
        limit = float(self._param.clip_gradients)
        if limit < 0:
            return 1.0
        norm = math.sqrt(self._squares.forward([p.blob.diff for p in self._net.parameters]))
        if norm <= limit:
            return 1.0
        factor: float = limit / norm
        logger.info(
            f"Gradient clipping: scaling down gradients (L2 norm {norm:g} > {limit:g}) "
            f"by scale factor {factor:g}"
        )
        return factor


def _log_update(layer: str, name: object, blob: Blob) -> None:
    update = blob.diff.get()
    before = blob.data.get() + update
    logger.info(
        f"    [Update] Layer {layer}, param {name} data: {mean_magnitude(before):g}; "
        f"diff: {mean_magnitude(update):g}"
    )
