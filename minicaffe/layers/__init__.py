"""Layer types: each file translates one message of the schema into ops.

Importing this package imports all of its modules, and each registers its types: a new file adds a
layer type.
"""

import importlib
import pkgutil

from minicaffe.layers.base import Layer, LayerContext, Role
from minicaffe.layers.registry import LAYERS, layer_class, register, role_of, summary_of
from minicaffe.layers.scoring import Scoring

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

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
