"""oneDNN kernels: one module for each ops module; shared helpers begin with an underscore.

Importing this package imports all of its modules, which registers the kernels.
"""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
