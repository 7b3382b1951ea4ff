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
from minicaffe.solver.parallel.exchange import GradientExchange
from minicaffe.solver.parallel.settings import IN_ONE_PROCESS, DataParallel
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
    parallel : DataParallel, optional
        How several processes divide the training.

    Attributes
    ----------
    average : AveragedWeights or None
        The average of the parameters, if the solver keeps one.
    """

    def __init__(
        self,
        net: Net,
        param: SolverParameter,
        rule: Rule,
        parallel: DataParallel = IN_ONE_PROCESS,
    ) -> None:
        self._net, self._param, self._rule = net, param, rule
        self._n_parts = parallel.parts.n
        divides = parallel.parts.count > 1
        self._exchange = GradientExchange(net, parallel) if divides else None
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
        """The number of tensors that are kept for each parameter; sums of parts count."""
        n_sums = self._exchange.n_sets if self._exchange is not None else 0
        return self._rule.n_history + (self.average is not None) + n_sums

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

        Without settings, the gradients are the sums of iter_size batches afterwards, and the means
        of the parts of each batch.

        Parameters
        ----------
        settings : UpdateSettings or None
            None to leave the update to `update`, which is required where `reads_gradients`.

        Returns
        -------
        list of LossFuture
            One for each batch, or for each part of it that this process computes.
        """
        net = self._net
        self._losses.clear()
        if settings is not None:
            # Scaling in the update saves a pass over the gradients.
            self._set_step(settings, self._share)
        if net.runs_layer_by_layer:
            self._run_layer_by_layer()
        else:
            net.prepare_training()
            self._iteration(self._n_passes, settings is not None)
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

    @property
    def _n_passes(self) -> int:
        """Number of forward and backward passes of an iteration."""
        return self._param.iter_size * self._n_parts

    @property
    def _share(self) -> float:
        """The factor that makes means of sums over the parts of a batch."""
        return 1.0 if self._exchange is None else self._exchange.share

    def _set_step(self, settings: UpdateSettings, factor: float) -> None:
        self._update.set_step(settings, factor)
        if self.average is not None:
            self.average.set_share(settings.average_share)

    def _run_layer_by_layer(self) -> None:
        self._net.clear_param_diffs()
        for k in range(self._n_passes):
            for task in self._tasks_between(k - 1) if k else ():
                task()
            self._net.forward()
            self._net.backward()
        if self._exchange is not None:
            self._exchange.run(self._share)

    def _tasks(self, n_passes: int, includes_update: bool) -> list[Task]:
        net = self._net
        forward, backward = net.forward_tasks(), net.backward_tasks()
        # Layers that load batches cannot be captured in a graph. Clearing the gradients after
        # them leaves all other tasks uninterrupted, so that they are captured as one graph.
        n_sources = next((i for i, step in enumerate(net.steps) if step.bottom), len(net.steps))
        tasks = [*forward[:n_sources], net.clear_param_diffs, *forward[n_sources:]]
        for k in range(n_passes - 1):
            tasks += [*backward, *self._tasks_between(k), *forward]
        if self._exchange is not None:
            backward = self._exchange.tasks(1.0 if includes_update else self._share)
        return [*tasks, *backward, *(self._update_tasks() if includes_update else ())]

    def _tasks_between(self, k: int) -> list[Task]:
        """Return the tasks between a pass, counted from 0, and the next."""
        # The next pass overwrites the loss.
        take_loss = partial(_take_loss, self._losses, self._net)
        if self._exchange is None or self._n_parts == 1:
            return [take_loss]
        return [take_loss, partial(self._exchange.keep_part, k), self._net.clear_param_diffs]

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

    def set_step(self, settings: UpdateSettings, factor: float) -> None:
        """Set the learning rate and the factor of the gradients for the next run of the task.

        Parameters
        ----------
        settings : UpdateSettings
        factor : float
            Of the mean of the iter_size batches.
        """
        self._size = StepSize(settings.rate, settings.decay, factor / self._param.iter_size)

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
