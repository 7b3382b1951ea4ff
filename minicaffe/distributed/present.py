"""The processes for which code of the user works at present, for pycaffe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from minicaffe.distributed.communicator import ALONE, Communicator

_PRESENT: ContextVar[Communicator] = ContextVar("communicator", default=ALONE)


@contextmanager
def working_for(communicator: Communicator) -> Iterator[None]:
    """Let `present_communicator` return this communicator, in this thread."""
    token = _PRESENT.set(communicator)
    try:
        yield
    finally:
        _PRESENT.reset(token)


def present_communicator() -> Communicator:
    """Return the communicator of the net whose Python layer runs in this thread, else `ALONE`."""
    return _PRESENT.get()
