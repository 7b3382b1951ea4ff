"""The oneDNN backend: the CPU at the speed of the hardware.

The library is bound through its C API (`_lib`); tensors (`tensor`) keep values in the layouts that
its primitives prefer. Ops without a kernel here run on the reference backend's.
"""

from minicaffe.backends.onednn import (  # noqa: F401 - importing a module registers its kernels
    activation,
    conv,
    inner_product,
    layout,
    pool,
    softmax,
    update,
)
from minicaffe.backends.onednn.backend import OneDnnBackend

__all__ = ["OneDnnBackend"]
