"""Blobs: named tensors for the data between layers and for parameters, with their gradients."""

from __future__ import annotations

import math
from weakref import ReferenceType, ref

from minicaffe.errors import SizeError
from minicaffe.ops.backend import Backend, NetChanges, Shape, Tensor
from minicaffe.ops.layout import Copy, CopyKernel

# Caffe's limits: counts are of type int, and a blob has up to 32 axes.
MOST_VALUES = 2**31 - 1
MOST_AXES = 32


def check_shape(shape: Shape, subject: str) -> None:
    """Raise a SizeError that begins with `subject`, unless a blob can have the shape."""
    if shape and min(shape) < 0:
        raise SizeError(f"{subject} has shape {shape}; the sizes must not be negative")
    if len(shape) > MOST_AXES:
        raise SizeError(f"{subject} has {len(shape)} axes; at most {MOST_AXES} are possible")
    if (count := math.prod(shape)) > MOST_VALUES:
        raise SizeError(
            f"{subject} has shape {shape}, which is {count} values; at most {MOST_VALUES} "
            "(2^31 - 1) are possible. Make the sizes that it is computed from smaller."
        )


class Blob:
    """Values and their gradient, of one shape; memory is allocated at the first access.

    Parameters
    ----------
    backend : Backend
        Allocates the tensors.
    name : str
        The name in the prototxt, for messages.
    shape : tuple of int
        May be (): a single value, for example a loss.
    changes : NetChanges, optional
        Of the net; counts changes of the shape.
    """

    def __init__(
        self,
        backend: Backend,
        name: str = "",
        shape: Shape = (),
        changes: NetChanges | None = None,
    ) -> None:
        check_shape(shape, f'blob "{name}"')
        self._backend = backend
        self.name = name
        self._shape, self._changes = shape, changes
        self._data: Tensor | None = None
        self._diff: Tensor | None = None
        self._data_owner: Blob | None = None
        # Weak, because two blobs may own one another's values and gradient (Flatten).
        self._diff_owner: ReferenceType[Blob] | None = None
        self._is_diff_view = False

    @property
    def backend(self) -> Backend:
        """The backend that allocates the tensors."""
        return self._backend

    @property
    def shape(self) -> Shape:
        """Sizes of the axes."""
        return self._shape

    @property
    def count(self) -> int:
        """Number of values."""
        return math.prod(self._shape)

    @property
    def data(self) -> Tensor:
        """The values."""
        if self._data is None:
            self._data = self._backend.tensor(self._shape)
        return self._data

    @property
    def diff(self) -> Tensor:
        """The gradient of the loss with respect to the values, of the same shape."""
        if self._diff is None:
            self._diff = self._backend.gradient(self._shape)
        return self._diff

    @property
    def data_owner(self) -> Blob:
        """The blob that owns the values: itself, or the argument of `share_data`."""
        return self._data_owner or self

    @property
    def diff_owner(self) -> Blob:
        """The blob that owns the gradient: itself, or the argument of `share_diff`."""
        owner = self._diff_owner and self._diff_owner()
        return owner.diff_owner if owner else self

    def reshape(self, shape: Shape) -> None:
        """Change the shape; values are preserved if memory suffices.

        A view of another blob's tensor is dropped, because its memory must not change with it; its
        maker shares again.

        Raises
        ------
        SizeError
            If no blob can have this shape.
        """
        if shape == self._shape:
            return
        check_shape(shape, f'blob "{self.name}"')
        self._shape = shape
        if self._changes is not None:
            self._changes.count += 1
        if self._data_owner is not None and self._data is not self._data_owner._data:
            self._data = None
        if self._is_diff_view:
            self._diff, self._is_diff_view = None, False
        for tensor in (self._data, self._diff):
            if tensor is not None:
                tensor.reshape(shape)

    def share_data(self, other: Blob) -> None:
        """Use the values of `other`, under this blob's shape if that differs."""
        same = other.shape == self._shape
        self._data_owner = other.data_owner
        self._data = other.data if same else other.data.view(self._shape)

    def share_diff(self, other: Blob) -> None:
        """Use the gradient of `other`, under this blob's shape if that differs."""
        same = other.shape == self._shape
        self._diff_owner = ref(other)
        self._diff = other.diff if same else other.diff.view(self._shape)
        self._is_diff_view = not same

    def shape_text(self) -> str:
        """Return the shape as Caffe's log writes it: ``64 1 28 28 (50176)``."""
        return "".join(f"{size} " for size in self._shape) + f"({self.count})"

    def __repr__(self) -> str:
        return f"Blob({self.name!r}, {self._shape})"


class KeptBlob(Blob):
    """The gradient of a blob, with values that no later layer overwrites.

    Parameters
    ----------
    blob : Blob
        The blob that a later layer overwrites.
    holder : Blob, optional
        A blob that holds values that serve as well; by default the values are copied.
    """

    def __init__(self, blob: Blob, holder: Blob | None = None) -> None:
        super().__init__(blob.backend, blob.name, blob.shape)
        self._blob, self._holder = blob, holder
        self._kernel: CopyKernel | None = None

    @property
    def data(self) -> Tensor:
        """The kept values."""
        return super().data if self._holder is None else self._holder.data

    @property
    def diff(self) -> Tensor:
        """The gradient of the blob itself."""
        return self._blob.diff

    def follow_shape(self) -> None:
        """Take the present shape of the blob, and plan the copy."""
        self.reshape(self._blob.shape)
        if self._holder is None:
            self._kernel = self.backend.plan(Copy(), self._blob.data, self.data)

    def keep(self) -> None:
        """Copy the present values of the blob."""
        if self._kernel is not None:
            self._kernel.forward(self._blob.data, self.data)
