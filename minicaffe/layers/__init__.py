"""Layer types: each file translates one message of the schema into ops.

Importing this package imports all of its modules, and each registers its types: a new file adds a
layer type. A subpackage contains the types of one family, such as those of a fork; the packages of
ops and kernels have one of the same name.
"""

import importlib
import pkgutil

from minicaffe.layers.base import Layer, Role
from minicaffe.layers.context import LayerContext
from minicaffe.layers.registry import LAYERS, layer_class, register, role_of, summary_of
from minicaffe.layers.scoring import Scoring

for _module in pkgutil.walk_packages(__path__, f"{__name__}."):
    importlib.import_module(_module.name)

__all__ = [
    "LAYERS",
    "Layer",
    "LayerContext",
    "Role",
    "Scoring",
    "layer_class",
    "register",
    "role_of",
    "summary_of",
]
