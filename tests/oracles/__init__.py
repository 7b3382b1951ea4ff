"""Oracles: the formula of every layer as loops in float64.

`ORACLES[type](layer, bottoms, params, training)` takes a LayerParameter message and arrays and
returns the list of tops. Nothing here may import minicaffe.
"""

import importlib
import pkgutil

ORACLES = {}
for _module in pkgutil.walk_packages(__path__, "oracles."):
    _found = getattr(importlib.import_module(_module.name), "ORACLES", {})
    assert not ORACLES.keys() & _found.keys(), f"{_module.name}: types with oracles elsewhere"
    ORACLES.update(_found)
