"""Kernels: a Python module and a CUDA source for each op; modules with an underscore are shared.

Importing this package imports all of its modules; each registers its kernels.
"""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
