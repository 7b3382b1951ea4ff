"""Data: batches from an LMDB or LevelDB database."""

from __future__ import annotations

from minicaffe.data.batch_source import BatchSource
from minicaffe.data.db import printable
from minicaffe.data.image_form import ImageForm, form_in_database
from minicaffe.data.records.base import RecordSource
from minicaffe.data.records.database import DatabaseRecords, ShuffledDatabaseRecords
from minicaffe.layers.batch_layer import ImageBatchLayer
from minicaffe.layers.registry import register
from minicaffe.schema import LayerParameter
from minicaffe.schema.minicaffe_pb2 import DataParameter


@register("Data")
class Data(ImageBatchLayer[DataParameter]):
    """Read images and labels from a database, in the order of its keys, again and again.

    Shapes: -> data (N, C, H, W)[, label (N,)]

    Notes
    -----
    Batches are decoded and transformed ahead of time by a background thread, as transform_param
    sets. With rand_skip, reading starts at a random record among the first rand_skip. With shuffle
    (Intel, NVCaffe, TSN), the records are read in a random order, a new one in each round.
    """

    old_transform_fields = (*ImageBatchLayer.old_transform_fields, "force_encoded_color")
    converts_color = True
    mixes = True

    @classmethod
    def image_form(cls, param: LayerParameter) -> ImageForm:
        """Return the form of the images in the database."""
        proto, transform = param.data_param, param.transform_param
        color = True if transform.force_color else False if transform.force_gray else None
        return form_in_database(proto.source, type(proto).DB.Name(proto.backend), color)

    def open(self) -> BatchSource:
        """Open the database."""
        proto = self.settings
        self.require(proto.source, "data_param { source } is missing: the folder of the database")
        self.require(proto.batch_size > 0, "batch_size is missing or 0; it must be at least 1")
        transformer = self.transformer()
        backend = self.database_kind(proto)
        if proto.shuffle:
            records: RecordSource = ShuffledDatabaseRecords(
                proto.source, backend, transformer.color, self.random
            )
        else:
            records = DatabaseRecords(proto.source, backend, transformer.color)
        return self.batches(records, proto.batch_size, transformer, proto.rand_skip)

    def key_name(self, key: bytes) -> str:
        """Name the database and the key of a sample."""
        return f"key {printable(key)} of {self.settings.source}"
