"""Reference kernels in NumPy: one module for each op; modules with an underscore are shared.

Importing this package imports all of its modules, and each registers its kernels. A subpackage
contains the kernels of one family of layers.
"""

import importlib
import pkgutil

for _module in pkgutil.walk_packages(__path__, f"{__name__}."):
    importlib.import_module(_module.name)
