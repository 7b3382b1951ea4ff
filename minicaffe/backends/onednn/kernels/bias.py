"""Bias of channels, in the layout of x."""

from __future__ import annotations

from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel, kernel
from minicaffe.backends.onednn.kernels._channel_bias import OneDnnChannelBias
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.errors import Unsupported
from minicaffe.ops.backend import Tensor
from minicaffe.ops.bias import Bias


@kernel(Bias)
class OneDnnBias(OneDnnKernel[Bias]):
    """y = x + b with one b for each channel."""

    def __init__(self, backend: OneDnnBackend, op: Bias, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        x, b, _ = tensors
        if op.axis != 1 or b.shape != x.shape[1:2]:
            raise Unsupported("oneDNN adds a bias to channels only")
        self._bias = OneDnnChannelBias(backend, b.shape[0])

    def forward(self, x: OneDnnTensor, b: OneDnnTensor, y: OneDnnTensor) -> None:
        """Overwrite y."""
        self._bias.add(x, b, y)

    def backward_weights(self, dy: OneDnnTensor, db: OneDnnTensor) -> None:
        """Add to db."""
        self._bias.accumulate(dy, db)
