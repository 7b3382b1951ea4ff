"""NumPy views of blobs for pycaffe programs and Python layers.

The views are live: they share the memory of a `minicaffe.blob.Blob`, on which layers and backends
work. On every backend its tensors appear here as arrays in host memory.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import NoReturn, overload

from minicaffe.blob import Blob
from minicaffe.errors import BackendUnavailable, ShapeError
from minicaffe.layers.base import Layer
from minicaffe.ops.backend import Array, HostArray, Shape, Tensor

_LEGACY_AXES = 4


class HostBlob:
    """Data and diff of a blob as NumPy arrays.

    Write with ``blob.data[...] = values``; the next forward pass reads the new values. The arrays
    are views, so the next pass changes them; copy values that are needed afterwards.

    On a GPU the arrays are copies in host memory, as in Caffe. Reading `data` or `diff` copies the
    current values from the GPU, and values written to the array are uploaded before the GPU uses
    the blob again. Read the attribute again after each pass: an older array holds old values, and
    values written to it are lost.
    `gpu_data` and `gpu_diff` are the arrays on the GPU. The blob itself supports DLPack and
    ``__cuda_array_interface__``, which export its data: ``torch.from_dlpack(blob)`` and
    ``cupy.asarray(blob)`` share its memory.
    """

    def __init__(self, blob: Blob) -> None:
        self._blob = blob

    @property
    def data(self) -> HostArray:
        """The values: float32, a live view."""
        return self._blob.data.host()

    @data.setter
    def data(self, values: object) -> None:
        raise AttributeError(self._instead("data = x", "data[...] = x"))

    @property
    def diff(self) -> HostArray:
        """The gradient of the loss with respect to the values: float32, a live view."""
        return self._blob.diff.host()

    @diff.setter
    def diff(self, values: object) -> None:
        raise AttributeError(self._instead("diff = x", "diff[...] = x"))

    @property
    def gpu_data(self) -> Array:
        """The values as a writable CuPy array on the GPU, float32.

        The array shares the blob's memory until a pass writes the blob or its shape changes; read
        the attribute again then. Work on a CUDA stream other than CuPy's current one must be
        finished (``torch.cuda.synchronize()``) before the next pass.

        Raises
        ------
        BackendUnavailable
            If the blob is in host memory.
        """
        return self._on_gpu(self._blob.data)

    @property
    def gpu_diff(self) -> Array:
        """The gradient as a writable CuPy array on the GPU; see `gpu_data`."""
        return self._on_gpu(self._blob.diff)

    @property
    def __cuda_array_interface__(self) -> dict[str, object]:
        # hasattr() returns False for an AttributeError only; other errors would pass through it.
        try:
            interface: dict[str, object] = self.gpu_data.__cuda_array_interface__
        except BackendUnavailable as error:
            raise AttributeError(str(error)) from None
        return interface

    def __dlpack__(self, **options: object) -> object:
        """Return the values as a DLPack capsule, on the device that holds them."""
        capsule: object = self._exported().__dlpack__(**options)
        return capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        """Return DLPack's type and number of the device that holds the values."""
        device: tuple[int, int] = self._exported().__dlpack_device__()
        return device

    @property
    def shape(self) -> Shape:
        """Sizes of the axes."""
        return self._blob.shape

    @shape.setter
    def shape(self, sizes: object) -> None:
        raise AttributeError(self._instead("shape = x", "reshape(*x)"))

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
        """Change the shape; layers that read the blob are reshaped by the next forward pass.

        Raises
        ------
        ShapeError
            If a size is negative.
        TypeError
            If a size is not a number.
        """
        self._blob.reshape(_shape_of(self._blob.name, dims))

    @property
    def _gpu_data_ptr(self) -> int:
        return int(self.gpu_data.__cuda_array_interface__["data"][0])

    @property
    def _gpu_diff_ptr(self) -> int:
        return int(self.gpu_diff.__cuda_array_interface__["data"][0])

    @property
    def _is_on_gpu(self) -> bool:
        return self._blob.backend.free_bytes() is not None

    def __getitem__(self, key: object) -> NoReturn:
        raise TypeError(f'blob "{self._blob.name}" has no elements; write blob.data[...]')

    def __setitem__(self, key: object, values: object) -> None:
        raise TypeError(f'blob "{self._blob.name}" has no elements; write blob.data[...] = x')

    __iter__ = None  # because of __getitem__

    def _instead(self, wrong: str, right: str) -> str:
        return (
            f'blob "{self._blob.name}": .{wrong} is not possible, because the net owns the memory; '
            f"write .{right}"
        )

    def _on_gpu(self, tensor: Tensor) -> Array:
        if not self._is_on_gpu:
            raise BackendUnavailable(
                f'blob "{self._blob.name}" is in main memory and has no GPU address; '
                "call caffe.set_mode_gpu() before creating the net"
            )
        array = tensor.update()
        # The caller may use the array on any stream.
        self._blob.backend.synchronize()
        return array

    def _exported(self) -> Array:
        return self.gpu_data if self._is_on_gpu else self.data

    def _legacy(self, axis: int) -> int:
        if len(self.shape) > _LEGACY_AXES:
            raise ShapeError(
                f'blob "{self._blob.name}" of shape {self.shape} has more than four axes; '
                "num, channels, height and width exist for at most four. Use shape"
            )
        return self.shape[axis] if axis < len(self.shape) else 1

    def __repr__(self) -> str:
        return f"Blob({self._blob.name!r}, shape={self.shape})"


