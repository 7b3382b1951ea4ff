"""Numbers that kernels read from device memory because they change from run to run.

What a kernel is launched with is fixed when it is recorded; a learning rate or the number of a
dropout mask is not. Such numbers have a slot in one small buffer. Before each run the host asks
for them and uploads them.
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
    """A place for some 32-bit words."""

    def __init__(self, owner: LaunchParameters, first: int, count: int) -> None:
        self._owner, self.first, self.count = owner, first, count

    @property
    def address(self) -> Address:
        """Where kernels find the words."""
        return self._owner.address + self.first * WORD_BYTES

    def bind(self, provider: Provider) -> None:
        """Have what `provider` returns, `count` numbers of 32 bits, in the slot for this run.

        While work is recorded nothing is asked yet: it is in every run of what was recorded.
        """
        self._owner.bind(self, provider)


class LaunchParameters:
    """The buffer with all slots."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._memory: DeviceMemory | None = None
        self._image = np.zeros(CAPACITY, np.uint32)
        self._used = 0
        # Where slots of each size were that nobody holds any more.
        self._free: dict[int, list[int]] = {}
        self._collected: list[tuple[Slot, Provider]] | None = None

    @property
    def address(self) -> Address:
        """Where the buffer begins."""
        if self._memory is None:
            self._memory = self._device.allocate(CAPACITY * WORD_BYTES)
        return self._memory.address

    def slot(self, count: int) -> Slot:
        """Return a slot for `count` words, given back when nobody holds on to it any more."""
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
            If a slot is given a second time in what is recorded: it has one value in each run.
        """
        if self._collected is not None:
            if any(slot is other for other, _ in self._collected):
                raise CannotCapture("a number changes in the middle of what is recorded")
            self._collected.append((slot, provider))
        else:
            self.upload([(slot, provider)])

    def collect(self, work: Callable[[], None]) -> list[tuple[Slot, Provider]]:
        """Run `work` and return what it gave, without asking for any of it."""
        given: list[tuple[Slot, Provider]] = []
        self._collected = given
        try:
            work()
        finally:
            self._collected = None
        return given

    def upload(self, given: list[tuple[Slot, Provider]]) -> None:
        """Ask for all values and upload them at once."""
        if not given:
            return
        first = min(slot.first for slot, _ in given)
        end = max(slot.first + slot.count for slot, _ in given)
        for slot, provider in given:
            self._image[slot.first : slot.first + slot.count] = _words(slot, provider)
        self._device.upload(self.address + first * WORD_BYTES, self._image[first:end])


def _words(slot: Slot, provider: Provider) -> Words:
    words = np.ascontiguousarray(provider()).view(np.uint32)
    if words.size != slot.count:
        raise ValueError(f"{words.size} words for a slot of {slot.count}")
    return words
