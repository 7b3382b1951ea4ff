"""Reference kernels in NumPy: one module for each op; modules with an underscore are shared.

Importing this package imports all of its modules, and each registers its kernels.
"""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
