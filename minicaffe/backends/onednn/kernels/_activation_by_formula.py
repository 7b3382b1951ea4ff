"""Activation functions that oneDNN lacks: NumPy formulas, applied in chunks."""

from __future__ import annotations

import numpy as np

from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel
from minicaffe.backends.onednn.kernels._pointwise import gapless_layout, pointwise
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.backends.reference.kernels.activation import FUNCTIONS
from minicaffe.ops.activation import Activation
from minicaffe.ops.backend import Array, Tensor


class ActivationByFormula(OneDnnKernel[Activation]):
    """Applies the formulas of the reference backend, without temporaries of full size.

    In place, forward shares the memory of x where the gradient needs x.
    """

    def __init__(self, backend: OneDnnBackend, op: Activation, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        x, y = tensors
        self._value, self._derivative = FUNCTIONS[type(op)]
        is_lost = x is y and op.gradient_needs_x()
        self._saved = OneDnnTensor(backend.reorders, x.shape) if is_lost else None

    def forward(self, x: OneDnnTensor, y: OneDnnTensor) -> None:
        """Overwrite y."""
        layout = gapless_layout(x)
        if self._saved is not None:
            self._saved.move_from(x, layout)
            x = self._saved
        pointwise(self.backend, layout, self._apply_value, [x], [y])

    def backward(
        self, x: OneDnnTensor, y: OneDnnTensor, dy: OneDnnTensor, dx: OneDnnTensor
    ) -> None:
        """Overwrite dx."""
        layout = gapless_layout(y)
        pointwise(self.backend, layout, self._apply_derivative, [self._saved or x, y, dy], [dx])

    def _apply_value(self, x: Array, y: Array) -> None:
        # Here, because the threads of the pool have settings of their own.
        with np.errstate(all="ignore"):
            y[...] = self._value(self.backend.xp, x, self.op)

    def _apply_derivative(self, x: Array, y: Array, dy: Array, dx: Array) -> None:
        with np.errstate(all="ignore"):
            np.multiply(dy, self._derivative(self.backend.xp, x, y, self.op), out=dx)
