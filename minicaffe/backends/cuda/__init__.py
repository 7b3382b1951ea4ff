"""The cuda backend: NVIDIA GPUs through CuPy, cuBLAS, cuDNN and kernels of our own.

The kernels are CUDA sources in kernels/, compiled at run time; one Python module for each op
launches them. All that is asked of the machine is in `device`; `cupy_device` and `cupy_transfers`
alone import CuPy, so that everything else is tested where there is no GPU. Ops without a kernel
here run on the reference backend's, on arrays in the GPU's memory.

Importing this package imports all of its modules but those two, and each registers its kernels.
"""

import minicaffe.backends.cuda.kernels  # noqa: F401 - registers the kernels
from minicaffe.backends.cuda.backend import CudaBackend

__all__ = ["CudaBackend"]
