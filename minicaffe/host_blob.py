"""Blobs as Python programs see them: NumPy views that are always live.

pycaffe programs and Python layers work on these. `minicaffe.blob.Blob` is what layers and backends
work on; here its tensors appear as arrays of the host, whatever the backend does with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from minicaffe.blob import Blob
from minicaffe.errors import BackendUnavailable, ShapeError
from minicaffe.ops.backend import HostArray, Shape, Tensor

if TYPE_CHECKING:
    from minicaffe.layers import Layer

_LEGACY_AXES = 4


class HostBlob:
    """Values and gradient of a blob, as NumPy arrays.

    Write with ``blob.data[...] = values``: the next forward pass reads what was written. The
    arrays are views, so a later pass changes what they show; copy what is to be kept.
    """

    def __init__(self, blob: Blob) -> None:
        self._blob = blob

    @property
    def data(self) -> HostArray:
        """The values, float32, live."""
        return self._blob.data.host()

    @property
    def diff(self) -> HostArray:
        """The gradient of the loss with respect to the values, float32, live."""
        return self._blob.diff.host()

    @property
    def shape(self) -> Shape:
        """Sizes of the axes."""
        return self._blob.shape

    @property
    def count(self) -> int:
        """Number of values."""
        return self._blob.count

    @property
    def num(self) -> int:
        """Size of axis 0, 1 if there is none (at most four axes)."""
        return self._legacy(0)

    @property
    def channels(self) -> int:
        """Size of axis 1, 1 if there is none (at most four axes)."""
        return self._legacy(1)

    @property
    def height(self) -> int:
        """Size of axis 2, 1 if there is none (at most four axes)."""
        return self._legacy(2)

    @property
    def width(self) -> int:
        """Size of axis 3, 1 if there is none (at most four axes)."""
        return self._legacy(3)

    def reshape(self, *dims: int) -> None:
        """Change the shape; layers that read the blob follow at the next forward pass.

        Raises
        ------
        ShapeError
            If a size is negative.
        """
        shape = tuple(int(size) for size in dims)
        if any(size < 0 for size in shape):
            raise ShapeError(
                f'blob "{self._blob.name}": cannot reshape to {shape}; sizes must not be negative'
            )
        self._blob.reshape(shape)

    @property
    def _gpu_data_ptr(self) -> int:
        return self._pointer(self._blob.data)

    @property
    def _gpu_diff_ptr(self) -> int:
        return self._pointer(self._blob.diff)

    def _pointer(self, tensor: Tensor) -> int:
        array = tensor.update()
        if not hasattr(array, "__cuda_array_interface__"):
            raise BackendUnavailable(
                f'blob "{self._blob.name}" is in main memory and has no GPU address; '
                "call caffe.set_mode_gpu() before the net is made"
            )
        return int(array.__cuda_array_interface__["data"][0])

    def _legacy(self, axis: int) -> int:
        if len(self.shape) > _LEGACY_AXES:
            raise ShapeError(
                f'blob "{self._blob.name}" of shape {self.shape} has more than four axes; '
                "num, channels, height and width are for four at most. Use shape"
            )
        return self.shape[axis] if axis < len(self.shape) else 1

    def __repr__(self) -> str:
        return f"Blob({self._blob.name!r}, shape={self.shape})"


class BlobVec(Sequence[HostBlob]):
    """The parameters of one layer.

    Parameters
    ----------
    layer : Layer
        Whose parameters are shown; always those that it has now.
    """

    def __init__(self, layer: Layer) -> None:
        self._layer = layer

    def add_blob(self, *dims: int) -> None:
        """Add a parameter of this shape, filled with zeros: for `setup` of a Python layer."""
        index = len(self._layer.blobs)
        blob = Blob(self._layer.context.backend, f"{self._layer.name}[{index}]")
        HostBlob(blob).reshape(*dims)
        self._layer.blobs.append(blob)
        self._layer.param_needs_diff.append(True)

    @overload
    def __getitem__(self, index: int) -> HostBlob: ...
    @overload
    def __getitem__(self, index: slice) -> list[HostBlob]: ...
    def __getitem__(self, index: int | slice) -> HostBlob | list[HostBlob]:
        if isinstance(index, slice):
            return host_blobs(self._layer.blobs[index])
        return HostBlob(self._layer.blobs[index])

    def __len__(self) -> int:
        return len(self._layer.blobs)

    def __iter__(self) -> Iterator[HostBlob]:
        return iter(host_blobs(self._layer.blobs))

    def __repr__(self) -> str:
        return f"BlobVec({[blob.shape for blob in self._layer.blobs]})"


def host_blobs(blobs: Iterable[Blob]) -> list[HostBlob]:
    """Return the blobs as Python programs see them."""
    return [HostBlob(blob) for blob in blobs]


def core_blobs(blobs: Iterable[Any]) -> list[Blob]:
    """Return the blobs behind those that a Python program holds."""
    return [blob._blob for blob in blobs]
