"""Loads the compiled C functions for an instruction set."""

from __future__ import annotations

import ctypes
import functools
import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from minicaffe.native.build import FOLDER, LIBRARY

# Takes addresses and numbers in the order of the C declaration; releases the interpreter lock.
NativeFunction: TypeAlias = Callable[..., None]

# GOMP_SPINCOUNT; see `limit_spinning`.
SPIN_COUNT = "4000"
CPUINFO = Path("/proc/cpuinfo")
# The members of `Slot` in native.h, of 8 bytes each.
_SLOTS = {"p": "Q", "n": "q", "i": "i4x", "f": "f4x", "d": "d"}
# What the library for AVX2 needs, as the Linux kernel names it.
_AVX2_FLAGS = {"avx2", "fma", "f16c"}
# Any: ctypes classes have no common public base.
_TYPES: dict[str, Any] = {
    "p": ctypes.c_void_p,
    "n": ctypes.c_int64,
    "i": ctypes.c_int,
    "f": ctypes.c_float,
    "d": ctypes.c_double,
}


class NativeLibrary:
    """The C functions for one instruction set.

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
        limit_spinning()  # the library loads OpenMP
        self._library = ctypes.CDLL(str(path))
        # The address of the first character of a C string.
        start = ctypes.c_char.in_dll(self._library, "minicaffe_prototypes")
        table = ctypes.string_at(ctypes.addressof(start))
        self._codes = dict(line.split(":") for line in table.decode().split(";"))

    @functools.cache  # noqa: B019  # one library lives as long as the process
    def lookup(self, name: str) -> NativeFunction:
        """Return an exported C function, which checks the number and types of its arguments."""
        function = self._library[name]
        function.argtypes = [_TYPES[code] for code in self._codes[name]]
        function.restype = None
        return function

    def caller(self, name: str) -> int:
        """Return the address of the C function that calls an exported one with `slots`."""
        return ctypes.cast(self._library[f"call_{name}"], ctypes.c_void_p).value or 0

    def slots(self, name: str, arguments: Sequence[float | None]) -> bytes:
        """Return the arguments of an exported function as an array of `Slot`; None is 0."""
        layout = "=" + "".join(_SLOTS[code] for code in self._codes[name])
        return struct.pack(layout, *[0 if value is None else value for value in arguments])


@functools.cache
def load_native(instruction_set: str) -> NativeLibrary | None:
    """Return the functions for an instruction set; None if they were not compiled."""
    path = FOLDER / LIBRARY.format(instruction_set)
    return NativeLibrary(path, instruction_set) if path.exists() else None


@functools.cache
def narrow_library() -> NativeLibrary | None:
    """Return the functions for AVX2, for code that gains nothing from wider vectors.

    None if they were not compiled, or if this processor lacks AVX2.
    """
    flags: set[str] = set()
    if CPUINFO.exists():
        lines = CPUINFO.read_text().splitlines()
        flags = set(next((line for line in lines if line.startswith("flags")), "").split())
    return load_native("avx2") if flags >= _AVX2_FLAGS else None


def limit_spinning() -> None:
    """Shorten the spin wait of idle OpenMP threads, unless the user's environment sets it.

    By default they spin for milliseconds. If other programs need the cores, a thread with work then
    waits for one that only spins: on two loaded cores, LeNet took twice as long. Without any
    spinning, a thread takes as long to wake as a small layer takes to compute, so it should spin
    from one primitive to the next, some 50 microseconds. Measured on two cores, LeNet's iteration
    takes 15 ms with this count, 17 with a quarter of it. libgomp reads the variable once, when it
    is loaded.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
