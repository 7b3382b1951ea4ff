"""Batch normalisation fused with Scale and ReLU while training: one primitive per direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from minicaffe.backends.onednn.kernels._accumulate import Accumulator
from minicaffe.backends.onednn.kernels._batch_norm_primitives import BatchNormPrimitives
from minicaffe.backends.onednn.kernels._non_finite import has_finite_values
from minicaffe.backends.onednn.runtime.images import images_layout
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.ops.activation import Relu
from minicaffe.ops.backend import EpilogueOp, Tensor

if TYPE_CHECKING:
    from minicaffe.backends.onednn.backend import OneDnnBackend


class ScaledBatchNorm:
    """y = relu(s (x - mu) / sqrt(var + eps) + b), and all its gradients.

    Parameters
    ----------
    backend : OneDnnBackend
    eps : float
    y : OneDnnTensor
        The output, for its shape.
    scale : EpilogueOp
        The Scale layer: s, b if it has one, and their gradients.
    rectifies : bool
        Whether there is a ReLU.

    Attributes
    ----------
    rectifies : bool
    """

    def __init__(
        self, backend: OneDnnBackend, eps: float, y: Tensor, scale: EpilogueOp, rectifies: bool
    ) -> None:
        self._scale, self.rectifies = scale, rectifies
        self._channels = scale.parameters()[0].shape
        self._backend = backend
        self._zeros = OneDnnTensor(backend.reorders, self._channels)
        self._relu = backend.plan(Relu(), y, y) if rectifies else None
        # Any: the protocol of `scale.op`'s kernel, which an `EpilogueOp` does not know.
        self._factor: Any = backend.plan(scale.op, y, scale.parameters()[0], y)
        self._accumulate = Accumulator(backend)
        self._primitives = BatchNormPrimitives(
            backend.engine, self._channels, eps, scales=True, rectifies=rectifies
        )
        self._unrectified = BatchNormPrimitives(backend.engine, self._channels, eps, scales=True)

    def forward(
        self, x: OneDnnTensor, y: OneDnnTensor, mu: OneDnnTensor, var: OneDnnTensor
    ) -> None:
        """Overwrite y, mu and var."""
        self._layout = images_layout(x)
        s, b = (*self.parameters(), self._zeros)[:2]
        self._primitives.forward(self._layout)(x, s, b, y, mu, var)
        # The primitive's ReLU replaces NaN by 0. The variance is not finite where an x is not.
        if self._relu is not None and not self._is_finite(var, s, b):
            self._unrectified.forward(self._layout)(x, s, b, y, mu, var)
            self._relu.forward(y, y)

    def _is_finite(self, *tensors: OneDnnTensor) -> bool:
        return all(has_finite_values(self._backend, tensor) for tensor in tensors)

    def backward(
        self,
        x: OneDnnTensor,
        mu: OneDnnTensor,
        var: OneDnnTensor,
        dy: OneDnnTensor,
        dx: OneDnnTensor,
    ) -> None:
        """Overwrite dx, add to the gradients of s and b."""
        call = self._primitives.backward(self._layout)
        operands = (x, mu, var, self.parameters()[0], dy, dx)
        # Different shapes, so that the accumulator has two temporaries.
        shapes = (self._channels, (*self._channels, 1))
        self._accumulate(lambda *results: call(*operands, *results), self.gradients(), shapes)

    def write_output_gradient(self, y: OneDnnTensor, dy: OneDnnTensor) -> None:
        """Overwrite dy as ReLU and Scale in place would: it is a visible gradient of the net."""
        if self._relu is not None:
            self._relu.backward(y, y, dy, dy)
        self._factor.backward_data(dy, self.parameters()[0], dy)

    def parameters(self) -> Sequence[Any]:
        """Return s and, if there is one, b."""
        # Any: tensors of this backend, while an `EpilogueOp` knows `Tensor`.
        return self._scale.parameters()

    def gradients(self) -> Sequence[Any]:
        """Return the gradients of `parameters`, None for those that are not needed."""
        return self._scale.gradients()
