"""Batch normalisation in the format of x, with Scale and ReLU as fused epilogue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from minicaffe.backends.cuda.backend import CudaBackend, OpT, kernel
from minicaffe.backends.cuda.driver.device import THREADS, Address, Argument
from minicaffe.backends.cuda.kernels._channel_packs import ChannelPacks
from minicaffe.backends.cuda.kernels._channel_sums import (
    FINAL_CHANNELS,
    NO_SUM,
    NULL,
    Channels,
    ChannelSums,
    Result,
)
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.ops.activation import starts_with_relu
from minicaffe.ops.backend import EpilogueOp
from minicaffe.ops.batch_norm import BatchNorm
from minicaffe.ops.scale import Scale


class Normalisation(ChannelPacks[OpT]):
    """Base class of batch normalisation and mean-variance normalisation."""

    file = "batch_norm"

    def partial_moments(self, x: CudaTensor, channels: Channels) -> tuple[Address, int]:
        """Compute partial moments of each channel; return their address and number."""
        form = x.format
        grid, n = channels.grid(self.device.multiprocessors), channels.all_channels
        partials = self.scratch(max(12 * grid[1] * n, 4), "batch norm")
        given = x.source(form)
        self.function("statistics", form.value)(
            grid, THREADS, given, partials, *channels.loop_args()
        )
        return partials, grid[1]

    def finish(self, name: str, channels: Channels, *args: Argument) -> None:
        """Launch a function that merges the partial moments."""
        self.function(name)(-(-max(channels.all_channels, 1) // FINAL_CHANNELS), THREADS, *args)


@kernel(BatchNorm)
class CudaBatchNorm(Normalisation[BatchNorm]):
    """Normalisation by batch statistics or stored statistics.

    Backward recomputes the normalised values from x. An in-place forward pass saves x: y gets other
    memory where that is possible; otherwise the pass also writes a copy.
    """

    def __init__(self, backend: CudaBackend, op: BatchNorm, *tensors: CudaTensor) -> None:
        super().__init__(backend, op)
        x, mean, y = tensors[0], tensors[1], tensors[-1]
        self._statistics = mean.shape
        size_bytes = max(4 * mean.size, 4)
        # Per channel: mean and inverse deviation for forward, and two means of gradients.
        self._mean = self.device.allocate(size_bytes)
        self._inverse = self.device.allocate(size_bytes)
        self._means = self.device.allocate(2 * size_bytes)
        self._sums, self._rectified_sums = (
            ChannelSums(backend, t) for t in ("normal", "rectified")
        )
        # Allocated when it is first written.
        self._saved = CudaTensor(self.session, x.shape) if x is y else None
        self._x: CudaTensor = x if self._saved is None else self._saved
        self._scale: EpilogueOp | None = None
        self._applies_relu = False

    def fuse(self, epilogue: Sequence[EpilogueOp]) -> int:
        """Fuse Scale and ReLU, in training also their backward passes.

        Only for in-place layers; otherwise the gradient between the layers must stay readable.
        """
        self._scale, self._applies_relu = None, False
        if self._saved is None or not epilogue:
            return 0
        op = epilogue[0].op
        if not isinstance(op, Scale) or op.axis != 1:
            return 0
        if epilogue[0].parameters()[0].shape != self._statistics:
            return 0
        self._scale, self._applies_relu = epilogue[0], starts_with_relu(epilogue[1:])
        return 1 + self._applies_relu

    def forward(
        self,
        x: CudaTensor,
        mean: CudaTensor,
        variance: CudaTensor,
        weight: CudaTensor,
        y: CudaTensor,
    ) -> None:
        """Overwrite y; update the statistics."""
        if self.op.use_stored:
            averages = (mean.source(), variance.source(), weight.source())
            n, used = mean.size, (self._mean.address, self._inverse.address)
            self.launch("stored", n, *averages, *used, n, self.op.eps)
        else:
            self._take_statistics(x, mean, variance, weight)
        saved = self._saved
        if self.op.use_stored and self._scale is None:
            # Neither backward nor `recompute_forward` reads x.
            saved = None
        if self._saved is None:
            self._x = x
        self._normalise(x, y, saved)

    def recompute_forward(self, y: CudaTensor) -> None:
        """Overwrite y again, from the saved x."""
        self._normalise(self._x, y, None)

    def backward(self, dy: CudaTensor, dx: CudaTensor) -> None:
        """Overwrite dx; accumulate the gradients of the fused ops."""
        if self.op.use_stored:
            form = dy.format
            given, to, channels = dy.source(form), dx.target(form), Channels.of(dy.shape, form)
            self.launch_channels(
                "backward_stored", channels, given, to, self._inverse.address, value=form.value
            )
            return
        x, means = self._x, self._means.address
        form = x.format
        values, given = x.source(form), dy.source(form)
        per_channel = (self._mean.address, self._inverse.address, *self._parameters())
        channels = Channels.of(x.shape, form)
        sums = self._rectified_sums if self._applies_relu else self._sums
        second = means + 4 * channels.n_channels
        mean = Result((means, True), (second, True), 1 / max(channels.total, 1))
        factors, terms = self._gradients()
        gradients = Result(terms, factors, scale=dy.scale(form))
        sums(channels, form.value, (values, given, *per_channel), mean, gradients)
        args = (values, given, dx.target(form), *per_channel, int(self._applies_relu), means)
        self.launch_channels("backward", channels, *args, value=form.value)

    def _take_statistics(
        self, x: CudaTensor, mean: CudaTensor, variance: CudaTensor, weight: CudaTensor
    ) -> None:
        channels = Channels.of(x.shape, x.format)
        partials = (*self.partial_moments(x, channels), channels.n_channels)
        sums = (mean.change(), variance.change(), weight.change())
        used = (self._mean.address, self._inverse.address)
        self.finish("finish", channels, *partials, *used, *sums, self.op.fraction, self.op.eps)

    def _normalise(self, x: CudaTensor, y: CudaTensor, saved: CudaTensor | None) -> None:
        form = x.format
        given, parameters = x.source(form), self._parameters()
        is_saved = saved is None or x.swap_memory(saved)
        to_save = NULL if saved is None or is_saved else saved.target(form)
        args = (given, y.target(form), to_save, self._mean.address, self._inverse.address)
        self.launch_channels(
            "forward",
            Channels.of(x.shape, form),
            *(*args, *parameters, int(self._applies_relu)),
            value=form.value,
        )

    def _parameters(self) -> tuple[Address, Address]:
        """Return the factors and terms of the fused ops."""
        if self._scale is None:
            return NULL, NULL
        tensors = cast("Sequence[CudaTensor]", self._scale.parameters())
        return tensors[0].source(), tensors[1].source() if len(tensors) > 1 else NULL

    def _gradients(self) -> list[tuple[Address, bool]]:
        """Return the outputs of the sums for factors and terms of the fused ops."""
        tensors = self._scale.gradients() if self._scale is not None else ()
        wanted = cast("Sequence[CudaTensor | None]", (*tensors, None, None)[:2])
        return [NO_SUM if tensor is None else tensor.accumulate() for tensor in wanted]
