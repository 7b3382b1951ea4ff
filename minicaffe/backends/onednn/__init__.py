"""The oneDNN backend: the CPU at the speed of the hardware.

The library is bound through its C API (`_lib`); tensors (`tensor`) keep values in the layouts that
its primitives prefer. Ops without a kernel here run on the reference backend's.

Importing this package imports all of its modules, and each registers its kernels.
"""

import minicaffe.backends.onednn.kernels  # noqa: F401 - registers the kernels
from minicaffe.backends.onednn.backend import OneDnnBackend

__all__ = ["OneDnnBackend"]
