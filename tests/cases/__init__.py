"""Test cases of every layer type: each module of this package adds those of its types."""

import importlib
import pkgutil

from cases.case import Case

__all__ = ["CASES", "Case"]

CASES: dict[str, list[Case]] = {}
for _module in pkgutil.walk_packages(__path__, "cases."):
    _found = getattr(importlib.import_module(_module.name), "CASES", {})
    assert not CASES.keys() & _found.keys(), f"{_module.name}: types with cases elsewhere"
    CASES.update(_found)
