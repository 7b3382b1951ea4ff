"""The second half of an iteration: gradients become updates of the parameters."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from minicaffe.blob import Blob
from minicaffe.log import logger
from minicaffe.net import Net
from minicaffe.net.debug_info import mean_magnitude
from minicaffe.ops.backend import Tensor
from minicaffe.ops.update import Parameter, StepSize, SumOfSquares
from minicaffe.solver.gradients import Piece
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
        with net.backend.turn:
            self._kernel = net.backend.plan(op, *tensors)
            self._squares = net.backend.plan(SumOfSquares(), *(p.dw for p in parameters))
        self._size = StepSize(0)
        self._taint = net.taint = net.backend.tensor(())
        self._step: Piece | None = None
        self._version = net.version
        self._work: Piece | None = None
        self._work_of: Piece | None = None

    def _parameters(self) -> list[Parameter]:
        n = len(self._net.parameters)
        return [
            Parameter(p.blob.data, p.blob.diff, self.history[i::n], p.lr_mult, p.decay_mult)
            for i, p in enumerate(self._net.parameters)
        ]

    def at_once(self, rate: float) -> Piece | None:
        """Return the update as a piece of the work that computes the gradients.

        Parameters
        ----------
        rate : float
            The learning rate, before lr_mult.

        Returns
        -------
        callable or None
            None if the host looks at the gradients first, for clip_gradients or for hooks.
        """
        if self._param.clip_gradients >= 0 or self._net.is_watched:
            return None
        # Now, as it may raise the net's version, by which the piece is known.
        self._net.prepare_training()
        self._size = self._step_size(rate, 1.0)
        return self._piece()

    def run(self, rate: float) -> None:
        """Update all parameters with the gradients that they have.

        Parameters
        ----------
        rate : float
            As for `at_once`.
        """
        with self._net.backend.turn:
            clipping = self._clipping()
        self._size = self._step_size(rate, clipping)
        piece = self._piece()
        if self._work is None or self._work_of is not piece:
            self._work, self._work_of = self._net.backend.repeatable([piece]), piece
        self._work()
        if self._net.debug_info:
            for p in self._net.parameters:
                _log_update(p.layer.name, p.name or p.index, p.blob)

    def _step_size(self, rate: float, clipping: float) -> StepSize:
        return StepSize(rate, self._param.weight_decay, clipping / self._param.iter_size)

    def _piece(self) -> Piece:
        """Return the kernel's step, the same object as long as the parameters are the same."""
        if self._step is None or self._version != self._net.version:
            self._version = self._net.version
            parameters = self._parameters()
            self._step = partial(self._update, parameters)
        return self._step

    def _update(self, parameters: list[Parameter]) -> None:
        with self._net.backend.turn:
            self._kernel.step(parameters, lambda: self._size, self._taint)

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
