"""An emulated GPU on the CPU: implements the cuda backend's `Device` protocol, for tests.

The kernels are the package's own .cu files, compiled by g++; memory is host memory with guard
zones; an invalid launch raises. The emulator cannot see: races between barriers (threads run to the
next barrier one after another), concurrency of blocks, argument semantics of the real cuBLAS and
cuDNN, capture semantics of CUDA, the assembly of float16 conversion, limits of registers and
occupancy, and the order of streams and events beyond the protocol of staging buffers.
"""

from emulator.arrays import DeviceArray
from emulator.device import EmulatedDevice
from emulator.kernels import Launch, reason_to_skip
from emulator.memory import DeviceFault

__all__ = ["DeviceArray", "DeviceFault", "EmulatedDevice", "Launch", "reason_to_skip"]
