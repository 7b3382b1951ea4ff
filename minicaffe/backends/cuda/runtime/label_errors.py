"""Wrong labels found by kernels: reported to the host when it reads a loss."""

from __future__ import annotations

import gc
import weakref

import numpy as np

from minicaffe.backends.cuda.driver.device import Address, Device, DeviceMemory
from minicaffe.errors import LabelError, Unsupported

# The words of a slot: found (0 or 1), item, label (bits of a float), number of classes.
WORDS = 4
SLOTS = 256


class LabelErrorSlot:
    """Device memory in which one kernel stores the first invalid label of its label tensor.

    Parameters
    ----------
    address : Address
    labels : Tensor
    noun, target : str
        What the numbers are and what they name, for the message.
    """

    def __init__(self, address: Address, labels: object, noun: str, target: str) -> None:
        self.address, self.labels = address, labels
        self.noun, self.target = noun, target


class LabelErrors:
    """The slots of all kernels.

    A kernel that stores an error also makes its result NaN, so a reader that finds NaN calls
    `raise_if_any`.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._memory: DeviceMemory | None = None
        self._free = list(reversed(range(SLOTS)))
        self._slots: weakref.WeakValueDictionary[int, LabelErrorSlot] = (
            weakref.WeakValueDictionary()
        )

    def slot(self, labels: object, noun: str = "label", target: str = "class") -> LabelErrorSlot:
        """Return a slot, which is freed with its last reference."""
        if self._memory is None:
            self._memory = self._device.allocate(SLOTS * WORDS * 4)
            self._device.clear(self._memory.address, self._memory.size_bytes)
        if not self._free:
            # Nets that are no longer used may be part of reference cycles.
            gc.collect()
        if not self._free:
            raise Unsupported(f"more than {SLOTS} layers read labels")
        index = self._free.pop()
        slot = LabelErrorSlot(self._memory.address + index * WORDS * 4, labels, noun, target)
        self._slots[index] = slot
        weakref.finalize(slot, self._free.append, index)
        return slot

    def raise_if_any(self) -> None:
        """Raise the LabelError of the first slot that holds one, and clear all slots."""
        if self._memory is None:
            return
        words = np.zeros((SLOTS, WORDS), np.int32)
        self._device.download(self._memory.address, words)
        found = np.flatnonzero(words[:, 0])
        if not found.size:
            return
        self._device.clear(self._memory.address, self._memory.size_bytes)
        _, item, label, classes = words[found[0]]
        slot = self._slots.get(int(found[0]))
        error = int(item), float(label.view(np.float32)), int(classes)
        if slot is None:
            raise LabelError(*error)
        raise LabelError(*error, slot.noun, slot.target, slot.labels)
