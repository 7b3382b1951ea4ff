"""Base of layers with a number that changes from pass to pass."""

from __future__ import annotations

from minicaffe.blob import Blob
from minicaffe.layers.base import Layer, P, State
from minicaffe.ops.backend import Tensor


class AnnealedLayer(Layer[P]):
    """A layer that counts its forward passes; snapshots store the count.

    The number reaches the kernels as a tensor of shape (1,), because a captured graph would repeat
    a plain number.
    """

    def start_at(self, iteration: int) -> None:
        """Set the count of passes and create the tensor `number`; called by `setup`."""
        self.iteration = iteration
        self.number: Tensor = self.context.backend.tensor((1,))

    def announce(self, value: float, top: Blob | None) -> None:
        """Overwrite the number, and the top that shows it, if there is one."""
        self.number.set([value])
        if top is not None:
            top.data.set([value])

    def state(self) -> State:
        """Return the count of passes as well."""
        return {**super().state(), "iteration": self.iteration}

    def restore(self, state: State) -> None:
        """Restore the count of passes as well."""
        self.iteration = int(state["iteration"])
        super().restore({k: v for k, v in state.items() if k != "iteration"})
