"""Reduction over the trailing axes, in the memory order of x."""

from __future__ import annotations

import math

from minicaffe.backends.cuda.backend import CudaBackend, CudaKernel, kernel
from minicaffe.backends.cuda.kernels._channel_sums import NULL, Channels, ChannelSums, Result
from minicaffe.backends.cuda.runtime.format import Format
from minicaffe.backends.cuda.runtime.loss_scale import scale_address
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.ops.reduction import Reduction

# TERMS of _channel_sums.cu, and the power of |x| whose derivative is the gradient.
TERMS = {
    "sum": ("given", 0),
    "asum": ("magnitude", 1),
    "sumsq": ("square", 2),
    "mean": ("given", 0),
}


@kernel(Reduction)
class CudaReduction(CudaKernel[Reduction]):
    """Reduction; backward broadcasts the gradient. The result is float: it is small, or a loss."""

    file = "reduction"

    def __init__(self, backend: CudaBackend, op: Reduction, x: CudaTensor, y: CudaTensor) -> None:
        super().__init__(backend, op)
        terms, self._power = TERMS[op.operation]
        self._sums = ChannelSums(backend, terms)
        n = math.prod(x.shape[op.axis :]) if op.operation == "mean" else 1
        self._coefficient = op.coefficient / max(n, 1)

    def forward(self, x: CudaTensor, y: CudaTensor) -> None:
        """Overwrite y."""
        form = x.format
        channels = Channels.trailing(x.shape, self.op.axis, form)
        given = (NULL, x.source(form))
        to = y.target(Format(form.channels_last))
        self._sums(channels, form.value, given, Result((to, True), factor=self._coefficient))

    def backward(self, x: CudaTensor, dy: CudaTensor, dx: CudaTensor) -> None:
        """Overwrite dx."""
        form = x.format
        values = x.source(form) if self._power else NULL
        given = dy.source(Format(form.channels_last))
        to, scale = dx.target(form), scale_address(dx.scale(form))
        find = Channels.trailing(x.shape, self.op.axis, form).trailing_args()
        self.launch_packs(
            "reduction_backward",
            x.size,
            *(values, given, to, x.size, *find, self._power, self._coefficient, scale),
            value=form.value,
        )
