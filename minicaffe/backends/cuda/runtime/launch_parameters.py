"""Launch parameters that change between replays of a graph, read by kernels from device memory.

The arguments of a kernel are fixed at graph capture; a learning rate or the step of a dropout mask
is not constant. Such a number has a slot in one small buffer. Before each run the host calls the
providers of the slots and uploads their values.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from minicaffe.backends.cuda.driver.device import Address, CannotCapture, Device, DeviceMemory

WORD_BYTES = 4
CAPACITY = 16384

Words: TypeAlias = npt.NDArray[np.uint32]
Provider: TypeAlias = Callable[[], npt.NDArray[np.generic]]


class Slot:
    """A range of 32-bit words in the buffer."""

    def __init__(self, owner: LaunchParameters, first: int, count: int) -> None:
        self._owner, self.first, self.count = owner, first, count

    @property
    def address(self) -> Address:
        """Device address of the words."""
        return self._owner.address + self.first * WORD_BYTES

    def bind(self, provider: Provider) -> None:
        """Upload what `provider` returns, `count` numbers of 32 bits, for the kernels of this run.

        During graph capture the provider is not called, but stored: it is called before each
        launch of the graph.
        """
        self._owner.bind(self, provider)


class LaunchParameters:
    """The buffer with all slots."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._memory: DeviceMemory | None = None
        self._host_copy = np.zeros(CAPACITY, np.uint32)
        self._used = 0
        # First words of freed slots, by size.
        self._free: dict[int, list[int]] = {}
        self._collected: list[tuple[Slot, Provider]] | None = None

    @property
    def address(self) -> Address:
        """Device address of the buffer."""
        if self._memory is None:
            self._memory = self._device.allocate(CAPACITY * WORD_BYTES)
        return self._memory.address

    def slot(self, count: int) -> Slot:
        """Return a slot for `count` words, which is freed with its last reference."""
        free = self._free.setdefault(count, [])
        if not free:
            if self._used + count > CAPACITY:
                raise MemoryError(f"more than {CAPACITY} values that change from run to run")
            free.append(self._used)
            self._used += count
        slot = Slot(self, free.pop(), count)
        weakref.finalize(slot, free.append, slot.first)
        return slot

    def bind(self, slot: Slot, provider: Provider) -> None:
        """See `Slot.bind`.

        Raises
        ------
        CannotCapture
            If a slot is bound twice in one graph, because it has one value in each launch.
        """
        if self._collected is not None:
            if any(slot is other for other, _ in self._collected):
                raise CannotCapture("a launch parameter changes in the middle of the graph")
            self._collected.append((slot, provider))
        else:
            self.upload([(slot, provider)])

    def collect(self, work: Callable[[], None]) -> list[tuple[Slot, Provider]]:
        """Run `work` and return the slots that it binds, without calling their providers."""
        bound: list[tuple[Slot, Provider]] = []
        self._collected = bound
        try:
            work()
        finally:
            self._collected = None
        return bound

    def upload(self, bound: list[tuple[Slot, Provider]]) -> None:
        """Call all providers and upload their values in one copy."""
        if not bound:
            return
        first = min(slot.first for slot, _ in bound)
        end = max(slot.first + slot.count for slot, _ in bound)
        for slot, provider in bound:
            self._host_copy[slot.first : slot.first + slot.count] = _words(slot, provider)
        self._device.upload(self.address + first * WORD_BYTES, self._host_copy[first:end])


def _words(slot: Slot, provider: Provider) -> Words:
    words = np.ascontiguousarray(provider()).view(np.uint32)
    if words.size != slot.count:
        raise ValueError(f"{words.size} words for a slot of {slot.count}")
    return words
