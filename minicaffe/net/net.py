"""The net: layers in order, run forward and backward."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from minicaffe.backends import get_backend
from minicaffe.blob import Blob
from minicaffe.errors import LabelError, NetError, nearest
from minicaffe.layers import Layer
from minicaffe.layers.base import State
from minicaffe.net import debug_info
from minicaffe.net.builder import build
from minicaffe.net.fusion import Fusion
from minicaffe.net.label_location import located, sample_names
from minicaffe.net.loss_future import LossFuture
from minicaffe.net.memory_sharing import share_memory
from minicaffe.net.parameters import Parameter
from minicaffe.net.program import Piece, Program
from minicaffe.net.step import Step
from minicaffe.ops.backend import Backend, HostArray, Tensor
from minicaffe.ops.update import NonFiniteFlag
from minicaffe.schema import TRAIN, NetSource, NetState, read_net

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

    Attributes
    ----------
    before_forward, after_forward, before_backward, after_backward : list of callable
        Called with the index of each layer, before and after it runs.
    version : int
        Grows when the pieces of a pass come to do something else: work that was made of them
        (`Backend.compile`) must be made anew.
    non_finite : Tensor or None
        Of one value: 0, or NaN if the last update of the parameters made one of them so, or
        infinite (see `minicaffe.ops.update`). Every forward pass adds it to the losses.

    Raises
    ------
    SchemaError
        If the prototxt cannot be read.
    NetError
        If the net cannot be built; holds every independent problem.
    """

    def __init__(
        self,
        source: NetSource | str | Path,
        state: NetState | str,
        *,
        backend: Backend | None = None,
        seed: int | None = None,
    ) -> None:
        if not isinstance(source, NetSource):
            source = read_net(source)
        if isinstance(state, str):
            state = NetState(phase=state)
        self.source = source
        self.backend = backend or get_backend()
        self.seed = int.from_bytes(os.urandom(4), "little") if seed is None else seed
        parts = build(source, state, self.backend, self.seed)
        self.param: Any = parts.param
        self.steps: list[Step] = parts.steps
        self.parameters: list[Parameter] = parts.parameters
        self.blobs: dict[str, Blob] = {blob.name: blob for blob in parts.blobs}
        self.outputs: list[Blob] = [self.blobs[name] for name in parts.wiring.outputs]
        self.inputs: list[Blob] = [
            blob for step in self.steps if step.layer.type == "Input" for blob in step.top
        ]
        self.debug_info = bool(self.param.debug_info)
        self._shares_memory = False
        self._fusion = Fusion(self.steps)
        self.version = 0
        self._non_finite: Tensor | None = None
        self._non_finite_kernel: Any = None
        self._whole_forward = Program(self, self.forward_pieces)
        self._whole_backward = Program(self, self.backward_pieces)
        self.before_forward: list[Hook] = []
        self.after_forward: list[Hook] = []
        self.before_backward: list[Hook] = []
        self.after_backward: list[Hook] = []

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
        """What is added to the losses; see the class."""
        return self._non_finite

    @non_finite.setter
    def non_finite(self, non_finite: Tensor | None) -> None:
        if non_finite is not self._non_finite:
            self._non_finite, self._non_finite_kernel = (
                non_finite,
                self.backend.plan(NonFiniteFlag()),
            )
            self.version += 1

    @property
    def data_wait_s(self) -> float:
        """How long all forward passes together have waited for data, seconds."""
        return sum(layer.data_wait_s for layer in self.layers)

    def layer_index(self, name: str) -> int:
        """Return the place of the layer of this name.

        Raises
        ------
        NetError
            If there is none.
        """
        names = [layer.name for layer in self.layers]
        if name not in names:
            raise NetError(f'no layer "{name}" in net "{self.name}". {nearest(name, names)}')
        return names.index(name)

    def forward(self, start: int = 0, end: int | None = None) -> None:
        """Run the layers from `start` up to and including `end` (default: the last).

        Raises
        ------
        LabelError
            If a label is not a class; the message names the layer and, if known, the record.
        """
        last = len(self.steps) - 1 if end is None else end
        is_watched = bool(self.debug_info or self.before_forward or self.after_forward)
        if self._fusion.prepare(start, last, is_watched):
            self.version += 1
        if not is_watched and last - start + 1 == len(self.steps):
            self._whole_forward()
            return
        for index, step in enumerate(self.steps[start : last + 1], start):
            _call(self.before_forward, index)
            self._forward(step)
            if self.debug_info:
                debug_info.log_forward(step)
            _call(self.after_forward, index)
        if self._non_finite is not None and last == len(self.steps) - 1:
            self._add_non_finite()

    def backward(self, start: int | None = None, end: int = 0) -> None:
        """Run the layers backward from `start` (default: the last) down to and including `end`.

        Raises
        ------
        NetError
            After `optimize_memory`.
        """
        if self._shares_memory:
            raise NetError(
                f'net "{self.name}": a backward pass reads blobs whose memory others have taken '
                "over. Do not ask for optimize_memory where gradients are wanted."
            )
        first = len(self.steps) - 1 if start is None else start
        is_watched = bool(self.debug_info or self.before_backward or self.after_backward)
        if self._fusion.prepare_backward(first, end, is_watched):
            self.version += 1
        if not is_watched and first - end + 1 == len(self.steps):
            self._whole_backward()
            return
        for index in range(first, end - 1, -1):
            step = self.steps[index]
            _call(self.before_backward, index)
            step.backward()
            if self.debug_info and step.needs_backward:
                debug_info.log_backward(step)
            _call(self.after_backward, index)
        if self.debug_info:
            debug_info.log_norms(self.parameters)

    @property
    def is_watched(self) -> bool:
        """Whether somebody looks at what each layer does: debug_info, or hooks."""
        hooks = (self.before_forward, self.after_forward, self.before_backward, self.after_backward)
        return bool(self.debug_info or any(hooks))

    def prepare_training(self) -> None:
        """Make the net ready for all forward pieces, then all backward pieces, unwatched."""
        if self._fusion.prepare(0, len(self.steps) - 1, is_watched=False, goes_back=True):
            self.version += 1

    def forward_pieces(self) -> list[Piece]:
        """Return what a whole forward pass does, a piece a layer, for `Backend.compile`."""
        pieces: list[Piece] = [partial(self._forward, step) for step in self.steps]
        return [*pieces, self._add_non_finite] if self._non_finite is not None else pieces

    def backward_pieces(self) -> list[Piece]:
        """Return what a whole backward pass does, a piece a layer that takes part."""
        return [step.backward for step in reversed(self.steps) if step.needs_backward]

    def _add_non_finite(self) -> None:
        for blob, _ in self._losses():
            self._non_finite_kernel.forward(self._non_finite, blob.data)

    def _losses(self, start: int = 0, last: int | None = None) -> Iterator[tuple[Blob, float]]:
        """Yield each blob that is a loss of the layers up to `last`, with its weight."""
        for step in self.steps[start : None if last is None else last + 1]:
            for blob, weight in zip(step.top, step.loss_weights, strict=True):
                if weight:
                    yield blob, weight

    def _forward(self, step: Step) -> None:
        try:
            step.forward()
        except LabelError as error:
            raise located(error, self.steps, step, sample_names(self.steps)) from None

    def loss(self, start: int = 0, end: int | None = None) -> float:
        """Return the sum of the losses that the last forward pass gave, times their weights.

        `start` and `end` are as for `forward`.
        """
        return self.loss_async(start, end).result()

    def loss_async(self, start: int = 0, end: int | None = None) -> LossFuture:
        """Return what `loss` would return now, to be had without waiting for it now."""
        last = len(self.steps) - 1 if end is None else end
        losses = self._losses(start, last)
        return LossFuture([(weight, blob.data.get_async()) for blob, weight in losses], self.steps)

    def output_values(self) -> list[HostArray]:
        """Return copies of the outputs' values.

        Raises
        ------
        LabelError
            As `forward` does, where the backend could not say so at once.
        """
        try:
            return [blob.data.get() for blob in self.outputs]
        except LabelError as error:
            raise located(error, self.steps, None, sample_names(self.steps)) from None

    def loss_weights(self) -> dict[str, float]:
        """Return the loss weight of each blob that is a loss, by name."""
        return {blob.name: weight for blob, weight in self._losses()}

    def reshape(self) -> None:
        """Carry changed input shapes through to the outputs, without running the net."""
        for step in self.steps:
            step.reshape()

    def optimize_memory(self, kept: Collection[Blob] = ()) -> None:
        """Have blobs that are needed at different times share memory, from now on.

        After a pass, inputs, outputs, losses and `kept` blobs hold their values; others what was
        written last to their memory. There is no backward pass any more.

        Parameters
        ----------
        kept : collection of Blob
            Further blobs that are read after a pass.

        Raises
        ------
        NetError
            If the net is to be trained.
        """
        if self.param.state.phase == TRAIN:
            raise NetError(
                f'net "{self.name}": optimize_memory takes the memory of blobs that training reads '
                "again; it is for phase TEST."
            )
        losses = (blob for blob, _ in self._losses())
        share_memory(self.steps, [*self.outputs, *losses, *kept])
        self._shares_memory = True
        self.version += 1

    def clear_param_diffs(self) -> None:
        """Set all parameters' gradients to zero."""
        for parameter in self.parameters:
            parameter.blob.diff.clear()

    def share_parameters_with(self, other: Net) -> None:
        """Use the parameters of `other`'s layers of the same names, as a test net does.

        Raises
        ------
        NetError
            If a layer of the same name has parameters of another shape.
        """
        mine = {layer.name: layer for layer in self.layers}
        self.non_finite = self.non_finite or other.non_finite
        for theirs in other.layers:
            layer = mine.get(theirs.name)
            if layer is None:
                continue
            shapes = [blob.shape for blob in layer.blobs], [blob.shape for blob in theirs.blobs]
            layer.require(
                shapes[0] == shapes[1],
                f"parameters have shapes {shapes[0]} here and {shapes[1]} in the training net; "
                "they must agree. Give both the same settings, and data of the same size and "
                "channels.",
            )
            for blob, trained in zip(layer.blobs, theirs.blobs, strict=True):
                if blob.data is not trained.data:
                    blob.share_data(trained)
                    self.version += 1

    def state(self) -> State:
        """Return what a resumed run needs beside the weights (JSON types only)."""
        return {layer.name: state for layer in self.layers if (state := layer.state())}

    def restore(self, state: State) -> None:
        """Take over what `state` returned in an earlier run."""
        for layer in self.layers:
            if layer.name in state:
                layer.restore(state[layer.name])

    def close(self) -> None:
        """Give back files and threads."""
        for layer in self.layers:
            layer.close()


def _call(hooks: Sequence[Hook], index: int) -> None:
    for hook in hooks:
        hook(index)
