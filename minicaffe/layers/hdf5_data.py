"""HDF5Data: batches from HDF5 files, with any number of tops."""

from __future__ import annotations

from minicaffe.data.batch_source import BatchSource
from minicaffe.data.batches import RowBatches
from minicaffe.layers.batch_layer import BatchLayer
from minicaffe.layers.registry import register
from minicaffe.schema.minicaffe_pb2 import HDF5DataParameter


@register("HDF5Data")
class HDF5Data(BatchLayer[HDF5DataParameter]):
    """Read batches of rows from HDF5 files, each top from the dataset of its name.

    Shapes: -> x (N, ...)[, x (N, ...) and so on]

    Notes
    -----
    `source` is a text file that names HDF5 files, a path a line. Row i of all datasets of a file is
    one sample; values of any number type become floats. Batches go on across files, and from the
    last file to the first. With shuffle, files and the rows of each file come in a new random order
    in each round. Batches are read ahead of time; one file is held in memory at a time.
    """

    tops = (1, None)

    shared_fields = ("data_param", "transform_param")  # the latter is refused

    def open(self) -> BatchSource:
        """Read the list and the first file."""
        proto = self.settings
        self.require(proto.source, "hdf5_data_param { source } is missing: a list of HDF5 files")
        self.require(proto.batch_size > 0, "batch_size is missing or 0; it must be at least 1")
        self.require(
            not self.param.HasField("transform_param"),
            "HDF5Data does not transform data; remove transform_param and store the values as the "
            "net needs them",
        )
        # h5py is slow to import.
        from minicaffe.data.records.hdf5 import Hdf5Rows

        rows = Hdf5Rows(proto.source, self.param.top, self.random if proto.shuffle else None)
        return RowBatches(rows, self.rows(proto.batch_size))
