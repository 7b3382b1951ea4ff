"""Reorder primitives: copy values to another layout or data type."""

from __future__ import annotations

import functools
from collections.abc import Callable

from minicaffe.backends.onednn.runtime.library import Arg, check_onednn
from minicaffe.backends.onednn.runtime.memory import Layout
from minicaffe.backends.onednn.runtime.primitive import Attributes, Engine, Primitive

# More than any net needs; bounded, because a net with varying image sizes needs ever new ones.
CACHE_SIZE = 4096


class Reorders:
    """Cache of a backend's reorder primitives, created on first use."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        # Caches of functions, not of methods: these would be reference cycles.
        primitive = functools.lru_cache(CACHE_SIZE)(functools.partial(_primitive, engine))
        self._primitive = primitive
        self._bound = functools.lru_cache(CACHE_SIZE)(functools.partial(_bind, primitive))

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
        if self.engine.log.is_on:
            call = self._primitive(source, target, adds).recorded(
                (Arg.SRC, Arg.DST), (source_memory, target_memory)
            )
            self.engine.log.add(call._replace(is_copy=not adds))


def _bind(
    primitive: Callable[[Layout, Layout, bool], Primitive],
    source: Layout,
    source_memory: int,
    target: Layout,
    target_memory: int,
    adds: bool,
) -> Callable[[], int]:
    memories = (source_memory, target_memory)
    return primitive(source, target, adds).bind((Arg.SRC, Arg.DST), memories)


def _primitive(engine: Engine, source: Layout, target: Layout, adds: bool) -> Primitive:
    attributes = Attributes().sum() if adds else None
    arguments = (source, engine.handle, target, engine.handle)
    return Primitive(engine, "reorder", *arguments, attributes=attributes)
