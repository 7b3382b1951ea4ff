"""Reorders: the same values in another layout."""

from __future__ import annotations

import functools
from collections.abc import Callable

from minicaffe.backends.onednn.runtime.library import Arg, check
from minicaffe.backends.onednn.runtime.memory import Layout
from minicaffe.backends.onednn.runtime.primitive import Attributes, Engine, Primitive

# More than any net has; bounded because nets with images of many sizes ask for ever new ones.
CACHE_SIZE = 4096
SOURCE, DESTINATION = Arg.SRC, Arg.DST


class Reorders:
    """All reorders of a backend, made when first needed."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._bound = functools.lru_cache(CACHE_SIZE)(self._bind)
        self._primitive = functools.lru_cache(CACHE_SIZE)(self._make)

    def __call__(
        self,
        source: Layout,
        source_memory: int,
        target: Layout,
        target_memory: int,
        adds: bool = False,
    ) -> None:
        """Copy values to memory of another layout, or add them to what it holds."""
        run = self._bound(source, source_memory, target, target_memory, adds)
        check(run(), "reorder")

    def _bind(
        self, source: Layout, source_memory: int, target: Layout, target_memory: int, adds: bool
    ) -> Callable[[], int]:
        primitive = self._primitive(source, target, adds)
        return primitive.bind((SOURCE, DESTINATION), (source_memory, target_memory))

    def _make(self, source: Layout, target: Layout, adds: bool) -> Primitive:
        handle = self.engine.handle
        attributes = Attributes().sum() if adds else None
        arguments = (source, handle, target, handle)
        return Primitive(self.engine, "reorder", *arguments, attributes=attributes)
