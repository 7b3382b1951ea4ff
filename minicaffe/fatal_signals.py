"""Python tracebacks when a fatal signal ends the process, with the names of the files being read.

A library can end the process by SIGSEGV, SIGBUS, SIGABRT, SIGFPE or SIGILL; LMDB aborts if a page
is damaged. `faulthandler` then writes the stacks of all threads to stderr, without the values of
variables. A stack entry names the source file and the function, and `reading` sets the former:

    File "train_lmdb", line 52 in read_data
"""

from __future__ import annotations

import faulthandler
import functools
import sys
import types
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeVar, TypeVarTuple, cast

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


class ReadCall(Protocol):
    """Calls a function; a traceback shows the name of a file for this call."""

    def __call__(self, function: Callable[[*Arguments], Result], /, *args: *Arguments) -> Result:
        """Return ``function(*args)``."""


def show_fatal_signals() -> None:
    """Write the stacks of all threads to stderr on a fatal signal, unless the program does already.

    For the start of a program: the setting applies to the whole process.
    """
    # With stderr closed, its number may belong to another file by now.
    if sys.stderr is not None and not faulthandler.is_enabled():
        # stderr may be an object without a file, as in notebooks and test runners.
        with suppress(OSError, ValueError, RuntimeError, AttributeError):
            faulthandler.enable(sys.stderr)


def read_data(function: Callable[[*Arguments], Result], /, *args: *Arguments) -> Result:
    """Return ``function(*args)``; see `reading`."""
    return function(*args)


@functools.lru_cache(maxsize=256)
def reading(path: str) -> ReadCall:
    """Return a copy of `read_data` that tracebacks show as a function in the file `path`."""
    code = read_data.__code__.replace(co_filename=str(path))
    return cast(ReadCall, types.FunctionType(code, read_data.__globals__))