class BlobVec(Sequence[HostBlob]):
    """The parameters of one layer as a live sequence.

    Parameters
    ----------
    layer : Layer
        The layer; parameters that are added to it later appear in the sequence.
    """

    def __init__(self, layer: Layer) -> None:
        # A Python layer's user object has this attribute, and the layer has the user object. The
        # parameters may be used longer than the layer exists.
        self._layer, self._blobs = weakref.proxy(layer), layer.blobs

    def add_blob(self, *dims: int) -> None:
        """Add a parameter of this shape, filled with zeros; call it in `setup` of a Python layer.

        Raises
        ------
        ShapeError
            If a size is negative.
        TypeError
            If a size is not a number.
        """
        self._layer.add_parameter(_shape_of(f"{self._layer.name}[{len(self)}]", dims))

    @overload
    def __getitem__(self, index: int) -> HostBlob: ...
    @overload
    def __getitem__(self, index: slice) -> list[HostBlob]: ...
    def __getitem__(self, index: int | slice) -> HostBlob | list[HostBlob]:
        if isinstance(index, slice):
            return host_blobs(self._blobs[index])
        return HostBlob(self._blobs[index])

    def __setitem__(self, index: object, values: object) -> None:
        raise TypeError(
            f"a parameter cannot be replaced; write {self._text()}[{index}].data[...] = x to set "
            "its values"
        )

    def _text(self) -> str:
        try:
            return f'params["{self._layer.name}"]'
        except ReferenceError:  # the layer exists no more
            return "params[...]"

    def __getattr__(self, name: str) -> NoReturn:
        if name in ("data", "diff", "shape", "count", "reshape"):
            raise AttributeError(
                f"{self._text()} is a list of blobs; write {self._text()}[0].{name} for the "
                f"weights, [1].{name} for the bias"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __len__(self) -> int:
        return len(self._blobs)

    def __iter__(self) -> Iterator[HostBlob]:
        return iter(host_blobs(self._blobs))

    def __repr__(self) -> str:
        return f"BlobVec({[blob.shape for blob in self._blobs]})"


def host_blobs(blobs: Iterable[Blob]) -> list[HostBlob]:
    """Return NumPy views of the blobs."""
    return [HostBlob(blob) for blob in blobs]


def core_blobs(blobs: Iterable[HostBlob]) -> list[Blob]:
    """Return the blobs that the views share."""
    return [blob._blob for blob in blobs]


def _shape_of(blob: str, dims: Iterable[int]) -> Shape:
    """Return the sizes as a shape, or raise an error that names the blob."""
    if any(isinstance(size, Iterable) for size in dims):
        raise TypeError(
            f'blob "{blob}": reshape takes sizes, not a sequence of them; write reshape(*shape)'
        )
    shape = tuple(int(size) for size in dims)
    if any(size < 0 for size in shape):
        raise ShapeError(f'blob "{blob}": cannot reshape to {shape}; sizes must not be negative')
    return shape
