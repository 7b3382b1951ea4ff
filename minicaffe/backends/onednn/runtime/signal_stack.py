"""Alternate signal stacks for threads that compute: a signal must not use the stack of an sgemm.

The sgemm that oneDNN 3.2 generates moves the stack pointer into heap memory while it computes
(K > 84). Without an alternate signal stack the kernel would write a signal's frame, and a handler
its variables, over whatever lies below that address: allocator data, weights, other arrays.
CPython installs its handlers with SA_ONSTACK, so they run on the alternate stack of the thread that
receives the signal, if it has one. A stack belongs to one thread. The threads of OpenMP run no
Python code that could give them one; they block signals instead.

Nothing here has an effect on systems other than Linux, where oneDNN is not used.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import signal
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

# The frame of a signal takes 3 KiB with AVX-512 registers and 11 KiB with those of AMX.
STACK_BYTES = 64 << 10
_SS_DISABLE = 2
_PROTECTED = mmap.PAGESIZE
_IS_LINUX = sys.platform.startswith("linux")
# They report a fault of the thread itself. If they were blocked, the system would kill the process
# without calling a handler, so that no traceback would be shown.
_OF_THE_THREAD = ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGTRAP", "SIGSYS")


class _StackDescription(ctypes.Structure):
    """stack_t of sigaltstack(2)."""

    _fields_ = [("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]


@functools.cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    number, size = ctypes.c_int, ctypes.c_size_t
    libc.mmap.argtypes = (ctypes.c_void_p, size, number, number, number, ctypes.c_long)
    libc.mprotect.argtypes = (ctypes.c_void_p, size, number)
    libc.munmap.argtypes = (ctypes.c_void_p, size)
    return libc


def _current_stack() -> _StackDescription:
    """Return the alternate stack of the calling thread."""
    found = _StackDescription()
    _libc().sigaltstack(None, ctypes.byref(found))
    return found


def _install_stack() -> int:
    """Map memory, make it the alternate stack of the calling thread and return its address."""
    libc = _libc()
    modes = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    address = libc.mmap(None, _PROTECTED + STACK_BYTES, *modes, -1, 0)
    # The lowest page cannot be written, so that an overflow ends the process and damages nothing.
    stack = _StackDescription(address + _PROTECTED, 0, STACK_BYTES)
    if libc.mprotect(address, _PROTECTED, 0) or libc.sigaltstack(ctypes.byref(stack), None):
        raise OSError(ctypes.get_errno(), "no alternate signal stack")
    return int(address)


def _remove_stack(address: int, thread: int) -> None:
    """Unmap the stack of a thread that ends; called by that thread."""
    if threading.get_native_id() != thread:
        return  # The stack may be in use.
    if _current_stack().sp == address + _PROTECTED:
        _libc().sigaltstack(ctypes.byref(_StackDescription(None, _SS_DISABLE, 0)), None)
    _libc().munmap(address, _PROTECTED + STACK_BYTES)


class _ThreadLife:
    """Object that is deleted when its thread ends."""


class _ThreadState(threading.local):
    """What a thread has: its life, and the size of the OpenMP team that it has started."""

    life: _ThreadLife | None = None
    team_size = 1


_state = _ThreadState()


def give_signal_stack() -> None:
    """Give the calling thread an alternate signal stack until it ends, unless it has one.

    A stack that is smaller than `STACK_BYTES` is replaced.
    """
    if _state.life is not None:
        return
    life = _ThreadLife()
    if _IS_LINUX:
        found = _current_stack()
        if found.flags & _SS_DISABLE or found.size < STACK_BYTES:
            end = weakref.finalize(life, _remove_stack, _install_stack(), threading.get_native_id())
            # The main thread needs its stack until the process ends.
            end.atexit = False
    _state.life = life


def _block_asynchronous_signals() -> set[int | signal.Signals]:
    """Block signals in the calling thread, except those that report its faults; return the mask."""
    own = {getattr(signal, name) for name in _OF_THE_THREAD}
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - own))


@contextmanager
def asynchronous_signals_blocked() -> Iterator[None]:
    """Block signals in the calling thread, and in the threads that are created within the block."""
    before = _block_asynchronous_signals()
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def prepare_pool_thread() -> None:
    """Prepare a thread of our own pools: it blocks signals, which other threads then receive."""
    if _IS_LINUX:
        _block_asynchronous_signals()
    give_signal_stack()


def prepare_computing_thread(omp: ctypes.CDLL, threads: int) -> None:
    """Make signals harmless to kernels that the calling thread runs on a number of OpenMP threads.

    Parameters
    ----------
    omp : ctypes.CDLL
        libgomp.
    threads : int
        How many threads the next kernels use.

    Notes
    -----
    libgomp keeps a team of threads for each thread that computes, and they inherit its signal mask.
    Therefore the team is started here, while signals are blocked, not by the first kernel.
    """
    if _state.life is None:
        give_signal_stack()
    if threads != _state.team_size and threads > 1 and _IS_LINUX:
        with asynchronous_signals_blocked():
            _start_team(omp, threads)
        _state.team_size = threads


def _start_team(omp: ctypes.CDLL, threads: int) -> None:
    """Run a parallel region in which every thread of the team calls free(NULL)."""
    free = ctypes.cast(_libc().free, ctypes.c_void_p)
    omp.GOMP_parallel(free, None, ctypes.c_uint(threads), ctypes.c_uint(0))
