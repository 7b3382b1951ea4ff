"""Batch normalisation in the format that x has."""

from __future__ import annotations

from minicaffe.backends.cuda.backend import CudaBackend, CudaKernel, kernel
from minicaffe.backends.cuda.channel_sums import LANES, NOWHERE, Channels, ChannelSums
from minicaffe.backends.cuda.device import THREADS, Address
from minicaffe.backends.cuda.format import Format
from minicaffe.backends.cuda.tensor import CudaTensor
from minicaffe.ops.batch_norm import BatchNorm


@kernel(BatchNorm)
class CudaBatchNorm(CudaKernel):
    """Normalise by the batch's statistics or by stored ones.

    Backward computes the normalised values again from x. In place that is overwritten, so forward
    keeps a copy, which costs a write but no pass of its own.
    """

    file = "batch_norm"

    def __init__(self, backend: CudaBackend, op: BatchNorm, *tensors: CudaTensor) -> None:
        super().__init__(backend, op)
        x, mean, y = tensors[0], tensors[1], tensors[-1]
        size_bytes = max(4 * mean.size, 4)
        # Of each channel: what forward subtracts and multiplies with, and two means of gradients.
        self._mean = self.device.allocate(size_bytes)
        self._inverse = self.device.allocate(size_bytes)
        self._means = self.device.allocate(2 * size_bytes)
        self._sums = ChannelSums(backend, "normal")
        keeps = x is y and not op.use_stored
        self._kept = CudaTensor(self.session, x.shape) if keeps else None
        self._x: CudaTensor = x if self._kept is None else self._kept

    def forward(
        self,
        x: CudaTensor,
        mean: CudaTensor,
        variance: CudaTensor,
        weight: CudaTensor,
        y: CudaTensor,
    ) -> None:
        """Overwrite y; update the statistics."""
        form = x.format
        given, channels = x.source(form), Channels.of(x.shape, form)
        if self.op.use_stored:
            averages = (mean.source(), variance.source(), weight.source())
            used = (self._mean.address, self._inverse.address)
            self.launch(
                "stored", channels.n_channels, *averages, *used, channels.n_channels, self.op.eps
            )
        else:
            parts, splits = self._statistics(x, channels, form)
            sums = (mean.change(), variance.change(), weight.change())
            self.function("finish")(
                -(-max(channels.n_channels, 1) // LANES),
                THREADS,
                *(
                    parts,
                    splits,
                    channels.n_channels,
                    self._mean.address,
                    self._inverse.address,
                    *sums,
                ),
                *(self.op.fraction, self.op.eps),
            )
        if self._kept is None:
            self._x = x
        kept = NOWHERE if self._kept is None else self._kept.target(form)
        to = y.target(form)
        statistics = (self._mean.address, self._inverse.address)
        self.launch(
            "forward",
            *(x.size, given, to, kept, *statistics, x.size, *channels.find()),
            value=form.value,
        )

    def backward(self, dy: CudaTensor, dx: CudaTensor) -> None:
        """Overwrite dx."""
        inverse = self._inverse.address
        if self.op.use_stored:
            form = dy.format
            given, to, channels = dy.source(form), dx.target(form), Channels.of(dy.shape, form)
            args = (given, to, inverse, dy.size, *channels.find())
            self.launch("backward_stored", dy.size, *args, value=form.value)
            return
        x, mean, means = self._x, self._mean.address, self._means.address
        form = x.format
        values, given = x.source(form), dy.source(form)
        channels = Channels.of(x.shape, form)
        self._sums(
            channels,
            form.value,
            (values, given, mean, inverse),
            (means, True),
            (means + 4 * channels.n_channels, True),
            1 / max(channels.total, 1),
        )
        args = (values, given, dx.target(form), mean, inverse, means, x.size, *channels.find())
        self.launch("backward", x.size, *args, value=form.value)

    def _statistics(self, x: CudaTensor, channels: Channels, form: Format) -> tuple[Address, int]:
        """Return where the moments of the parts of each channel are, and how many parts."""
        grid = channels.grid(self.device.multiprocessors)
        parts = self.scratch(max(12 * grid[1] * channels.n_channels, 4), "batch norm")
        self.function("statistics", form.value)(
            grid, THREADS, x.source(form), parts, *channels.walk()
        )
        return parts, grid[1]
