"""Base of LSTM and RNN: checks of sequences, and states that carry over between batches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from minicaffe.blob import Blob
from minicaffe.layers.base import Blobs, Layer, State
from minicaffe.ops.backend import Op, Shape, Tensor
from minicaffe.ops.recurrent import RecurrentInputs, RecurrentKernel
from minicaffe.schema import LayerParameter
from minicaffe.schema.minicaffe_pb2 import RecurrentParameter


class RecurrentLayer(Layer[RecurrentParameter]):
    """Base of LSTM and RNN: a subclass returns its parameters and its op.

    Without expose_hidden the layer carries its states over from one forward pass to the next, in
    both phases; `reset` sets them to zero, their initial value.
    """

    role = "weights"
    without_gradient = (1,)
    # Names of the states.
    states: ClassVar[tuple[str, ...]]

    @classmethod
    def summary(cls, param: LayerParameter) -> str:
        """Return the size of the state."""
        return str(param.recurrent_param.num_output)

    def multiply_adds(self, bottom: Blobs, top: Blobs) -> int:
        """Return the number of weights for each step of each stream."""
        steps, streams = bottom[0].shape[:2]
        return steps * streams * sum(blob.count for blob in self.blobs if len(blob.shape) == 2)

    def parameter_shapes(self, inputs: int, static: int | None) -> list[Shape]:
        """Return the shapes of the parameters, biases with one axis."""
        raise NotImplementedError

    def op(self) -> Op[RecurrentKernel]:
        """Return the op."""
        raise NotImplementedError

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Create the parameters and the states."""
        proto = self.settings
        self.require(proto.num_output > 0, "num_output is missing or 0; it must be at least 1")
        n = len(self.states) if proto.expose_hidden else 0
        given = f"with expose_hidden: {str(bool(n)).lower()}"
        names = f", then {', '.join(self.states)}" if n else ""
        self.require(
            len(bottom) in (2 + n, 3 + n),
            f"{len(bottom)} bottoms; {given} they are x, cont, optionally x_static{names}",
        )
        self.require(len(top) == 1 + n, f"{len(top)} tops; {given} there must be {1 + n}: y{names}")
        self.static = 2 if len(bottom) == 3 + n else None
        self.exposed = range(len(bottom) - n, len(bottom))
        self.own_states = [Blob(self.context.backend, name) for name in self.states[n:]]
        self._check(bottom)
        self.inputs = self._sizes(bottom)
        for shape in self.parameter_shapes(*self.inputs):
            is_bias = len(shape) == 1
            self.add_parameter(shape, proto.bias_filler if is_bias else proto.weight_filler)

    def _check(self, bottom: Blobs) -> None:
        x, cont = bottom[0], bottom[1]
        self.require_shape(
            len(x.shape) >= 2 and x.shape[0] > 0,
            f'bottom "{x.name}" has shape {x.shape}; it must be (time steps, streams, ...)',
        )
        self.require_shape(
            cont.shape == x.shape[:2],
            f'bottom "{cont.name}" of shape {cont.shape} says for each step of each stream whether '
            f"a sequence goes on; its shape must be {x.shape[:2]}",
        )
        streams, size = x.shape[1], self.settings.num_output
        if self.static is not None:
            static = bottom[self.static]
            self.require_shape(
                len(static.shape) >= 1 and static.shape[0] == streams,
                f'bottom "{static.name}" of shape {static.shape} is the input of all time steps; '
                f"its first axis must be the {streams} streams",
            )
        for name, k in zip(self.states, self.exposed, strict=False):
            self.require_shape(
                bottom[k].count == streams * size,
                f'bottom "{bottom[k].name}" of shape {bottom[k].shape} is {name} before the first '
                f"step; its shape must be (1, {streams}, {size})",
            )

    def _sizes(self, bottom: Blobs) -> tuple[int, int | None]:
        """Return the number of inputs per step, and of static inputs."""
        static = None if self.static is None else math.prod(bottom[self.static].shape[1:])
        return math.prod(bottom[0].shape[2:]), static

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the tops their shapes and plan; a new number of streams resets the states."""
        self._check(bottom)
        found = self._sizes(bottom)
        self.require_shape(
            found == self.inputs,
            f"{found[0]} inputs a step and {found[1] or 0} static ones; the weights were made for "
            f"{self.inputs[0]} and {self.inputs[1] or 0}",
        )
        steps, streams = bottom[0].shape[:2]
        size = self.settings.num_output
        top[0].reshape((steps, streams, size))
        for blob in top[1:]:
            blob.reshape((1, streams, size))
        if any(state.shape != (streams, size) for state in self.own_states):
            for state in self.own_states:
                state.reshape((streams, size))
            self.reset()
        tensors = (bottom[0].data, bottom[1].data, top[0].data, *(b.data for b in self.blobs))
        self.kernel = self.plan(self.op(), *tensors)

    def reset(self) -> None:
        """Set the states to zero, their value before the first batch."""
        for state in self.own_states:
            state.data.clear()

    def _inputs(self, bottom: Blobs) -> RecurrentInputs:
        start = self.own_states or [bottom[k] for k in self.exposed]
        return RecurrentInputs(
            x=bottom[0].data,
            static=None if self.static is None else bottom[self.static].data,
            start=[blob.data for blob in start],
            params=[blob.data for blob in self.blobs],
        )

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the tops and the states."""
        end = [blob.data for blob in self.own_states or top[1:]]
        self.kernel.forward(self._inputs(bottom), bottom[1].data, top[0].data, end)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottoms' diffs, add to the parameters'."""
        self.require(not propagate_down[1], "cont has no gradient; set propagate_down: false")
        down = _wanted(bottom, propagate_down)
        none = [None] * len(self.states)
        gradients = RecurrentInputs(
            x=down[0],
            static=None if self.static is None else down[self.static],
            start=[down[k] for k in self.exposed] or none,
            params=_wanted(self.blobs, self.param_needs_diff),
        )
        dend = [blob.diff for blob in top[1:]] or none
        self.kernel.backward(self._inputs(bottom), top[0].diff, dend, gradients)

    def state(self) -> State:
        """Return the states before the next batch."""
        return {"states": [blob.data.get().tolist() for blob in self.own_states]}

    def restore(self, state: State) -> None:
        """Restore the states of an earlier run, unless its number of streams differs."""
        for blob, values in zip(self.own_states, state["states"], strict=True):
            if np.shape(values) == blob.shape:
                blob.data.set(values)


def _wanted(blobs: Blobs, needed: Sequence[bool]) -> list[Tensor | None]:
    return [blob.diff if need else None for blob, need in zip(blobs, needed, strict=True)]
