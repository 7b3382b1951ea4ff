"""Kernels: a Python module and a CUDA source for each op; modules with an underscore are shared.

Importing this package imports all of its modules; each registers its kernels.
"""

import importlib
import pkgutil

for _module in pkgutil.walk_packages(__path__, f"{__name__}."):
    importlib.import_module(_module.name)
