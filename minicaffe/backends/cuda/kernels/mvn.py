"""Mean-variance normalisation of single samples, in the format of x."""

from __future__ import annotations

import math

from minicaffe.backends.cuda.backend import CudaBackend, kernel
from minicaffe.backends.cuda.kernels._channel_sums import NULL, Channels, ChannelSums, Result
from minicaffe.backends.cuda.kernels.batch_norm import Normalisation
from minicaffe.backends.cuda.runtime.format import Format
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.ops.mvn import Mvn


@kernel(Mvn)
class CudaMvn(Normalisation[Mvn]):
    """Backward recomputes the normalised values from x, which an in-place forward pass copies."""

    def __init__(self, backend: CudaBackend, op: Mvn, x: CudaTensor, y: CudaTensor) -> None:
        super().__init__(backend, op)
        size_bytes = max(4 * math.prod(x.shape[: op.first_axis]), 4)
        # Per sample: mean and inverse deviation for forward, and two means of gradients.
        self._mean = self.device.allocate(size_bytes)
        self._inverse = self.device.allocate(size_bytes)
        self._means = self.device.allocate(2 * size_bytes)
        self._sums = ChannelSums(backend, "normal" if op.divide else "given")
        # Without division the gradient does not depend on x.
        is_lost = x is y and op.divide
        self._saved = CudaTensor(self.session, x.shape) if is_lost else None
        self._x: CudaTensor = x if self._saved is None else self._saved

    def forward(self, x: CudaTensor, y: CudaTensor) -> None:
        """Overwrite y."""
        form = x.format
        channels = self._channels(x, form)
        used = (self._mean.address, self._inverse.address)
        partials = (*self.partial_moments(x, channels), channels.all_channels)
        self.finish("finish_samples", channels, *partials, *used, int(self.op.divide), self.op.eps)
        given = x.source(form)
        saved = NULL if self._saved is None else self._saved.target(form)
        if self._saved is None:
            self._x = x
        sizes = (x.size, *channels.trailing_args())
        self.launch_packs(
            "forward_samples", x.size, given, y.target(form), saved, *used, *sizes, value=form.value
        )

    def backward(self, dy: CudaTensor, dx: CudaTensor) -> None:
        """Overwrite dx."""
        x, means = self._x, self._means.address
        form = x.format if self.op.divide else dy.format
        values = x.source(form) if self.op.divide else NULL
        given, used = dy.source(form), (self._mean.address, self._inverse.address)
        channels = self._channels(dy, form)
        n = channels.all_channels
        mean = Result((means, True), (means + 4 * n, True), 1 / max(channels.total, 1))
        self._sums(channels, form.value, (values, given, *used), mean)
        args = (values, given, dx.target(form), *used, means, n, int(self.op.divide))
        sizes = (dy.size, *channels.trailing_args())
        self.launch_packs("backward_samples", dy.size, *args, *sizes, value=form.value)

    def _channels(self, x: CudaTensor, form: Format) -> Channels:
        return Channels.trailing(x.shape, self.op.first_axis, form)
