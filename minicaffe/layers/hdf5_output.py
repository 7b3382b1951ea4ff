"""HDF5Output: write blobs to an HDF5 file."""

from __future__ import annotations

from minicaffe.errors import DataError
from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.schema import LayerParameter
from minicaffe.schema.minicaffe_pb2 import HDF5OutputParameter

_DATASETS = ("data", "label")
# Caffe wrote blobs as its four-dimensional ones, and readers of its files expect that.
_LEGACY_AXES = 4


@register("HDF5Output")
class HDF5Output(Layer[HDF5OutputParameter]):
    """Write two blobs to an HDF5 file, as the datasets "data" and "label".

    Shapes: x (N, ...), label (N, ...) ->

    Notes
    -----
    The file appears, and replaces an existing one, when the net is closed: at the end of a command,
    also of one that Ctrl-C or an error ends, with the batches computed so far; in pycaffe when the
    net is freed (``del net``) or the program ends. A killed process leaves an existing file as it
    is. Shapes with fewer than four axes are filled up with ones.

    Differs from Caffe: every forward pass adds its rows to the datasets; Caffe failed at the second
    one, because the datasets existed already. Caffe wrote into the file itself, which a killed
    process left unreadable.
    """

    role = "output"
    bottoms = 2
    tops = 0
    without_gradient = (0, 1)

    @classmethod
    def deployed(cls, param: LayerParameter) -> None:
        """Return None: it writes a file."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Create the temporary file."""
        path = self.settings.file_name
        self.require(path, "hdf5_output_param { file_name } is missing: the file to write")
        # h5py is slow to import.
        from minicaffe.data.hdf5_writer import Hdf5Writer

        try:
            self.writer = Hdf5Writer(path)
        except DataError as error:
            raise DataError(f"{self.where}: {error}") from error

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check that both bottoms hold as many samples."""
        first, second = (blob.shape for blob in bottom)
        self.require_shape(
            first and second and first[0] == second[0],
            f'bottoms "{bottom[0].name}" of shape {first} and "{bottom[1].name}" of shape '
            f"{second}; both must have samples along the first axis, equally many",
        )

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Add the bottoms' rows to the file."""
        try:
            for name, blob in zip(_DATASETS, bottom, strict=True):
                values = blob.data.get()
                missing = (1,) * (_LEGACY_AXES - values.ndim)
                self.writer.append(name, values.reshape(values.shape + missing))
            self.writer.flush()
        except DataError as error:
            raise DataError(f"{self.where}: {error}") from error

    def close(self) -> None:
        """Finish the file, if there is one: `setup` may have failed."""
        if writer := getattr(self, "writer", None):
            try:
                writer.close()
            except DataError as error:
                raise DataError(f"{self.where}: {error}") from error
