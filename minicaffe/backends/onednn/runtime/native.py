"""The C kernels for the instruction set that oneDNN uses in this process."""

from __future__ import annotations

import functools

from minicaffe.backends.onednn.runtime.library import library
from minicaffe.native.library import NativeLibrary, load_native

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
