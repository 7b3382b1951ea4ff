"""Bias of convolutions and inner products: addition with optional ReLU, and its gradient."""

from __future__ import annotations

from minicaffe.backends.cuda.backend import CudaBackend
from minicaffe.backends.cuda.driver.device import Address
from minicaffe.backends.cuda.kernels._channel_packs import ChannelPacks
from minicaffe.backends.cuda.kernels._channel_sums import NULL, Channels, ChannelSums, Result
from minicaffe.backends.cuda.runtime.format import Format
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.ops.backend import Shape


class CudaChannelBias(ChannelPacks[None]):
    """Per-channel bias of a tensor (N, C, ...).

    Parameters
    ----------
    shape : tuple of int
        Shape of the tensor; its format is an argument of the methods.
    """

    file = "_channel_bias"

    def __init__(self, backend: CudaBackend, shape: Shape) -> None:
        super().__init__(backend, None)
        self._shape = shape
        self._sums = ChannelSums(backend, "given")

    def add(self, b: Address | None, y: CudaTensor, form: Format, relu: bool = False) -> None:
        """Add b, float32, to y, which was written in `form`; then apply ReLU if `relu` is set."""
        to, n = y.change(form), y.size
        if b is not None:
            channels = Channels.of(self._shape, form)
            self.launch_channels("add_bias", channels, to, b, int(relu), value=form.value)
        elif relu:
            self.launch_packs("relu", n, to, n, value=form.value)

    def accumulate(self, dy: CudaTensor, db: CudaTensor, form: Format) -> None:
        """Accumulate in db the sums of dy, read in `form`, over all axes except the channels."""
        given = (NULL, dy.source(form))
        result = Result(db.accumulate(), scale=dy.scale(form))
        self._sums(Channels.of(self._shape, form), form.value, given, result)
