"""Local response normalisation in the format of x; nothing is saved for backward."""

from __future__ import annotations

import math

from minicaffe.backends.cuda.backend import CudaBackend, CudaKernel, kernel
from minicaffe.backends.cuda.driver.device import THREADS, Address
from minicaffe.backends.cuda.kernels._divisor import divisor
from minicaffe.backends.cuda.runtime.format import Format
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.errors import Unsupported
from minicaffe.ops.lrn import Lrn

# As in kernels/lrn.cu.
SIDE = 32
# A tile of the gradient with a larger halo exceeds 48 KiB of shared memory.
MAX_REACH = 45


@kernel(Lrn)
class CudaLrn(CudaKernel[Lrn]):
    """Across channels by tiles in shared memory, within channels by windows."""

    file = "lrn"

    def __init__(self, backend: CudaBackend, op: Lrn, x: CudaTensor, y: CudaTensor) -> None:
        super().__init__(backend, op)
        reach = op.local_size // 2
        if op.region == "across" and reach > MAX_REACH:
            raise Unsupported(f"LRN across {op.local_size} channels has no kernel for GPUs")
        self.defines = (f"REACH={reach}",)
        self._shape, self._size = x.shape, x.size
        window = op.local_size if op.region == "across" else op.local_size**2
        self._factor = op.alpha / window

    def forward(self, x: CudaTensor, y: CudaTensor) -> None:
        """Overwrite y."""
        form, op = x.format, self.op
        addresses = x.source(form), y.target(form)
        if op.region == "across":
            self._across("across_forward", form, addresses)
            return
        numbers = (self._factor, op.k, op.beta)
        dimensions = self._dimensions(form)
        self.launch("within_forward", x.size, *addresses, *dimensions, *numbers, value=form.value)

    def backward(self, x: CudaTensor, dy: CudaTensor, dx: CudaTensor) -> None:
        """Overwrite dx."""
        form, op = x.format, self.op
        values, given, to = x.source(form), dy.source(form), dx.target(form)
        if dx is dy:
            size_bytes = form.size_bytes(self._shape)
            copy = self.scratch(max(size_bytes, 4), "lrn gradient")
            self.device.copy(given, copy, size_bytes)
            given = copy
        if op.region == "across":
            self._across("across_backward", form, (values, given, to))
            return
        shares = self.scratch(max(4 * x.size, 4), "lrn shares")
        powers = self.scratch(max(4 * x.size, 4), "lrn powers")
        dimensions = self._dimensions(form)
        self.launch(
            "within_shares",
            x.size,
            *(values, given, shares, powers, *dimensions, self._factor, op.k, op.beta),
            value=form.value,
        )
        self.launch(
            "within_backward",
            x.size,
            *(values, given, shares, powers, to, *dimensions, self._factor, op.beta),
            value=form.value,
        )

    def _across(self, name: str, form: Format, addresses: tuple[Address, ...]) -> None:
        images, channels, pixels = *self._shape[:2], math.prod(self._shape[2:])
        if not self._size:
            return
        grid = (images * -(-pixels // SIDE), -(-channels // SIDE))
        numbers = (self._factor, self.op.k, self.op.beta)
        self.function(name, form.value)(
            grid, THREADS, *addresses, channels, pixels, int(form.channels_last), *numbers
        )

    def _dimensions(self, form: Format) -> tuple[int, ...]:
        """Return the number of values and the kernel arguments DIMENSIONS."""
        channels, rows, columns = map(divisor, self._shape[1:])
        return (self._size, *channels, *rows, *columns, int(form.channels_last))
