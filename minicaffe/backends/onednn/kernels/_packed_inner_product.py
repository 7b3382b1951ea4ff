"""Inner product with packed weights, for bfloat16.

For bfloat16 the weights are copied in every iteration anyway, so an order that suits the processor
costs nothing more. The output, the gradient of the input and those of the parameters stay float32:
they are small compared with the weights, and losses read them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from minicaffe.backends.onednn.backend import OneDnnBackend
from minicaffe.backends.onednn.kernels._epilogue import OneDnnEpilogue
from minicaffe.backends.onednn.kernels._packed_product import PackedProduct
from minicaffe.backends.onednn.runtime.primitive import EpilogueKind
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.ops.backend import EpilogueOp, Tensor
from minicaffe.ops.inner_product import InnerProduct


class PackedInnerProduct(PackedProduct[InnerProduct]):
    """y = x w^T + b on (M, K) and (N, K)."""

    product = "inner_product"

    def __init__(self, backend: OneDnnBackend, op: InnerProduct, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        x, y = tensors[0].shape, tensors[2].shape
        m, k, n = math.prod(x[: op.axis]), math.prod(x[op.axis :]), math.prod(y[op.axis :])
        wide, narrow = (n, k) if op.transpose else (k, n)
        self._wide, self._narrow, self._weights = (m, wide), (m, narrow), (narrow, wide)
        self._has_primitive_bias = bool(op.bias) and not op.transpose
        self._epilogue = OneDnnEpilogue(backend, (m, n) if op.axis == 1 else ())

    def forward(
        self, x: OneDnnTensor, w: OneDnnTensor, b: OneDnnTensor | None, y: OneDnnTensor
    ) -> None:
        """Overwrite y."""
        if not self.op.transpose:
            inputs = (x, w) if b is None else (x, w, b)
            self._call_forward(self._epilogue.kind)(*inputs, *self._epilogue.tensors(), y)
            return
        self._call_gradient()(x, w, y)
        if b is not None:
            y.update().reshape(self._wide)[...] += b.read()

    def fuse(self, epilogue: Sequence[EpilogueOp]) -> int:
        """Fuse normalisation, scaling and ReLU of y."""
        return 0 if self.op.transpose else self._epilogue.fuse(epilogue)

    def backward_data(self, dy: OneDnnTensor, w: OneDnnTensor, dx: OneDnnTensor) -> None:
        """Overwrite dx."""
        if self.op.transpose:
            self._call_forward(EpilogueKind())(dy, w, dx)
        else:
            self._call_gradient()(dy, w, dx)

    def backward_weights(
        self,
        x: OneDnnTensor,
        dy: OneDnnTensor,
        dw: OneDnnTensor | None,
        db: OneDnnTensor | None,
    ) -> None:
        """Add to dw and db."""
        wide, narrow = (dy, x) if self.op.transpose else (x, dy)
        if dw is not None:
            call = self._call_weights(False)
            self._accumulate(lambda result: call(wide, narrow, result), (dw,), (self._weights,))
        if db is not None:
            # In NumPy from dy as it is: the primitive's bias gradient would be of rounded values.
            db.update().reshape(-1)[...] += dy.read().reshape(-1, db.shape[-1]).sum(0)
