"""Scale and Bias: product and sum with operands broadcast along some axes of x."""

from __future__ import annotations

import math

from minicaffe.backends.cuda.backend import CudaBackend, kernel
from minicaffe.backends.cuda.kernels._channel_packs import ChannelPacks
from minicaffe.backends.cuda.kernels._channel_sums import (
    NO_SUM,
    NULL,
    Channels,
    ChannelSums,
    Result,
)
from minicaffe.backends.cuda.runtime.format import Format
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.ops.bias import Bias
from minicaffe.ops.scale import Scale


class _BroadcastAxes:
    """Broadcast of s over the axes of x; an s of shape () is a single channel."""

    def __init__(self, x: CudaTensor, s: CudaTensor, axis: int) -> None:
        self._shape, self._axis, self._inner = x.shape, axis, s.shape
        # With the channels last, s may cover only the channel axis.
        self._any_order = not s.shape or (axis == 1 and len(s.shape) == 1)

    def form(self, x: CudaTensor) -> Format:
        """Return the format of the computation."""
        form = x.format
        return form if self._any_order else Format(False, form.value)

    def channels(self, form: Format) -> Channels:
        """Return the layout of x with one channel for each value of s."""
        if not self._inner:
            return Channels(1, 1, math.prod(self._shape))
        if form.channels_last:
            return Channels.of(self._shape, form)
        end = self._axis + len(self._inner)
        outer, inner = self._shape[: self._axis], self._shape[end:]
        return Channels(math.prod(outer), math.prod(self._inner), math.prod(inner))


@kernel(Scale)
class CudaScale(ChannelPacks[Scale]):
    """Product and sum in one pass; an in-place forward pass saves x."""

    file = "scale"

    def __init__(self, backend: CudaBackend, op: Scale, *tensors: CudaTensor) -> None:
        super().__init__(backend, op)
        x, s, y = tensors[:3]
        self._axes = _BroadcastAxes(x, s, op.axis)
        self._sums = ChannelSums(backend, "product")
        self._saved = CudaTensor(self.session, x.shape) if x is y else None

    def forward(self, x: CudaTensor, s: CudaTensor, b: CudaTensor | None, y: CudaTensor) -> None:
        """Overwrite y."""
        form = self._axes.form(x)
        given, factors = x.source(form), s.source()
        terms = NULL if b is None else b.source()
        saved = NULL if self._saved is None else self._saved.target(form)
        args = (given, y.target(form), saved, factors, terms)
        self.launch_channels("scale", self._axes.channels(form), *args, value=form.value)

    def backward_weights(
        self, x: CudaTensor, dy: CudaTensor, ds: CudaTensor | None, db: CudaTensor | None
    ) -> None:
        """Add to ds and db."""
        x = x if self._saved is None else self._saved
        form = self._axes.form(dy)
        given = (x.source(form), dy.source(form))
        first, second = (NO_SUM if to is None else to.accumulate() for to in (ds, db))
        result = Result(first, second, scale=dy.scale(form))
        self._sums(self._axes.channels(form), form.value, given, result)

    def backward_data(self, dy: CudaTensor, s: CudaTensor, dx: CudaTensor) -> None:
        """Overwrite dx."""
        form = self._axes.form(dy)
        given, factors, to = dy.source(form), s.source(), dx.target(form)
        channels = self._axes.channels(form)
        self.launch_channels("scale", channels, given, to, NULL, factors, NULL, value=form.value)


@kernel(Bias)
class CudaBias(ChannelPacks[Bias]):
    """Sum with a broadcast bias."""

    file = "scale"

    def __init__(
        self, backend: CudaBackend, op: Bias, x: CudaTensor, b: CudaTensor, y: CudaTensor
    ) -> None:
        super().__init__(backend, op)
        self._axes = _BroadcastAxes(x, b, op.axis)
        self._sums = ChannelSums(backend, "given")

    def forward(self, x: CudaTensor, b: CudaTensor, y: CudaTensor) -> None:
        """Overwrite y."""
        form = self._axes.form(x)
        given, terms, to = x.source(form), b.source(), y.target(form)
        channels = self._axes.channels(form)
        self.launch_channels("scale", channels, given, to, NULL, NULL, terms, value=form.value)

    def backward_weights(self, dy: CudaTensor, db: CudaTensor) -> None:
        """Add to db."""
        form = self._axes.form(dy)
        given = (NULL, dy.source(form))
        result = Result(db.accumulate(), scale=dy.scale(form))
        self._sums(self._axes.channels(form), form.value, given, result)
