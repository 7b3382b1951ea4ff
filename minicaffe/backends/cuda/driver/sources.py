"""Source texts of the kernels, and a cache of the compiled functions."""

from __future__ import annotations

import functools
from importlib import resources

from minicaffe.backends.cuda.driver.device import Device, KernelFunction

FOLDER = resources.files("minicaffe.backends.cuda") / "kernels"


@functools.cache
def source(name: str) -> str:
    """Return the text of kernels/_common.cuh followed by kernels/`name`.cu."""
    return (FOLDER / "_common.cuh").read_text() + (FOLDER / f"{name}.cu").read_text()


class Kernels:
    """Cache of the compiled functions of one device.

    Parameters
    ----------
    device : Device
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._found: dict[tuple[str, ...], KernelFunction] = {}

    def __call__(self, file: str, name: str, *defines: str) -> KernelFunction:
        """Return function `name` of kernels/`file`.cu.

        Parameters
        ----------
        file, name : str
        defines : str
            Macros: ``"VALUE=float"``.
        """
        key = (file, name, *defines)
        found = self._found.get(key)
        if found is None:
            options = tuple(f"-D{define}" for define in defines)
            found = self._found[key] = self._device.function(source(file), name, options)
        return found
