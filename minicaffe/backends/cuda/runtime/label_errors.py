"""Wrong labels that kernels find, told to the host when it reads a loss."""

from __future__ import annotations

import gc
import weakref

import numpy as np

from minicaffe.backends.cuda.driver.device import Address, Device, DeviceMemory
from minicaffe.errors import LabelError, Unsupported

# A slot holds: found (0 or 1), item, label (bits of a float), number of classes.
WORDS = 4
SLOTS = 256


class LabelErrorSlot:
    """Where one kernel notes the first label of its tensor of labels that is no class.

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
    """The places of all kernels.

    A kernel that notes something makes its result NaN as well: whoever reads a NaN asks
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
        """Return a slot, given back when nobody holds on to it any more."""
        if self._memory is None:
            self._memory = self._device.allocate(SLOTS * WORDS * 4)
            self._device.clear(self._memory.address, self._memory.size_bytes)
        if not self._free:
            # Nets that are gone refer to themselves in circles.
            gc.collect()
        if not self._free:
            raise Unsupported(f"more than {SLOTS} layers read labels")
        index = self._free.pop()
        slot = LabelErrorSlot(self._memory.address + index * WORDS * 4, labels, noun, target)
        self._slots[index] = slot
        weakref.finalize(slot, self._free.append, index)
        return slot

    def raise_if_any(self) -> None:
        """Raise the LabelError of the first slot with a note, and forget all notes."""
        if self._memory is None:
            return
        notes = np.zeros((SLOTS, WORDS), np.int32)
        self._device.download(self._memory.address, notes)
        found = np.flatnonzero(notes[:, 0])
        if not found.size:
            return
        self._device.clear(self._memory.address, self._memory.size_bytes)
        _, item, label, classes = notes[found[0]]
        slot = self._slots.get(int(found[0]))
        found_there = int(item), float(label.view(np.float32)), int(classes)
        if slot is None:
            raise LabelError(*found_there)
        raise LabelError(*found_there, slot.noun, slot.target, slot.labels)
