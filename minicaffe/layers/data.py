"""Data: batches from an LMDB or LevelDB database."""

from __future__ import annotations

from minicaffe.data.batches import BatchSource, DatabaseBatches
from minicaffe.data.db import printable
from minicaffe.layers.batch_layer import BatchLayer
from minicaffe.layers.registry import register
from minicaffe.schema.minicaffe_pb2 import DataParameter


@register("Data")
class Data(BatchLayer[DataParameter]):
    """Read pictures and labels from a database, in the order of its keys, again and again.

    Shapes: -> data (N, C, H, W)[, label (N,)]

    Notes
    -----
    Batches are decoded and transformed ahead of time by a background thread. transform_param says
    what is done to the pictures; rand_skip starts somewhere behind the first record.
    """

    def open(self) -> BatchSource:
        """Open the database."""
        proto = self.settings
        self.require(proto.source, "data_param { source } is missing: the folder of the database")
        self.require(proto.batch_size > 0, "batch_size is missing or 0; it must be at least 1")
        backend = type(proto).DB.Name(proto.backend)
        return DatabaseBatches(
            proto.source,
            backend,
            proto.batch_size,
            self.transformer(),
            self.random,
            rand_skip=proto.rand_skip,
            threads=self.context.backend.data_threads,
        )

    def key_name(self, key: bytes) -> str:
        """Name the database and the key of a sample."""
        return f"key {printable(key)} of {self.settings.source}"
