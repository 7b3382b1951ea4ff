"""Elementwise activation functions."""

from __future__ import annotations

from dataclasses import astuple

from minicaffe.backends.cuda.backend import CudaBackend, CudaKernel, kernel
from minicaffe.backends.cuda.runtime.saved import SavedForBackward
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.ops.activation import ACTIVATIONS, Activation

# The parameters of each function in activation.cu; ops with fewer fields leave the last ones at 0.
N_NUMBERS = 3


@kernel(*ACTIVATIONS)
class CudaActivation(CudaKernel[Activation]):
    """Launches one row of activation.cu; in place, saves a copy of x if the gradient needs it."""

    file = "activation"

    def __init__(self, backend: CudaBackend, op: Activation, x: CudaTensor, y: CudaTensor) -> None:
        super().__init__(backend, op)
        self.defines = (f"KIND={type(op).__name__.lower()}",)
        fields = astuple(op)
        self._numbers = (*fields, *(0.0,) * (N_NUMBERS - len(fields)))
        self._saved = SavedForBackward(self.device, x) if x is y and op.gradient_needs_x() else None

    def forward(self, x: CudaTensor, y: CudaTensor) -> None:
        """Overwrite y."""
        form = x.format
        given = x.source(form)
        if self._saved is not None:
            self._saved.save(given, form)
        to = y.target(form)
        self.launch_packs("forward", x.size, given, to, x.size, *self._numbers, value=form.value)

    def backward(self, x: CudaTensor, y: CudaTensor, dy: CudaTensor, dx: CudaTensor) -> None:
        """Overwrite dx."""
        if self._saved is not None:
            form, values = self._saved.format, self._saved.address
        else:
            read = x if self.op.gradient_needs_x() else y
            form = read.format
            values = read.source(form)
        given, to = dy.source(form), dx.target(form)
        self.launch_packs(
            "backward", x.size, values, given, to, x.size, *self._numbers, value=form.value
        )
