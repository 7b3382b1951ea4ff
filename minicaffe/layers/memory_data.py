"""MemoryData: batches of arrays that the program provides."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.batch_source import BatchSource
from minicaffe.data.batches import RowBatches
from minicaffe.data.records.arrays import ArrayRows
from minicaffe.distributed.parts import BatchRows
from minicaffe.errors import DataError
from minicaffe.layers.base import Blobs
from minicaffe.layers.batch_layer import BatchLayer
from minicaffe.layers.registry import register
from minicaffe.schema import LayerParameter
from minicaffe.schema.minicaffe_pb2 import MemoryDataParameter, TransformationParameter

Floats = NDArray[np.float32]
# The shape of a label in a batch.
_LABEL = (1, 1, 1)


@register("MemoryData")
class MemoryData(BatchLayer[MemoryDataParameter]):
    """Read batches from arrays that the program provides, again and again.

    Shapes: -> data (N, C, H, W), label (N,), from the first pass on (N, 1, 1, 1)

    Notes
    -----
    `reset` sets the arrays (pycaffe: ``net.set_input_arrays``). They are not copied: the next batch
    has what the program writes into them until then. transform_param is not applied.
    """

    tops = 2
    has_own_source = False
    shared_fields = ("data_param", "transform_param")
    prefetches = False  # the program may write to the arrays until a batch is copied

    @classmethod
    def transformation(cls, param: LayerParameter) -> TransformationParameter:
        """Return nothing: the arrays are not transformed."""
        return TransformationParameter()

    @classmethod
    def unread_settings(cls, param: LayerParameter) -> Iterator[str]:
        """Yield sentences, also about transform_param."""
        yield from super().unread_settings(param)
        if param.HasField("transform_param"):
            yield "MemoryData does not transform the arrays it is given. Remove transform_param."

    def open(self) -> BatchSource:
        """Prepare for arrays, which `reset` gives."""
        proto = self.settings
        self.shape = (proto.batch_size, proto.channels, proto.height, proto.width)
        self.require(
            all(self.shape),
            f"batch_size: {proto.batch_size}, channels: {proto.channels}, height: {proto.height}, "
            f"width: {proto.width}; all four must be given and at least 1",
        )
        self._rows = ArrayRows([self.shape[1:], _LABEL])
        return RowBatches(self._rows, BatchRows(self.shape[0]))

    def shape_tops(self, top: Blobs) -> None:
        """Give the tops the shapes that they have until the first pass, as in Caffe."""
        super().shape_tops(top)
        top[1].reshape(self.shape[:1])

    def reset(self, data: Floats, labels: Floats) -> None:
        """Take the arrays that batches come from, from their first sample on.

        Parameters
        ----------
        data : ndarray, float32, C-contiguous, shape (n, C, H, W)
            n is a multiple of batch_size. Kept, not copied.
        labels : ndarray, float32, C-contiguous, shape (n,) or (n, 1, 1, 1)

        Raises
        ------
        DataError
            If an array is not like that.
        """
        self._check("data", data, self.shape[1:])
        self._check("labels", labels, () if labels.ndim == 1 else _LABEL)
        if len(data) != len(labels):
            raise DataError(
                f"{self.where}: {len(data)} samples and {len(labels)} labels; there must be "
                "equally many"
            )
        if not len(data) or len(data) % self.shape[0]:
            raise DataError(
                f"{self.where}: {len(data)} samples; it must be a multiple of batch_size, "
                f"{self.shape[0]}, and not 0"
            )
        self._rows.set_arrays(data, labels.reshape(-1, *_LABEL))
        self.source.restore(self._rows.position())

    def _check(self, what: str, array: Floats, sample: tuple[int, ...]) -> None:
        if array.dtype != np.float32 or not array.flags.c_contiguous:
            raise DataError(
                f"{self.where}: the {what} are {array.dtype} of shape {array.shape}"
                f"{'' if array.flags.c_contiguous else ', not C-contiguous'}; they must be "
                f"C-contiguous float32. Use np.ascontiguousarray({what}, np.float32)"
            )
        if array.shape[1:] != sample or not array.ndim:
            wanted = ", ".join(["n", *map(str, sample)])
            raise DataError(
                f"{self.where}: the {what} have shape {array.shape}; it must be ({wanted}), as "
                "memory_data_param says"
            )
