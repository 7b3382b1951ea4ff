"""Test cases of every layer type: each module of this package adds those of its types."""

import importlib
import pkgutil

from cases.case import Case

__all__ = ["CASES", "Case"]

CASES: dict[str, list[Case]] = {}
for _module in pkgutil.iter_modules(__path__):
    _found = getattr(importlib.import_module(f"cases.{_module.name}"), "CASES", {})
    assert not CASES.keys() & _found.keys(), f"{_module.name}: types with cases elsewhere"
    CASES.update(_found)
