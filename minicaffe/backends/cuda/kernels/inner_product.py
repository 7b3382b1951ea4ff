"""Inner products through cuBLAS."""

from __future__ import annotations

import math
from collections.abc import Sequence

from minicaffe.backends.cuda.backend import CudaBackend, CudaKernel, kernel
from minicaffe.backends.cuda.driver.cublas import Matrix
from minicaffe.backends.cuda.kernels._channel_bias import CudaChannelBias
from minicaffe.backends.cuda.runtime.format import DTYPES, Format
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.ops.activation import starts_with_relu
from minicaffe.ops.backend import EpilogueOp
from minicaffe.ops.inner_product import InnerProduct


@kernel(InnerProduct)
class CudaInnerProduct(CudaKernel[InnerProduct]):
    """Inner product of C-order tensors, viewed as matrices."""

    def __init__(self, backend: CudaBackend, op: InnerProduct, *tensors: CudaTensor) -> None:
        super().__init__(backend, op)
        x, y = tensors[0].shape, tensors[2].shape
        self._samples = math.prod(x[: op.axis])
        self._inputs, self._outputs = math.prod(x[op.axis :]), y[-1]
        self._form = Format(False, backend.format.value)
        self._dtype = DTYPES[self._form.value]
        self._bias = CudaChannelBias(backend, (self._samples, self._outputs))
        self._relu = False

    def fuse(self, epilogue: Sequence[EpilogueOp]) -> int:
        """Fuse a ReLU into the kernel that adds the bias."""
        self._relu = starts_with_relu(epilogue)
        return int(self._relu)

    def forward(self, x: CudaTensor, w: CudaTensor, b: CudaTensor | None, y: CudaTensor) -> None:
        """Overwrite y."""
        given, weights = self._x(x.source(self._form)), self._w(w.source(self._form))
        self.backend.gemm(given, weights.transpose, self._y(y.target(self._form)))
        self._bias.add(None if b is None else b.source(), y, self._form, self._relu)

    def backward_data(self, dy: CudaTensor, w: CudaTensor, dx: CudaTensor) -> None:
        """Overwrite dx."""
        given, weights = self._y(dy.source(self._form)), self._w(w.source(self._form))
        self.backend.gemm(given, weights, self._x(dx.target(self._form)))

    def backward_weights(
        self, x: CudaTensor, dy: CudaTensor, dw: CudaTensor | None, db: CudaTensor | None
    ) -> None:
        """Add to dw and db."""
        if dw is not None:
            given, gradient = self._x(x.source(self._form)), self._y(dy.source(self._form))
            to, is_first = dw.accumulate()
            sum_of = self._w(to, "float32")
            beta, scale = 0.0 if is_first else 1.0, dy.scale(self._form)
            self.backend.gemm(gradient.transpose, given, sum_of, beta=beta, scale=scale)
        if db is not None:
            self._bias.accumulate(dy, db, self._form)

    def _x(self, address: int) -> Matrix:
        return Matrix(address, self._samples, self._inputs, self._dtype)

    def _y(self, address: int) -> Matrix:
        return Matrix(address, self._samples, self._outputs, self._dtype)

    def _w(self, address: int, dtype: str = "") -> Matrix:
        """Return the weights as a matrix (outputs, inputs), for both memory layouts."""
        dtype = dtype or self._dtype
        if self.op.transpose:
            return Matrix(address, self._outputs, self._inputs, dtype, is_transposed=True)
        return Matrix(address, self._outputs, self._inputs, dtype)
