"""Dropout that generates its mask twice instead of storing it."""

from __future__ import annotations

from minicaffe.backends.cuda.backend import CudaBackend, CudaKernel, kernel
from minicaffe.backends.cuda.runtime.format import Format
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.ops.dropout import Dropout
from minicaffe.random import RandomStream


@kernel(Dropout)
class CudaDropout(CudaKernel[Dropout]):
    """The mask is a function of the random stream, its step, and the offset of a value in memory.

    If the batch is divided, it is the offset in the whole batch. Forward and backward use the
    backend's preferred order, so that offsets mean the same values.
    """

    file = "dropout"

    def __init__(self, backend: CudaBackend, op: Dropout, x: CudaTensor, y: CudaTensor) -> None:
        super().__init__(backend, op)
        self._stream = self.session.launch_parameters.slot(5)
        self._channels_last = backend.format.channels_last
        threshold = min(round(op.ratio * 2**32), 2**32 - 1)
        # The same 32 bits as a signed int.
        self._threshold = threshold - 2**32 if threshold >= 2**31 else threshold
        self._scale = op.scale

    def forward(self, x: CudaTensor, y: CudaTensor, stream: RandomStream) -> None:
        """Overwrite y."""
        self._stream.bind(stream.words)
        self._apply(x, y)

    def backward(self, dy: CudaTensor, dx: CudaTensor) -> None:
        """Overwrite dx."""
        self._apply(dy, dx)

    def _apply(self, x: CudaTensor, y: CudaTensor) -> None:
        form = Format(self._channels_last, x.format.value)
        given, to = x.source(form), y.target(form)
        self.launch_packs(
            "dropout",
            x.size,
            *(given, to, self._stream.address, x.size, self._threshold, self._scale),
            value=form.value,
        )
