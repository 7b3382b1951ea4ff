"""bfloat16 on CPUs that oneDNN finds too slow for it.

Every build of the library holds plain C++ loops for bfloat16; on x86-64 without AVX-512 two of its
functions answer that they are not to be used. Here these are made to answer yes for a while, so
that the code that drives bfloat16 primitives runs, correctly and slowly, where the tests run.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import platform

FUNCTIONS = (
    "_ZN4dnnl4impl3cpu8platform21has_data_type_supportE16dnnl_data_type_t",
    "_ZN4dnnl4impl3cpu8platform20has_training_supportE16dnnl_data_type_t",
)
# mov eax, 1; ret
YES = b"\xb8\x01\x00\x00\x00\xc3"
READ, WRITE, EXECUTE = 1, 2, 4


def can_unlock(library):
    """Return whether this is a processor, a build of oneDNN and a kernel for which this works."""
    if platform.machine() != "x86_64" or not all(hasattr(library.c, name) for name in FUNCTIONS):
        return False
    try:
        for address, code in _codes(library).items():
            _write(address, code)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def bfloat16_unlocked(library):
    """Have the library use its loops for bfloat16."""
    codes = _codes(library)
    for address in codes:
        _write(address, YES)
    try:
        yield
    finally:
        for address, code in codes.items():
            _write(address, code)
        _forget_primitives(library)


def _forget_primitives(library):
    """Empty the library's cache, which would go on to give what it made meanwhile."""
    capacity = ctypes.c_int()
    library.c.dnnl_get_primitive_cache_capacity(ctypes.byref(capacity))
    library.c.dnnl_set_primitive_cache_capacity(0)
    library.c.dnnl_set_primitive_cache_capacity(capacity)


def _codes(library):
    """Return how each function begins, by its address."""
    pointers = (ctypes.cast(getattr(library.c, name), ctypes.c_void_p) for name in FUNCTIONS)
    return {p.value: ctypes.string_at(p.value, len(YES)) for p in pointers}


def _write(address, code):
    _protect(address, READ | WRITE | EXECUTE)
    ctypes.memmove(address, code, len(code))
    _protect(address, READ | EXECUTE)


def _protect(address, rights):
    start = address - address % mmap.PAGESIZE
    size = ctypes.c_size_t(address + len(YES) - start)
    if ctypes.CDLL(None, use_errno=True).mprotect(ctypes.c_void_p(start), size, rights):
        raise OSError(ctypes.get_errno(), "mprotect")
