"""The C kernels for the instruction set that oneDNN uses in this process, and their threads."""

from __future__ import annotations

import functools
from time import perf_counter
from typing import TYPE_CHECKING

from minicaffe.backends.onednn.runtime.call_log import NativeCall
from minicaffe.backends.onednn.runtime.core_watch import TimedCall
from minicaffe.backends.onednn.runtime.library import library
from minicaffe.backends.onednn.runtime.threads import LONGEST_THREADED_S, seconds_of
from minicaffe.native.library import NativeFunction, NativeLibrary, load_native

if TYPE_CHECKING:
    from minicaffe.backends.onednn.runtime.primitive import Engine

MANY = 1 << 30
# Bits of dnnl_cpu_isa_t, from the widest set to the narrowest.
_ISA_BITS = {"avx512_bf16": 0xA7, "avx512": 0x27, "avx2": 0x7}


def effective_instruction_set(isa: int) -> str:
    """Return the name of the widest set in the bits of dnnl_cpu_isa_t; "" if it has none."""
    found = (name for name, bits in _ISA_BITS.items() if isa & bits == bits)
    return next(found, "")


def native_remark() -> str:
    """Return why there are no C kernels, for the description of the backend; "" if there are."""
    if native_library() is not None:
        return ""
    if not effective_instruction_set(library().c.dnnl_get_effective_cpu_isa()):
        return ", without C kernels, which need AVX2"
    return ", without C kernels: for more speed install a C compiler, then minicaffe again"


@functools.cache
def native_library() -> NativeLibrary | None:
    """Return the C kernels; None if they were not compiled, or this processor lacks AVX2.

    oneDNN's effective instruction set decides, so that ONEDNN_MAX_CPU_ISA narrows both.

    Raises
    ------
    BackendUnavailable
        If oneDNN cannot be loaded.
    """
    return load_native(effective_instruction_set(library().c.dnnl_get_effective_cpu_isa()))


class ThreadedFunction:
    """A C function whose last argument is the number of threads, which it chooses for each call.

    The number changes no bit of the results: sums are divided among parts, whose number does not
    depend on it. A short call may therefore use one thread while cores are busy.

    Parameters
    ----------
    engine : Engine
    function : NativeFunction
    multiply_adds, size_bytes : float
        The work of a call; see `Threads.for_work`.
    parts : int
        How many threads can share it at most.

    Attributes
    ----------
    threads : int
        Of a call on idle cores.
    is_short : bool
        Whether a call may use one thread while cores are busy.
    """

    def __init__(
        self,
        engine: Engine,
        function: NativeFunction,
        multiply_adds: float = 0.0,
        size_bytes: float = 0.0,
        parts: int = MANY,
    ) -> None:
        self._function, self._log = function, engine.log
        self.threads = engine.threads.for_work(multiply_adds, size_bytes) if parts > 1 else 1
        work_s = seconds_of(multiply_adds, size_bytes)
        self._timed = TimedCall(engine.watch, self.threads, work_s)
        self.is_short = work_s <= LONGEST_THREADED_S
        is_chosen = self.threads > 1 and not engine.threads.are_given
        self._is_watched = is_chosen and self.is_short

    def __call__(
        self,
        *arguments: float | None,
        operands: tuple[int, ...] = (),
        owners: tuple[object, ...] = (),
    ) -> None:
        """Call the function with these arguments and the number of threads; see `Engine.launch`."""
        threads = self.threads
        if self._is_watched:
            start_s = perf_counter()
            is_alone = start_s < self._timed.watch.ends_s
            threads = 1 if is_alone else threads
            self._function(*arguments, threads)
            self._timed.count(start_s, is_alone)
        else:
            self._function(*arguments, threads)
        if self._log.is_on:
            call = NativeCall(self._function.__name__, (*arguments, threads), operands, owners)
            self._log.add(self._timed.watched(call) if self._is_watched else call)
