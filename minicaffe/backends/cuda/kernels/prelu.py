"""Parametric ReLU in the format of x."""

from __future__ import annotations

from minicaffe.backends.cuda.backend import CudaBackend, kernel
from minicaffe.backends.cuda.kernels._channel_packs import ChannelPacks
from minicaffe.backends.cuda.kernels._channel_sums import NULL, Channels, ChannelSums, Result
from minicaffe.backends.cuda.runtime.format import Format
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.ops.prelu import PReLU


@kernel(PReLU)
class CudaPReLU(ChannelPacks[PReLU]):
    """One slope for each channel, or one for all; an in-place forward pass saves x."""

    file = "scale"

    def __init__(
        self, backend: CudaBackend, op: PReLU, x: CudaTensor, a: CudaTensor, y: CudaTensor
    ) -> None:
        super().__init__(backend, op)
        self._shape, self._is_shared = x.shape, not a.shape
        self._sums = ChannelSums(backend, "negative")
        self._saved = CudaTensor(self.session, x.shape) if x is y else None

    def forward(self, x: CudaTensor, a: CudaTensor, y: CudaTensor) -> None:
        """Overwrite y."""
        form = x.format
        given, slopes = x.source(form), a.source()
        saved = NULL if self._saved is None else self._saved.target(form)
        args = (given, y.target(form), saved, slopes)
        self.launch_channels("prelu", self._channels(form), *args, value=form.value)

    def backward_weights(self, x: CudaTensor, dy: CudaTensor, da: CudaTensor) -> None:
        """Add to da."""
        x = x if self._saved is None else self._saved
        form = x.format
        given = (x.source(form), dy.source(form))
        result = Result(da.accumulate(), scale=dy.scale(form))
        self._sums(self._channels(form), form.value, given, result)

    def backward_data(self, x: CudaTensor, a: CudaTensor, dy: CudaTensor, dx: CudaTensor) -> None:
        """Overwrite dx."""
        x = x if self._saved is None else self._saved
        form = x.format
        values, given, slopes = x.source(form), dy.source(form), a.source()
        args = (values, given, dx.target(form), slopes)
        self.launch_channels("prelu_backward", self._channels(form), *args, value=form.value)

    def _channels(self, form: Format) -> Channels:
        channels = Channels.of(self._shape, form)
        return Channels(1, 1, channels.size) if self._is_shared else channels
