"""The net: layers in order, run forward and backward."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TypeAlias

from minicaffe.backends import get_backend
from minicaffe.blob import Blob
from minicaffe.distributed.parts import UNDIVIDED, WorkShare
from minicaffe.errors import LabelError, NetError, nearest
from minicaffe.layers import Layer
from minicaffe.layers.base import State
from minicaffe.net import debug_info
from minicaffe.net.backward_plan import warn_of_idle_backward
from minicaffe.net.builder import build
from minicaffe.net.fusion import Fusion
from minicaffe.net.label_location import locate, sample_names
from minicaffe.net.loss_future import LossFuture, LossPart, add_non_finite, find_losses
from minicaffe.net.memory.demand import fill_steps, require_memory
from minicaffe.net.memory.shared import SharedMemory
from minicaffe.net.parameters import LearnableParameter, share_trained_parameters
from minicaffe.net.program import Programs
from minicaffe.net.step import Step
from minicaffe.ops.backend import Backend, HostArray, NetChanges, Task, Tensor
from minicaffe.ops.update import NonFiniteFlag, NonFiniteFlagKernel
from minicaffe.schema import TRAIN, NetParameter, NetSource, NetState, read_net

# Called with the index of a layer.
Hook: TypeAlias = Callable[[int], object]


class Net:
    """A net for one phase.

    Parameters
    ----------
    source : NetSource, str or Path
        A net as read by `read_net`, or the prototxt to read.
    state : NetState or str
        Phase, level and stages that include and exclude rules ask for; or the phase alone,
        "TRAIN" or "TEST".
    backend : Backend, optional
        Where to run; by default a new one of the default kind.
    seed : int, optional
        Of fillers and everything random; by default drawn by the operating system.
    fills : bool
        Whether to write the initial values; if not, call `fill` before the first pass.
    share : WorkShare, optional
        The part of the work that this process does, if several train the net; by default all.

    Attributes
    ----------
    before_forward, after_forward, before_backward, after_backward : list of callable
        Called with the index of each layer, before and after it runs.
    programs : Programs
        The compiled passes of the net, and what others compile from its tasks.

    Raises
    ------
    SchemaError
        If the prototxt cannot be read.
    NetError
        If the net cannot be built; holds every independent problem.

    Notes
    -----
    A net is freed, and its files and threads are closed, when the last reference to it is gone.
    `close` does the latter earlier.
    """

    def __init__(
        self,
        source: NetSource | str | Path,
        state: NetState | str,
        *,
        backend: Backend | None = None,
        seed: int | None = None,
        fills: bool = True,
        share: WorkShare = UNDIVIDED,
    ) -> None:
        source = source if isinstance(source, NetSource) else read_net(source)
        state = NetState(phase=state) if isinstance(state, str) else state
        self.source, self.backend = source, backend or get_backend()
        self.seed = int.from_bytes(os.urandom(4), "little") if seed is None else seed
        parts = build(source, state, self.backend, self.seed, share)
        self.param: NetParameter = parts.param
        self.steps: list[Step] = parts.steps
        self.parameters: list[LearnableParameter] = parts.parameters
        self.blobs: dict[str, Blob] = {blob.name: blob for blob in parts.blobs}
        self.outputs: list[Blob] = [self.blobs[name] for name in parts.wiring.outputs]
        self.inputs: list[Blob] = [
            blob for step in self.steps if step.layer.is_filled_by_program for blob in step.top
        ]
        self._losses = find_losses(self.steps)
        self._sources = [step for step in self.steps if not step.bottom]
        self.debug_info = bool(self.param.debug_info)
        self.programs = Programs(self.backend)
        self._forward_pass = self.programs.create(self.forward_tasks, self._changes)
        self._backward_pass = self.programs.create(self.backward_tasks)
        self._fusion = Fusion(self.steps, self.programs)
        self._has_warned_of_idle_backward = False
        # Whether the memory was found to suffice for passes of the current shapes.
        self._fits_forward = self._fits_backward = self.backend.free_bytes() is not None
        self._non_finite: Tensor | None = None
        self.before_forward: list[Hook] = []
        self.after_forward: list[Hook] = []
        self.before_backward: list[Hook] = []
        self.after_backward: list[Hook] = []
        if fills:
            self.fill()

    def fill(self) -> None:
        """Write the initial values of parameters and constant tops; close the net if that fails."""
        try:
            fill_steps(self.steps, f'{self.source.where()}: net "{self.name}" needs')
        except BaseException:
            self.close()
            raise

    @property
    def name(self) -> str:
        """The name in the prototxt."""
        return str(self.param.name)

    @property
    def layers(self) -> list[Layer]:
        """The layers, in the order in which they run."""
        return [step.layer for step in self.steps]

    @property
    def non_finite(self) -> Tensor | None:
        """The non-finite flag of a parameter update; every forward pass adds it to the losses.

        One value: 0, or NaN after an update that made a parameter NaN or infinite; see
        `minicaffe.ops.update`.
        """
        return self._non_finite

    @non_finite.setter
    def non_finite(self, flag: Tensor | None) -> None:
        if flag is not self._non_finite:
            self._non_finite = flag
            self.programs.invalidate()

    @property
    def _changes(self) -> NetChanges | None:
        # Between two forward passes of a training everything changes: nothing could be replayed.
        is_trained = self.param.state.phase == TRAIN
        return None if is_trained else self.steps[0].layer.context.changes

    @cached_property
    def _non_finite_kernel(self) -> NonFiniteFlagKernel:
        return self.backend.plan(NonFiniteFlag())

    @cached_property
    def shared_memory(self) -> SharedMemory:
        """What the blobs share; at first nothing."""
        losses = (blob for _, _, blob, _ in self._losses)
        kept, subject = [*self.outputs, *losses], f'net "{self.name}"'
        return SharedMemory(self.steps, self.parameters, kept, self.programs, subject)

    @property
    def data_wait_s(self) -> float:
        """Total time that forward passes have waited for data, seconds."""
        return sum(layer.data_wait_s for layer in self.layers)

    def layer_index(self, name: str) -> int:
        """Return the index of the layer of this name.

        Raises
        ------
        NetError
            If there is none.
        """
        names = [layer.name for layer in self.layers]
        if name not in names:
            raise NetError(f'no layer "{name}" in net "{self.name}". {nearest(name, names)}')
        return names.index(name)

    @property
    def runs_layer_by_layer(self) -> bool:
        """Whether something reads blobs between layers: debug_info, or hooks."""
        return bool(
            self.debug_info
            or self.before_forward
            or self.after_forward
            or self.before_backward
            or self.after_backward
        )

    def forward(self, start: int = 0, end: int | None = None) -> None:
        """Run the layers from `start` up to and including `end` (default: the last).

        Raises
        ------
        LabelError
            If a label is not a class; the message names the layer and, if known, the record.
        """
        if not self._fits_forward and end is None:
            self.check_memory()
        last = len(self.steps) - 1 if end is None else end
        layer_by_layer = self.runs_layer_by_layer
        self._fusion.prepare(start, last, layer_by_layer)
        self.shared_memory.end_forward(last)
        if not layer_by_layer and last - start + 1 == len(self.steps):
            self._forward_pass()
            return
        for index, step in enumerate(self.steps[start : last + 1], start):
            _call(self.before_forward, index)
            _forward(step, self.steps)
            if self.debug_info:
                debug_info.log_forward(step)
            _call(self.after_forward, index)
        if last == len(self.steps) - 1:
            for task in self._non_finite_tasks():
                task()

    def backward(self, start: int | None = None, end: int = 0) -> None:
        """Run the layers backward from `start` (default: the last) down to and including `end`.

        Raises
        ------
        NetError
            If `optimize_memory` lets blobs that it reads share memory, and they are overwritten.
        """
        first = len(self.steps) - 1 if start is None else start
        if not self._fits_backward and not end:
            self.check_memory(backward=True)
        if not self._has_warned_of_idle_backward:
            where = self.source.where()
            self._has_warned_of_idle_backward = warn_of_idle_backward(self.steps, first, end, where)
        layer_by_layer = self.runs_layer_by_layer
        self.shared_memory.begin_backward(first, end, layer_by_layer)
        self._fusion.prepare_backward(first, end, layer_by_layer)
        if not layer_by_layer and first - end + 1 == len(self.steps):
            self._backward_pass()
            return
        for index in range(first, end - 1, -1):
            step = self.steps[index]
            _call(self.before_backward, index)
            self.shared_memory.backward_task(index)()
            if self.debug_info and step.needs_backward:
                debug_info.log_backward(step)
            _call(self.after_backward, index)
        if self.debug_info:
            debug_info.log_norms(self.parameters)

    def check_memory(self, backward: bool = False) -> None:
        """Raise OutOfMemory if passes certainly need more main memory than the process can have."""
        if self.backend.free_bytes() is not None:
            return  # the solver compares trainings with the memory of a device
        demand = self.shared_memory.demand(backward)
        require_memory(demand, f'{self.source.where()}: net "{self.name}" needs', self.steps)
        self._fits_forward = True
        self._fits_backward = self._fits_backward or backward

    def prepare_training(self) -> None:
        """Fuse layers for whole forward and backward passes that run from the tasks below."""
        last = len(self.steps) - 1
        self._fusion.prepare(0, last, layer_by_layer=False, then_backward=True)
        self.shared_memory.end_forward(-1)

    def forward_tasks(self) -> list[Task]:
        """Return the tasks of a whole forward pass: one for each layer, then the flag's."""
        tasks: list[Task] = [partial(_forward, step, self.steps) for step in self.steps]
        return [*tasks, *self._non_finite_tasks()]

    @property
    def backward_steps(self) -> list[Step]:
        """The steps that take part in a backward pass, in the order in which they run."""
        return [step for step in reversed(self.steps) if step.needs_backward]

    def backward_tasks(self) -> list[Task]:
        """Return the tasks of a whole backward pass: one for each of `backward_steps`."""
        n = len(self.steps)
        order = (i for i in reversed(range(n)) if self.steps[i].needs_backward)
        return [self.shared_memory.backward_task(i) for i in order]

    def _non_finite_tasks(self) -> list[Task]:
        if self._non_finite is None:
            return []
        losses = [blob for _, _, blob, _ in self._losses]
        return [partial(add_non_finite, self._non_finite_kernel, self._non_finite, losses)]

    def loss(self, start: int = 0, end: int | None = None) -> float:
        """Return the weighted sum of the losses of the last forward pass.

        `start` and `end` are as for `forward`.
        """
        return self.loss_async(start, end).result()

    def loss_async(self, start: int = 0, end: int | None = None) -> LossFuture:
        """Return a future of what `loss` would return now."""
        last = len(self.steps) - 1 if end is None else end
        parts = [
            LossPart(weight, blob.data.get_async(), layer.largest_loss)
            for i, layer, blob, weight in self._losses
            if start <= i <= last
        ]
        return LossFuture(parts, self.steps, sample_names(self._sources))

    def output_values(self) -> list[HostArray]:
        """Return copies of the outputs' values.

        Raises
        ------
        LabelError
            As `forward` does, if the backend finds the label only after that pass.
        """
        try:
            return [blob.data.get() for blob in self.outputs]
        except LabelError as error:
            raise locate(error, self.steps, None, sample_names(self._sources)) from None

    def loss_weights(self) -> dict[str, float]:
        """Return the loss weight of each blob that is a loss, by name."""
        return {blob.name: weight for _, _, blob, weight in self._losses}

    def reshape(self) -> None:
        """Propagate changed input shapes to the outputs, without running the net."""
        self._fits_forward = self._fits_backward = self.backend.free_bytes() is not None
        for step in self.steps:
            step.reshape()

    def optimize_memory(self, kept: Collection[Blob] = ()) -> None:
        """Share memory between blobs that are not live at the same time, from now on.

        In the TRAIN phase gradients share it as well, and values whose computation is cheap are
        dropped and computed again. In the TEST phase backward passes are refused from then on.
        After a pass, inputs, outputs, losses and `kept` blobs hold their values; any other blob
        holds what was last written to its memory.

        Parameters
        ----------
        kept : collection of Blob
            Further blobs that are read after a pass.
        """
        if self.param.state.phase == TRAIN:
            self.shared_memory.drop_values(kept)
        else:
            self.shared_memory.share_values(kept)

    def clear_param_diffs(self) -> None:
        """Set all parameters' gradients to zero."""
        for parameter in self.parameters:
            parameter.blob.diff.clear()

    def share_parameters_with(self, other: Net, *, is_quiet: bool = False) -> None:
        """Use the parameters of `other`'s layers of the same names, and its non-finite flag.

        Layers that only `other` has are logged, as in Caffe, unless `is_quiet`.

        Raises
        ------
        NetError
            If a layer of the same name has parameters of another shape.
        """
        if self.non_finite is None:
            self.non_finite = other.non_finite
        if share_trained_parameters(self.layers, other.layers, is_quiet):
            self.programs.invalidate()

    def state(self) -> State:
        """Return the layers' state for exact resuming, without the weights (JSON types only)."""
        return {layer.name: state for layer in self.layers if (state := layer.state())}

    def restore(self, state: State) -> None:
        """Restore what `state` returned in an earlier run."""
        for layer in self.layers:
            if layer.name in state:
                layer.restore(state[layer.name])

    def skip_batches(self, n: int) -> None:
        """Advance data and random numbers as n forward passes do, without the passes."""
        for step in self.steps:
            step.layer.skip_batches(n)

    def close(self) -> None:
        """Close files and end threads. Not needed: see the class."""
        for layer in self.layers:
            layer.close()


def _forward(step: Step, steps: Sequence[Step]) -> None:
    """Run one of the net's steps; an invalid label's error names the record."""
    try:
        step.forward()
    except LabelError as error:
        raise locate(error, steps, step, sample_names(steps)) from None


def _call(hooks: Sequence[Hook], index: int) -> None:
    for hook in hooks:
        hook(index)
