"""Copies of activations that an in-place kernel overwrites but its backward pass reads."""

from __future__ import annotations

from minicaffe.backends.cuda.driver.device import Address, Device
from minicaffe.backends.cuda.runtime.format import PLAIN, Format
from minicaffe.backends.cuda.runtime.tensor import CudaTensor


class SavedForBackward:
    """Memory for a copy of one tensor.

    Attributes
    ----------
    format : Format
        The format of the saved values.
    """

    def __init__(self, device: Device, tensor: CudaTensor) -> None:
        self._device = device
        self._shape = tensor.shape
        self._memory = device.allocate(max(PLAIN.size_bytes(tensor.shape), 4))
        self.format = PLAIN

    @property
    def address(self) -> Address:
        """Device address of the copy."""
        return self._memory.address

    def save(self, source: Address, form: Format) -> None:
        """Copy the values at `source`."""
        self._device.copy(source, self.address, form.size_bytes(self._shape))
        self.format = form
