"""Enables oneDNN's bfloat16 loops on CPUs for which the library disables them.

Every build of the library contains plain C++ loops for bfloat16; on x86-64 without AVX-512 two of
its functions return that bfloat16 is not supported. These are temporarily patched to return true,
so that the code for bfloat16 primitives runs, correctly and slowly, on every CPU.
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
RETURN_TRUE = b"\xb8\x01\x00\x00\x00\xc3"
READ, WRITE, EXECUTE = 1, 2, 4


def can_unlock(library):
    """Return whether patching works with this processor, build of oneDNN and operating system."""
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
    """Let the library use its loops for bfloat16."""
    codes = _codes(library)
    for address in codes:
        _write(address, RETURN_TRUE)
    try:
        yield
    finally:
        for address, code in codes.items():
            _write(address, code)
        _clear_primitive_cache(library)


def _clear_primitive_cache(library):
    """Clear the library's primitive cache, which would return primitives created while patched."""
    capacity = ctypes.c_int()
    library.c.dnnl_get_primitive_cache_capacity(ctypes.byref(capacity))
    library.c.dnnl_set_primitive_cache_capacity(0)
    library.c.dnnl_set_primitive_cache_capacity(capacity)


def _codes(library):
    """Return the first bytes of each function, by its address."""
    pointers = (ctypes.cast(getattr(library.c, name), ctypes.c_void_p) for name in FUNCTIONS)
    return {p.value: ctypes.string_at(p.value, len(RETURN_TRUE)) for p in pointers}


def _write(address, code):
    _protect(address, READ | WRITE | EXECUTE)
    ctypes.memmove(address, code, len(code))
    _protect(address, READ | EXECUTE)


def _protect(address, rights):
    start = address - address % mmap.PAGESIZE
    size = ctypes.c_size_t(address + len(RETURN_TRUE) - start)
    if ctypes.CDLL(None, use_errno=True).mprotect(ctypes.c_void_p(start), size, rights):
        raise OSError(ctypes.get_errno(), "mprotect")
