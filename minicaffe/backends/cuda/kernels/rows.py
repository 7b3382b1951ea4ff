"""Row lookup by index."""

from __future__ import annotations

import math
from collections.abc import Sequence

from minicaffe.backends.cuda.backend import CudaBackend, CudaKernel, OpT, kernel
from minicaffe.backends.cuda.driver.device import THREADS, Address, Argument
from minicaffe.backends.cuda.kernels._divisor import divisor
from minicaffe.backends.cuda.runtime.format import Format
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.ops.rows import TakeRows


class RowLookup(CudaKernel[OpT]):
    """Base class of lookups: gathers rows, and sums the gradients of each row.

    Parameters
    ----------
    backend : CudaBackend
    op : Op
    numbers : CudaTensor
        Row numbers.
    n_rows, length : int
        Of the table.
    """

    file = "rows"

    def __init__(
        self, backend: CudaBackend, op: OpT, numbers: CudaTensor, n_rows: int, length: int
    ) -> None:
        super().__init__(backend, op)
        self._n = numbers.size
        self._label_error = self.session.label_errors.slot(numbers, "row number", "row")
        self._n_rows, self._length = n_rows, length
        self._per_item = max(math.prod(numbers.shape[1:]), 1)

    def look_up(self, name: str, y: CudaTensor, form: Format, *given: Address) -> None:
        """Overwrite y in a format with the function of this name."""
        to = y.target(form)
        sizes = (y.size, self._n_rows, self._per_item, *divisor(self._length))
        self.launch(name, y.size, *given, to, self._label_error.address, *sizes, value=form.value)

    def sum_rows(
        self,
        name: str,
        given: Sequence[Address],
        form: Format,
        columns_per_block: int,
        *to: Argument,
    ) -> None:
        """Sum the gradients of each row with the function of this name.

        Parameters
        ----------
        name : str
        given : sequence of Address
            The row numbers, then dy in the format.
        form : Format
        columns_per_block : int
            Columns of a block, whose other threads sum in parallel.
        to : arguments
            Further arguments of the function.
        """
        n, across = self._n, -(-self._length // columns_per_block)
        if not n * across:
            return
        numbers, dy = given
        ordered = self.scratch(8 * n, "rows")
        positions = ordered + 4 * n
        sort = self.function("sort", form.value)
        sort(-(-n // THREADS), THREADS, numbers, ordered, positions, n, self._n_rows)
        sums = (dy, ordered, positions, n, self._length, columns_per_block)
        self.function(name, form.value)(n * across, THREADS, *sums, *to)


@kernel(TakeRows)
class CudaTakeRows(RowLookup[TakeRows]):
    """Gather of whole rows in the format of x, whose first axis is first in memory."""

    def __init__(
        self,
        backend: CudaBackend,
        op: TakeRows,
        x: CudaTensor,
        rows: CudaTensor,
        y: CudaTensor,
    ) -> None:
        super().__init__(backend, op, rows, x.shape[0], math.prod(x.shape[1:]))

    def forward(self, x: CudaTensor, rows: CudaTensor, y: CudaTensor) -> None:
        """Overwrite y."""
        form = x.format
        self.look_up("take", y, form, rows.source(), x.source(form))

    def backward(self, rows: CudaTensor, dy: CudaTensor, dx: CudaTensor) -> None:
        """Overwrite dx."""
        form = dy.format
        given = (rows.source(), dy.source(form))
        to = dx.target(form)
        self.device.clear(to, form.size_bytes(dx.shape))
        # Few occurrences per row: most rows are read once or twice.
        self.sum_rows("put_rows", given, form, THREADS, to)
