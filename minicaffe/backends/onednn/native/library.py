"""Loads the C kernels for the instruction set that oneDNN uses in this process."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from minicaffe.backends.onednn.native.build import FOLDER, LIBRARY
from minicaffe.backends.onednn.runtime.library import library

# Takes addresses and numbers in the order of the C declaration; releases the interpreter lock.
NativeFunction: TypeAlias = Callable[..., None]

# Bits of dnnl_cpu_isa_t, from the widest set to the narrowest.
_ISA_BITS = {"avx512_bf16": 0xA7, "avx512": 0x27, "avx2": 0x7}
# Any: ctypes classes have no common public base.
_TYPES: dict[str, Any] = {
    "p": ctypes.c_void_p,
    "n": ctypes.c_int64,
    "i": ctypes.c_int,
    "f": ctypes.c_float,
    "d": ctypes.c_double,
}


class NativeLibrary:
    """The C kernels for one instruction set.

    Attributes
    ----------
    instruction_set : str
        "avx2", "avx512" or "avx512_bf16".
    lanes : int
        float32 values in a vector register: 8 or 16, as many as channels in a block of oneDNN's
        layouts.
    """

    def __init__(self, path: Path, instruction_set: str) -> None:
        self.instruction_set = instruction_set
        self.lanes = 8 if instruction_set == "avx2" else 16
        self._library = ctypes.CDLL(str(path))
        # The address of the first character of a C string.
        start = ctypes.c_char.in_dll(self._library, "minicaffe_prototypes")
        table = ctypes.string_at(ctypes.addressof(start))
        self._codes = dict(line.split(":") for line in table.decode().split(";"))

    @property
    def has_bfloat16(self) -> bool:
        """Whether the processor multiplies bfloat16."""
        return self.instruction_set == "avx512_bf16"

    @functools.cache  # noqa: B019  # one library lives as long as the process
    def function(self, name: str) -> NativeFunction:
        """Return an exported C function, which checks the number and types of its arguments."""
        function = self._library[name]
        function.argtypes = [_TYPES[code] for code in self._codes[name]]
        function.restype = None
        return function


def effective_instruction_set(isa: int) -> str:
    """Return the name of the widest set in the bits of dnnl_cpu_isa_t; "" if it has none."""
    found = (name for name, bits in _ISA_BITS.items() if isa & bits == bits)
    return next(found, "")


@functools.cache
def native_library() -> NativeLibrary | None:
    """Return the C kernels; None if they were not compiled, or this processor lacks AVX2.

    oneDNN's effective instruction set decides, so that ONEDNN_MAX_CPU_ISA narrows both.

    Raises
    ------
    BackendUnavailable
        If oneDNN cannot be loaded.
    """
    # oneDNN is loaded first, because it sets how long idle OpenMP threads spin.
    name = effective_instruction_set(library().c.dnnl_get_effective_cpu_isa())
    path = FOLDER / LIBRARY.format(name)
    return NativeLibrary(path, name) if name and path.exists() else None
