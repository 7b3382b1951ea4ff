"""Reorder primitives: copy values to another layout or data type."""

from __future__ import annotations

from collections.abc import Callable

from minicaffe.backends.onednn.runtime.library import Arg, check_onednn
from minicaffe.backends.onednn.runtime.memory import Layout
from minicaffe.backends.onednn.runtime.plan_cache import cache_plans
from minicaffe.backends.onednn.runtime.primitive import Attributes, Engine, Primitive

# More than any net needs; bounded, because a net with varying image sizes needs ever new ones.
CACHE_SIZE = 4096
SOURCE, DESTINATION = Arg.SRC, Arg.DST


class Reorders:
    """Cache of a backend's reorder primitives, created on first use."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._bound = cache_plans(self._bind, CACHE_SIZE)
        self._primitive = cache_plans(self._make, CACHE_SIZE)

    def __call__(
        self,
        source: Layout,
        source_memory: int,
        target: Layout,
        target_memory: int,
        adds: bool = False,
    ) -> None:
        """Copy values to memory of another layout; with `adds`, add them to its values."""
        run = self._bound(source, source_memory, target, target_memory, adds)
        check_onednn(run(), "reorder")

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
