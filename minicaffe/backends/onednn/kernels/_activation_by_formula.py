"""Functions of one number that oneDNN lacks: NumPy's, a chunk at a time."""

from __future__ import annotations

from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel
from minicaffe.backends.onednn.kernels._pointwise import gapless_layout, pointwise
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.backends.reference.kernels.activation import FUNCTIONS
from minicaffe.ops.activation import Activation
from minicaffe.ops.backend import Array, Tensor


class ActivationByFormula(OneDnnKernel[Activation]):
    """The reference's row of functions, without its temporaries of full size.

    In place, forward takes over the memory of x where the gradient needs x.
    """

    def __init__(self, backend: OneDnnBackend, op: Activation, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        x, y = tensors
        self._function, self._slope = FUNCTIONS[op.kind]
        is_lost = x is y and op.gradient_needs_x()
        self._kept = OneDnnTensor(backend.reorders, x.shape) if is_lost else None

    def forward(self, x: OneDnnTensor, y: OneDnnTensor) -> None:
        """Overwrite y."""
        layout = gapless_layout(x)
        if self._kept is not None:
            self._kept.move_from(x, layout)
            x = self._kept
        pointwise(self.backend, layout, self._bend, [x], [y])

    def backward(
        self, x: OneDnnTensor, y: OneDnnTensor, dy: OneDnnTensor, dx: OneDnnTensor
    ) -> None:
        """Overwrite dx."""
        layout = gapless_layout(y)
        pointwise(self.backend, layout, self._bend_back, [self._kept or x, y, dy], [dx])

    def _bend(self, x: Array, y: Array) -> None:
        y[...] = self._function(self.backend.xp, x, self.op)

    def _bend_back(self, x: Array, y: Array, dy: Array, dx: Array) -> None:
        self.backend.xp.multiply(dy, self._slope(self.backend.xp, x, y, self.op), out=dx)
