"""Wrong labels that kernels find, told to the host when it reads a loss."""

from __future__ import annotations

import numpy as np

from minicaffe.backends.cuda.device import Address, Device, Memory
from minicaffe.errors import LabelError, Unsupported

# A place holds: found (0 or 1), item, label (bits of a float), number of classes.
WORDS = 4
PLACES = 256


class Faults:
    """Places where kernels note the first label of theirs that is no class.

    Such a kernel makes its result NaN as well: whoever reads a NaN asks `raise_if_any`.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._memory: Memory | None = None
        self._labels: list[object] = []

    def place(self, labels: object) -> Address:
        """Return the place for kernels of one tensor of labels, which the error will name."""
        if self._memory is None:
            self._memory = self._device.allocate(PLACES * WORDS * 4)
            self._device.clear(self._memory.address, self._memory.size_bytes)
        place = next((i for i, known in enumerate(self._labels) if known is labels), None)
        if place is None:
            if len(self._labels) == PLACES:
                raise Unsupported(f"nets have more than {PLACES} blobs with labels")
            place = len(self._labels)
            self._labels.append(labels)
        return self._memory.address + place * WORDS * 4

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
        raise LabelError(
            int(item), float(label.view(np.float32)), int(classes), labels=self._labels[found[0]]
        )
