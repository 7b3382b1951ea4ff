"""The cuda backend: NVIDIA GPUs through CuPy, cuBLAS, cuDNN and own CUDA kernels.

The kernels are CUDA sources in kernels/, compiled at run time; one Python module for each op
launches them. The protocol `driver.device.Device` is the interface to the machine. Only
`driver.cupy_device` and `driver.cupy_transfers` import CuPy, so that all other modules are tested
without a GPU. Ops without a kernel here use the reference kernels, on arrays in device memory.

Importing this package imports all of its modules except those two; each registers its kernels.
"""

import minicaffe.backends.cuda.kernels  # noqa: F401 - registers the kernels
from minicaffe.backends.cuda.backend import CudaBackend

__all__ = ["CudaBackend"]
