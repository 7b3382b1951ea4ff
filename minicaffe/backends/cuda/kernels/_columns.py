"""Convolution as im2col and matrix product, used if no library has a plan."""

from __future__ import annotations

import math
from collections.abc import Iterator

from minicaffe.backends.cuda.backend import CudaBackend, CudaKernel
from minicaffe.backends.cuda.driver.cublas import Matrix
from minicaffe.backends.cuda.driver.device import Address
from minicaffe.backends.cuda.driver.plans import ConvolutionProblem
from minicaffe.backends.cuda.runtime.format import DTYPES, SIZE_BYTES, Format
from minicaffe.backends.cuda.runtime.loss_scale import LossScale
from minicaffe.ops.backend import Shape

CHUNK_BYTES = 256 << 20
MAX_AXES = 3


class ColumnConvolution(CudaKernel[ConvolutionProblem]):
    """The three directions of one convolution, on addresses of C-order values.

    Parameters
    ----------
    backend : CudaBackend
    what : ConvolutionProblem
        Of any direction.
    """

    file = "_columns"

    def __init__(self, backend: CudaBackend, what: ConvolutionProblem) -> None:
        super().__init__(backend, what)
        self.form = Format(False, backend.format.value)
        image, out, taps = what.x[2:], what.y[2:], what.w[2:]
        self._numbers = geometry(image, out, taps, what.stride, what.pad, what.dilation)
        self._positions = math.prod(out)
        self._rows = what.w[1] * math.prod(taps)
        self._filters = what.y[1] // what.group
        self._image_size = what.x[1] * math.prod(image)
        self._columns_size = what.group * self._rows * self._positions
        self._size_bytes = SIZE_BYTES[self.form.value]
        self._dtype = DTYPES[self.form.value]
        per_image = max(1, self._columns_size * self._size_bytes)
        self._chunk = max(1, min(CHUNK_BYTES, (1 << 31) - 1) // per_image)

    def forward(self, x: Address, w: Address, y: Address) -> None:
        """Overwrite y."""
        for n, image, out in self._chunks(x, y):
            columns = self._im2col(image, n)
            for g in range(self.op.group):
                self.backend.gemm(self._w(w, g), self._c(columns, g), self._y(out, g), count=n)

    def backward_data(self, dy: Address, w: Address, dx: Address) -> None:
        """Overwrite dx."""
        for n, image, out in self._chunks(dx, dy):
            columns = self._scratch(n)
            for g in range(self.op.group):
                self.backend.gemm(
                    self._w(w, g).transpose, self._y(out, g), self._c(columns, g), count=n
                )
            size = n * self._image_size
            sizes = (size, self.op.x[1], *self._numbers)
            self.launch("col2im", size, columns, image, *sizes, value=self.form.value)

    def backward_weights(
        self, x: Address, dy: Address, dw: Address, is_first: bool, scale: LossScale | None
    ) -> None:
        """Accumulate in dw, float32, or overwrite it; `scale` is the loss scale of dy."""
        for n, image, out in self._chunks(x, dy):
            columns = self._im2col(image, n)
            for i in range(n):
                one = columns + i * self._columns_size * self._size_bytes
                its = out + i * self.op.y[1] * self._positions * self._size_bytes
                for g in range(self.op.group):
                    self.backend.gemm(
                        self._y(its, g),
                        self._c(one, g).transpose,
                        self._w(dw, g, "float32"),
                        beta=0.0 if is_first else 1.0,
                        scale=scale,
                    )
                is_first = False

    def _chunks(self, x: Address, y: Address) -> Iterator[tuple[int, Address, Address]]:
        """Yield chunks of images: their number, and their addresses in x and y."""
        y_size = self.op.y[1] * self._positions
        for i in range(0, self.op.x[0], self._chunk):
            n = min(self._chunk, self.op.x[0] - i)
            yield (
                n,
                x + i * self._image_size * self._size_bytes,
                y + i * y_size * self._size_bytes,
            )

    def _scratch(self, n: int) -> Address:
        return self.scratch(n * self._columns_size * self._size_bytes, "columns")

    def _im2col(self, image: Address, n: int) -> Address:
        columns, size = self._scratch(n), n * self._columns_size
        sizes = (size, self.op.x[1], *self._numbers)
        self.launch("im2col", size, image, columns, *sizes, value=self.form.value)
        return columns

    def _w(self, w: Address, g: int, dtype: str = "") -> Matrix:
        size_bytes = 4 if dtype else self._size_bytes
        at = w + g * self._filters * self._rows * size_bytes
        return Matrix(at, self._filters, self._rows, dtype or self._dtype)

    def _c(self, columns: Address, g: int) -> Matrix:
        at = columns + g * self._rows * self._positions * self._size_bytes
        return Matrix(at, self._rows, self._positions, self._dtype, step=self._columns_size)

    def _y(self, y: Address, g: int) -> Matrix:
        at = y + g * self._filters * self._positions * self._size_bytes
        step = self.op.y[1] * self._positions
        return Matrix(at, self._filters, self._positions, self._dtype, step=step)


def geometry(
    image: Shape, out: Shape, kernel: Shape, stride: Shape, pad: Shape, dilation: Shape
) -> tuple[int, ...]:
    """Return the arguments GEOMETRY of kernels/_columns.cu."""
    return (
        *(*_three(image, 1), *_three(out, 1), *_three(kernel, 1)),
        *(*_three(stride, 1), *_three(pad, 0), *_three(dilation, 1)),
    )


def _three(sizes: Shape, fill: int) -> Shape:
    """Prepend axes, so that there are three."""
    return (fill,) * (MAX_AXES - len(sizes)) + tuple(sizes)
