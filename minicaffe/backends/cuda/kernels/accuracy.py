"""Top-k accuracy from integer counts."""

from __future__ import annotations

from minicaffe.backends.cuda.backend import CudaBackend, kernel
from minicaffe.backends.cuda.driver.device import THREADS
from minicaffe.backends.cuda.kernels._channel_sums import NULL
from minicaffe.backends.cuda.kernels.softmax import Rows, RowsKernel, label_arguments
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.ops.accuracy import Accuracy


@kernel(Accuracy)
class CudaAccuracy(RowsKernel[Accuracy]):
    """Top-k accuracy."""

    def __init__(self, backend: CudaBackend, op: Accuracy, *tensors: CudaTensor) -> None:
        super().__init__(backend, op)
        self._label_error = self.session.label_errors.slot(tensors[1])
        self._counts = self.device.allocate(4 * (3 + 2 * tensors[0].shape[op.axis]))

    def forward(
        self,
        x: CudaTensor,
        labels: CudaTensor,
        accuracy: CudaTensor,
        per_class: CudaTensor | None = None,
    ) -> None:
        """Overwrite accuracy and per_class."""
        form = Rows.order(x, self.op.axis)
        rows = Rows.of(x.shape, self.op.axis, form)
        given, labelled = x.source(form), label_arguments(self.op, labels, x.shape)
        to = accuracy.target()
        to_each = NULL if per_class is None else per_class.target()
        self.device.clear(self._counts.address, self._counts.size_bytes)
        self.launch(
            "accuracy",
            -(-rows.n_rows // self.use_team(rows)) * THREADS,
            *(given, self._counts.address, self._label_error.address, *labelled, *rows.args),
            *(self.op.top_k, int(per_class is not None)),
            value=form.value,
        )
        self.launch("shares", rows.classes, self._counts.address, to, to_each, rows.classes)
