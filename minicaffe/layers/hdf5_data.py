"""HDF5Data: batches from HDF5 files, as many tops as one likes."""

from __future__ import annotations

from minicaffe.errors import DataError
from minicaffe.layers.base import Blobs, Layer, State
from minicaffe.layers.registry import register
from minicaffe.random import RandomStream


@register("HDF5Data")
class HDF5Data(Layer):
    """Read batches of rows from HDF5 files, each top from the dataset of its name.

    Shapes: -> x (N, ...)[, x (N, ...) and so on]

    Notes
    -----
    `source` is a text file that names HDF5 files, a path a line. Row i of all datasets of a file is
    one sample; values of any number type become floats. Batches go on across files, and from the
    last file to the first. With shuffle, files and the rows of each file come in a new random order
    in each round. One file is held in memory at a time.
    """

    param_field = "hdf5_data_param"
    bottoms = 0
    tops = (1, None)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Open the first file and give the tops the shapes of a batch."""
        proto = self.settings
        self.require(proto.source, "hdf5_data_param { source } is missing: a list of HDF5 files")
        self.require(proto.batch_size > 0, "batch_size is missing or 0; it must be at least 1")
        self.require(
            not self.param.HasField("transform_param"),
            "HDF5Data does not transform data; remove transform_param and store the values as the "
            "net needs them",
        )
        self.random = RandomStream(self.context.seed, f"{self.name}/data")
        # h5py is slow to import.
        from minicaffe.data.records.hdf5 import Hdf5Batches

        try:
            self.source = Hdf5Batches(
                proto.source, self.param.top, proto.batch_size, self.random, proto.shuffle
            )
        except DataError as error:
            raise DataError(f"{self.where}: {error}") from error
        for blob, shape in zip(top, self.source.shapes, strict=True):
            blob.reshape(shape)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Keep the shapes."""

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Hand out the next batch."""
        try:
            batch = self.source.next()
        except DataError as error:
            raise DataError(f"{self.where}: {error}") from error
        for blob, values in zip(top, batch, strict=True):
            blob.data.set(values)

    def state(self) -> State:
        """Return the position after the last batch, and the seed of the order."""
        return {"seed": self.random.seed, "position": self.source.position()}

    def restore(self, state: State) -> None:
        """Go on from a position."""
        self.random.seed = state["seed"]
        self.source.restore(state["position"])
