"""Converters of ONNX operators to layers, one function an operator, in a table by type.

Importing this package imports all of its modules, and each registers its functions.
"""

import importlib
import pkgutil

from minicaffe.onnx_import.registry import CONVERTERS

for _module in pkgutil.iter_modules(__path__, f"{__name__}."):
    importlib.import_module(_module.name)

__all__ = ["CONVERTERS"]
