"""Functions of one number."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.backends.cuda.backend import CudaBackend, CudaKernel, kernel
from minicaffe.backends.cuda.driver.device import Address
from minicaffe.backends.cuda.runtime.format import Format
from minicaffe.backends.cuda.runtime.saved import SavedForBackward
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.ops.activation import Activation
from minicaffe.ops.backend import EpilogueOp


def starts_with_relu(epilogue: Sequence[EpilogueOp]) -> bool:
    """Return whether the first is the plain ReLU, which other kernels can apply on the way."""
    op = epilogue[0].op if epilogue else None
    return isinstance(op, Activation) and op.kind == "relu" and op.alpha == 0


@kernel(Activation)
class CudaActivation(CudaKernel[Activation]):
    """Forward and backward in the format that x has; in place it keeps x where that is needed."""

    file = "activation"

    def __init__(self, backend: CudaBackend, op: Activation, x: CudaTensor, y: CudaTensor) -> None:
        super().__init__(backend, op)
        self.defines = (f"KIND={op.kind}",)
        self._numbers = (op.alpha, op.beta, op.scale, op.shift)
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
        form = self._saved.format if self._saved is not None else y.format
        before, after, given = self._input(x, y, form), y.source(form), dy.source(form)
        to = dx.target(form)
        self.launch_packs(
            "backward", x.size, before, after, given, to, x.size, *self._numbers, value=form.value
        )

    def _input(self, x: CudaTensor, y: CudaTensor, form: Format) -> Address:
        if self._saved is not None:
            return self._saved.address
        return (x if self.op.gradient_needs_x() else y).source(form)
