"""Objects that only the garbage collector would free, threads and open files."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def no_garbage() -> Iterator[None]:
    """Fail if the block leaves minicaffe's objects in reference cycles.

    The collector is off inside the block.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found = {_name(thing) for thing in gc.garbage}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
        gc.unfreeze()
    found = {n for n in found if n.startswith("minicaffe.")}
    assert not found, f"in reference cycles: {', '.join(sorted(found))}"


def _name(thing: object) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def threads() -> set[str]:
    """Names of the threads that prefetch or decode."""
    return {thread.name for thread in threading.enumerate() if "minicaffe" in thread.name}


def open_files(folder: Path) -> list[str]:
    """Files below a folder that this process holds open."""
    links = (path.resolve() for path in Path("/proc/self/fd").iterdir())
    return [path.name for path in links if path.is_relative_to(folder)]
