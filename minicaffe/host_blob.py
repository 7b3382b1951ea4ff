"""Blobs as Python programs see them: NumPy views that are always live.

pycaffe programs and Python layers work on these. `minicaffe.blob.Blob` is what layers and backends
work on; here its tensors appear as arrays of the host, whatever the backend does with them.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from minicaffe.blob import Blob
from minicaffe.errors import BackendUnavailable, ShapeError
from minicaffe.ops.backend import Array, HostArray, Shape, Tensor

if TYPE_CHECKING:
    from minicaffe.layers import Layer

_LEGACY_AXES = 4


class HostBlob:
    """Values and gradient of a blob, as NumPy arrays.

    Write with ``blob.data[...] = values``: the next forward pass reads what was written. The
    arrays are views, so a later pass changes what they show; copy what is to be kept.

    On a GPU they are copies in main memory, as Caffe's are: asking for `data` or `diff` fetches
    what the GPU has computed since, and what is then written goes back before the GPU's next use of
    the blob. Ask again after each pass; an array from before it shows old values, and what is
    written to it is lost.
    `gpu_data` and `gpu_diff` are the arrays on the GPU. The blob itself can be given to
    whatever takes arrays by DLPack or ``__cuda_array_interface__``, which stand for its values:
    ``torch.from_dlpack(blob)``, ``cupy.asarray(blob)`` share its memory.
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
    def gpu_data(self) -> Array:
        """The values, float32, as an array on the GPU (CuPy's) that may be written to.

        It shares the blob's memory until a pass writes the blob or its shape changes; ask again
        then. Work on another CUDA stream than CuPy's current one must be done
        (``torch.cuda.synchronize()``) before the next pass.

        Raises
        ------
        BackendUnavailable
            If the blob is in main memory.
        """
        return self._on_gpu(self._blob.data)

    @property
    def gpu_diff(self) -> Array:
        """The gradient on the GPU, as `gpu_data` is the values."""
        return self._on_gpu(self._blob.diff)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        # hasattr() asks, and must be told no instead of stopped.
        try:
            interface: dict[str, Any] = self.gpu_data.__cuda_array_interface__
        except BackendUnavailable as error:
            raise AttributeError(str(error)) from None
        return interface

    def __dlpack__(self, **options: Any) -> Any:
        """Return the values as a DLPack capsule, wherever they are."""
        return self._exchanged().__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        """Return DLPack's type and number of the device that has the values."""
        device: tuple[int, int] = self._exchanged().__dlpack_device__()
        return device

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
        TypeError
            If a size is no number.
        """
        if any(isinstance(size, Iterable) for size in dims):
            raise TypeError(
                f'blob "{self._blob.name}": reshape takes sizes, not a sequence of them; '
                "write reshape(*shape)"
            )
        shape = tuple(int(size) for size in dims)
        if any(size < 0 for size in shape):
            raise ShapeError(
                f'blob "{self._blob.name}": cannot reshape to {shape}; sizes must not be negative'
            )
        self._blob.reshape(shape)

    @property
    def _gpu_data_ptr(self) -> int:
        return int(self.gpu_data.__cuda_array_interface__["data"][0])

    @property
    def _gpu_diff_ptr(self) -> int:
        return int(self.gpu_diff.__cuda_array_interface__["data"][0])

    @property
    def _is_on_gpu(self) -> bool:
        return self._blob.backend.free_bytes() is not None

    def _on_gpu(self, tensor: Tensor) -> Array:
        if not self._is_on_gpu:
            raise BackendUnavailable(
                f'blob "{self._blob.name}" is in main memory and has no GPU address; '
                "call caffe.set_mode_gpu() before the net is made"
            )
        array = tensor.update()
        # Whoever gets it may use it on any stream.
        self._blob.backend.synchronize()
        return array

    def _exchanged(self) -> Any:
        return self.gpu_data if self._is_on_gpu else self.data

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
        # A Python layer's user object has this attribute, and the layer has the user object. The
        # parameters may be used longer than the layer exists.
        self._layer, self._blobs = weakref.proxy(layer), layer.blobs

    def add_blob(self, *dims: int) -> None:
        """Add a parameter of this shape, filled with zeros: for `setup` of a Python layer."""
        index = len(self._blobs)
        blob = Blob(self._layer.context.backend, f"{self._layer.name}[{index}]")
        HostBlob(blob).reshape(*dims)
        self._blobs.append(blob)
        self._layer.param_needs_diff.append(True)

    @overload
    def __getitem__(self, index: int) -> HostBlob: ...
    @overload
    def __getitem__(self, index: slice) -> list[HostBlob]: ...
    def __getitem__(self, index: int | slice) -> HostBlob | list[HostBlob]:
        if isinstance(index, slice):
            return host_blobs(self._blobs[index])
        return HostBlob(self._blobs[index])

    def __len__(self) -> int:
        return len(self._blobs)

    def __iter__(self) -> Iterator[HostBlob]:
        return iter(host_blobs(self._blobs))

    def __repr__(self) -> str:
        return f"BlobVec({[blob.shape for blob in self._blobs]})"


def host_blobs(blobs: Iterable[Blob]) -> list[HostBlob]:
    """Return the blobs as Python programs see them."""
    return [HostBlob(blob) for blob in blobs]


def core_blobs(blobs: Iterable[Any]) -> list[Blob]:
    """Return the blobs behind those that a Python program holds."""
    return [blob._blob for blob in blobs]
