"""One training iteration: clear gradients, forward and backward passes, parameter update."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial

from minicaffe.blob import Blob
from minicaffe.log import logger
from minicaffe.net import Net
from minicaffe.net.debug_info import mean_magnitude
from minicaffe.net.loss_future import LossFuture
from minicaffe.ops.backend import Task, Tensor
from minicaffe.ops.update import StepSize, SumOfSquares, UpdateOperands
from minicaffe.schema import SolverParameter
from minicaffe.solver.averaging.averaged_weights import AveragedWeights
from minicaffe.solver.averaging.share import averages_weights, has_average
from minicaffe.solver.local_rates import LocalRates
from minicaffe.solver.rules import Rule
from minicaffe.solver.update_settings import UpdateSettings


class Iteration:
    """Runs training iterations of a net as compiled programs.

    Parameters
    ----------
    net : Net
        The net to train.
    param : SolverParameter
        Read in every iteration: iter_size and clip_gradients may change.
    rule : Rule
        The solver type.

    Attributes
    ----------
    average : AveragedWeights or None
        The average of the parameters, if the solver keeps one.
    """

    def __init__(self, net: Net, param: SolverParameter, rule: Rule) -> None:
        self._net, self._param, self._rule = net, param, rule
        self._update = ParameterUpdate(net, param, rule)
        self.average = AveragedWeights(net) if averages_weights(param) else None
        self._losses: list[LossFuture] = []
        self._iteration = net.programs.create(self._tasks)
        self._separate_update = net.programs.create(self._update_tasks)

    @property
    def history(self) -> list[Tensor]:
        """The rule's history tensors, in the order of a .solverstate file."""
        return self._update.history

    @property
    def kept(self) -> list[Tensor]:
        """Tensors for each parameter besides its values and gradient: history, average."""
        return [*self.history, *(self.average.tensors if self.average is not None else ())]

    @property
    def n_kept(self) -> int:
        """The number of tensors that are kept for each parameter."""
        return self._rule.n_history + (self.average is not None)

    @property
    def reads_gradients(self) -> bool:
        """Whether the host reads gradients or losses before the update, or hooks do."""
        param = self._param
        return (
            param.clip_gradients >= 0
            or param.lr_policy == "plateau"
            or self._update.is_adaptive
            or self._net.runs_layer_by_layer
        )

    def run(self, settings: UpdateSettings | None) -> list[LossFuture]:
        """Compute the gradients of iter_size batches and, given settings, update the parameters.

        Parameters
        ----------
        settings : UpdateSettings or None
            None to leave the update to `update`, which is required where `reads_gradients`.

        Returns
        -------
        list of LossFuture
            One for each batch.
        """
        net = self._net
        self._losses.clear()
        if settings is not None:
            self._set_step(settings)
        if net.runs_layer_by_layer:
            self._run_layer_by_layer()
        else:
            net.prepare_training()
            self._iteration(self._param.iter_size, settings is not None)
        return [*self._losses, net.loss_async()]

    def update(self, settings: UpdateSettings) -> None:
        """Update all parameters with the gradients that they have; clips these first."""
        self._set_step(settings, self._update.clipping())
        if self._update.is_adaptive:
            self._update.run_adaptive(settings)
            if self.average is not None:
                self.average.update()
        else:
            self._separate_update()
        if self._net.debug_info:
            for p in self._net.parameters:
                _log_update(p.layer.name, p.name or p.index, p.blob)

    def averaged(self, n_updates: int) -> AbstractContextManager[None]:
        """Show the average of the parameters after so many updates, if there is one."""
        if self.average is None or not has_average(self._param, n_updates):
            return nullcontext()
        return self.average.shown()

    def _set_step(self, settings: UpdateSettings, clipping: float = 1.0) -> None:
        self._update.set_step(settings, clipping)
        if self.average is not None:
            self.average.set_share(settings.average_share)

    def _run_layer_by_layer(self) -> None:
        self._net.clear_param_diffs()
        for k in range(self._param.iter_size):
            if k:
                _take_loss(self._losses, self._net)
            self._net.forward()
            self._net.backward()

    def _tasks(self, n_batches: int, includes_update: bool) -> list[Task]:
        net = self._net
        forward, backward = net.forward_tasks(), net.backward_tasks()
        # Layers that load batches cannot be captured in a graph. Clearing the gradients after
        # them leaves all other tasks uninterrupted, so that they are captured as one graph.
        n_sources = next((i for i, step in enumerate(net.steps) if step.bottom), len(net.steps))
        tasks = [*forward[:n_sources], net.clear_param_diffs, *forward[n_sources:], *backward]
        for _ in range(n_batches - 1):
            # The next batch overwrites the loss.
            tasks += [partial(_take_loss, self._losses, net), *forward, *backward]
        return [*tasks, *(self._update_tasks() if includes_update else ())]

    def _update_tasks(self) -> list[Task]:
        averages = () if self.average is None else (self.average.update,)
        return [self._update.task(), *averages]


