"""Memory that tensors share: views of one another, or tensors used at different times."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minicaffe.backends.cuda.device import Device, Memory
from minicaffe.ops.backend import HostArray

if TYPE_CHECKING:
    from minicaffe.backends.cuda.tensor import CudaTensor


class Lease:
    """Memories that several tensors use at different times, each in the order of its own needs."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._memories: list[Memory] = []
        # What the largest tensor needs, so that no memory must grow.
        self.size_bytes = 0

    def memory(self, index: int, size_bytes: int) -> Memory:
        """Return the memory of this index, new, or larger, if it must be."""
        if index == len(self._memories):
            self._memories.append(self._device.allocate(max(self.size_bytes, size_bytes)))
        elif self._memories[index].size_bytes < size_bytes:
            self._memories[index] = self._device.allocate(size_bytes)
        return self._memories[index]


class Storage:
    """The plain memory, which views share, and who has the newest values."""

    def __init__(self) -> None:
        self.lease: Lease | None = None
        # Indices of the lease's memories: how many are used, and those that are free again.
        self.n_leased, self.spare = 0, list[int]()
        self.plain: Memory | None = None
        # Whoever holds this object has the newest values.
        self.token = object()
        # The tensor that has them in formats of its own alone; None if the plain memory has them.
        self.owner: CudaTensor | None = None
        self.is_zero = True
        self.mirror: HostArray | None = None
        self.is_mirror_current = False
        self.may_host_be_newer = False
