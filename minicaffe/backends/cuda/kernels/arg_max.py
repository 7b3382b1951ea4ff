"""The k largest elements of rows; along the channels in the memory order of x."""

from __future__ import annotations

from minicaffe.backends.cuda.backend import CudaBackend, kernel
from minicaffe.backends.cuda.driver.device import THREADS
from minicaffe.backends.cuda.kernels.softmax import Rows, RowsKernel
from minicaffe.backends.cuda.runtime.format import Format
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.ops.arg_max import ArgMax


@kernel(ArgMax)
class CudaArgMax(RowsKernel[ArgMax]):
    """Indices, values, or both, as float, because an index may exceed a 16-bit type."""

    file = "arg_max"

    def __init__(self, backend: CudaBackend, op: ArgMax, *tensors: CudaTensor) -> None:
        super().__init__(backend, op)
        self._has = (int(op.axis is None or not op.values), int(op.values))

    def forward(self, x: CudaTensor, y: CudaTensor) -> None:
        """Overwrite y."""
        axis = self.op.axis
        if axis is None:
            # Indices refer to C order.
            form = Format(False, x.format.value)
            rows = Rows(x.shape[0], x.size // max(x.shape[0], 1), 1)
        else:
            form = Rows.order(x, axis)
            rows = Rows.of(x.shape, axis, form)
        n = -(-rows.n_rows // self.use_team(rows)) * THREADS
        given, to = x.source(form), y.target(Format(form.channels_last))
        self.launch(
            "arg_max", n, given, to, *rows.args, self.op.top_k, *self._has, value=form.value
        )
