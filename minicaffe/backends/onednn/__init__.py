"""The oneDNN backend: the CPU at the speed of the hardware.

The library is bound through its C API (`_lib`); tensors (`tensor`) keep values in the layouts that
its primitives prefer. Ops without a kernel here run on the reference backend's.

Importing this package imports all of its modules, and each registers its kernels.
"""

import importlib
import pkgutil

from minicaffe.backends.onednn.backend import OneDnnBackend

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["OneDnnBackend"]
