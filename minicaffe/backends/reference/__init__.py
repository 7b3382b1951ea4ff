"""The reference backend: clear and correct, on NumPy.

Its kernels are written on ``xp``, so that an array module with NumPy's interface (CuPy) runs them
too. Other backends inherit from `ReferenceBackend` and override single kernels.

Importing this package imports all of its modules, and each registers its kernels.
"""

import importlib
import pkgutil

from minicaffe.backends.reference.backend import ReferenceBackend

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["ReferenceBackend"]
