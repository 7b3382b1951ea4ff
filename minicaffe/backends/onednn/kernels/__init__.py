"""oneDNN kernels: one module for each ops module; shared helpers begin with an underscore.

Importing this package imports all of its modules, which registers the kernels.
"""

import importlib
import pkgutil

for _module in pkgutil.walk_packages(__path__, f"{__name__}."):
    importlib.import_module(_module.name)
