"""A GPU made of a CPU: what the cuda backend asks of a device, for tests.

The kernels are the package's own .cu files, compiled by g++; memory is host memory with guarded
edges; a launch with anything wrong raises. What goes wrong on a GPU only by its speed or its many
threads cannot be seen here.
"""

from emulator.arrays import DeviceArray
from emulator.device import EmulatedDevice
from emulator.kernels import Launch, reason_to_skip
from emulator.memory import DeviceFault

__all__ = ["DeviceArray", "DeviceFault", "EmulatedDevice", "Launch", "reason_to_skip"]