class ParameterUpdate:
    """The solver's rule, applied to all parameters of a net. Owns the non-finite flag.

    Parameters
    ----------
    net : Net
        The net to train; its losses become NaN after an update with values that are not finite.
    param : SolverParameter
    rule : Rule
        The solver type.

    Attributes
    ----------
    history : list of Tensor
        The rule's history tensors, in the order of a .solverstate file.
    """

    def __init__(self, net: Net, param: SolverParameter, rule: Rule) -> None:
        self._net, self._param = net, param
        self.history = [
            net.backend.tensor(p.blob.shape) for _ in range(rule.n_history) for p in net.parameters
        ]
        operands = self._operands()
        tensors = (tensor for p in operands for tensor in (p.w, p.dw, *p.history))
        self._op, self._tensors = rule.op(param), list(tensors)
        self._local_rates = LocalRates(net, param)
        with net.backend.lock:
            self._kernel = net.backend.plan(self._op, *self._tensors)
            self._squares = net.backend.plan(SumOfSquares(), *(p.dw for p in operands))
        self._size = StepSize(0)
        self._non_finite = net.non_finite = net.backend.tensor(())

    @property
    def is_adaptive(self) -> bool:
        """Whether updates need `run_adaptive`: the momentum changes, or rates depend on norms."""
        param = self._param
        return param.larc or param.local_lr_auto or param.momentum_policy != "fixed"

    def set_step(self, settings: UpdateSettings, clipping: float = 1.0) -> None:
        """Set the learning rate and the factor of the gradients for the next run of the task."""
        self._size = StepSize(settings.rate, settings.decay, clipping / self._param.iter_size)

    def run_adaptive(self, settings: UpdateSettings) -> None:
        """Update the parameters after `set_step`, with the momentum and rates of this iteration."""
        multipliers = self._local_rates.multipliers(settings, self._size.scale)
        operands = [
            p._replace(lr_mult=factor)
            for p, factor in zip(self._operands(), multipliers, strict=True)
        ]
        if self._op.momentum != settings.momentum:
            self._op = replace(self._op, momentum=settings.momentum)
            with self._net.backend.lock:
                self._kernel = self._net.backend.plan(self._op, *self._tensors)
        self._update_parameters(operands)

    def task(self) -> Task:
        """Return the update of the parameters as a task; they are those that the net has now."""
        return partial(self._update_parameters, self._operands())

    def clipping(self) -> float:
        """Return the factor that limits the norm of the gradients to clip_gradients; 1 if unset."""
        limit = self._param.clip_gradients
        if limit < 0:
            return 1.0
        with self._net.backend.lock:
            squares = self._squares.forward([p.blob.diff for p in self._net.parameters])
        norm = math.sqrt(squares)
        if norm <= limit:
            return 1.0
        factor = limit / norm
        logger.info(
            f"Gradient clipping: scaling down gradients (L2 norm {norm:g} > {limit:g}) "
            f"by scale factor {factor:g}"
        )
        return factor

    def _operands(self) -> list[UpdateOperands]:
        n = len(self._net.parameters)
        return [
            UpdateOperands(p.blob.data, p.blob.diff, self.history[i::n], p.lr_mult, p.decay_mult)
            for i, p in enumerate(self._net.parameters)
        ]

    def _update_parameters(self, operands: list[UpdateOperands]) -> None:
        with self._net.backend.lock:
            self._kernel.step(operands, lambda: self._size, self._non_finite)


def _take_loss(losses: list[LossFuture], net: Net) -> None:
    """Append the loss of the last batch."""
    losses.append(net.loss_async())


def _log_update(layer: str, name: object, blob: Blob) -> None:
    update = blob.diff.get()
    before = blob.data.get() + update
    logger.info(
        f"    [Update] Layer {layer}, param {name} data: {mean_magnitude(before):g}; "
        f"diff: {mean_magnitude(update):g}"
    )
