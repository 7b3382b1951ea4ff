"""The oneDNN backend: fast CPU kernels; see README.md in this folder.

The library is bound through its C API (`runtime.library`); tensors (`runtime.tensor`) hold values
in the layouts that its primitives prefer. Ops without a kernel here run on the reference backend's.

Importing this package imports all modules of `kernels`, which registers the kernels.
"""

import minicaffe.backends.onednn.kernels  # noqa: F401 - registers the kernels
from minicaffe.backends.onednn.backend import OneDnnBackend

__all__ = ["OneDnnBackend"]
