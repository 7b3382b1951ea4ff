"""Wrong labels that kernels find, told to the host when it reads a loss."""

from __future__ import annotations

import gc
import weakref

import numpy as np

from minicaffe.backends.cuda.driver.device import Address, Device, Memory
from minicaffe.errors import LabelError, Unsupported

# A place holds: found (0 or 1), item, label (bits of a float), number of classes.
WORDS = 4
PLACES = 256


class Place:
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


class Faults:
    """The places of all kernels.

    A kernel that notes something makes its result NaN as well: whoever reads a NaN asks
    `raise_if_any`.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._memory: Memory | None = None
        self._free = list(reversed(range(PLACES)))
        self._places: weakref.WeakValueDictionary[int, Place] = weakref.WeakValueDictionary()

    def place(self, labels: object, noun: str = "label", target: str = "class") -> Place:
        """Return a place, given back when nobody holds on to it any more."""
        if self._memory is None:
            self._memory = self._device.allocate(PLACES * WORDS * 4)
            self._device.clear(self._memory.address, self._memory.size_bytes)
        if not self._free:
            # Nets that are gone refer to themselves in circles.
            gc.collect()
        if not self._free:
            raise Unsupported(f"more than {PLACES} layers read labels")
        index = self._free.pop()
        place = Place(self._memory.address + index * WORDS * 4, labels, noun, target)
        self._places[index] = place
        weakref.finalize(place, self._free.append, index)
        return place

    def raise_if_any(self) -> None:
        """Raise the LabelError of the first place with a note, and forget all notes."""
        if self._memory is None:
            return
        notes = np.zeros((PLACES, WORDS), np.int32)
        self._device.download(self._memory.address, notes)
        found = np.flatnonzero(notes[:, 0])
        if not found.size:
            return
        self._device.clear(self._memory.address, self._memory.size_bytes)
        _, item, label, classes = notes[found[0]]
        place = self._places.get(int(found[0]))
        found_there = int(item), float(label.view(np.float32)), int(classes)
        if place is None:
            raise LabelError(*found_there)
        raise LabelError(*found_there, place.noun, place.target, place.labels)
