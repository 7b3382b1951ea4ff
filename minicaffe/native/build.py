"""Compile all C sources of the package, once for each instruction set.

    python minicaffe/native/build.py

pip runs this during an installation (hatch_build.py). It needs a C compiler with OpenMP: the one
that the environment variable CC names, else cc. Nothing is compiled again if the sources are those
of the last time. This module imports nothing of minicaffe, which is not installed yet.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
SOURCES = FOLDER.parent
DIGEST = "sources.sha256"
LIBRARY = "native_{}.so"
# Explicit features instead of -march=x86-64-v3, which compilers before GCC 11 do not know.
_AVX2 = ("-mavx2", "-mfma", "-mf16c")
_AVX512 = (
    *(*_AVX2, "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"),
    "-mprefer-vector-width=512",
)
INSTRUCTION_SETS = {
    "avx2": _AVX2,
    "avx512": _AVX512,
    "avx512_bf16": (*_AVX512, "-mavx512bf16"),
}
# Comparisons with NaN and its propagation keep their meaning; errno and traps have none here.
FLAGS = (
    *("-std=gnu11", "-O3", "-fPIC", "-shared", "-fopenmp", "-fvisibility=hidden"),
    *("-fno-math-errno", "-fno-trapping-math", "-Wall", "-Wextra", "-Werror=implicit"),
)
TABLE = """\
#include "native.h"

EXPORT const char minicaffe_prototypes[] = "{}";

"""
# Calls an exported function with the arguments of a record. Pointers to all types are passed alike.
CALLER = """\
void {name}({types});
EXPORT void call_{name}(const Slot *a) {{ {name}({slots}); }}

"""
# The codes by which `library` declares the arguments of a function to ctypes, which are the members
# of `Slot` in native.h.
_CODES = {"int64_t": "n", "int": "i", "float": "f", "double": "d"}
_TYPES = {"p": "const void *", **{code: name for name, code in _CODES.items()}}
_EXPORTED = re.compile(r"^EXPORT\s+void\s+(\w+)\s*\(([^)]*)\)", re.MULTILINE)


class CannotCompile(Exception):
    """The machine or its compiler cannot build the libraries; the message gives the reason."""


def c_sources() -> list[Path]:
    """Return the C files of the package, in a fixed order."""
    return sorted(SOURCES.rglob("*.c"))


def prototypes(text: str) -> Iterator[str]:
    """Yield "name:codes" for each exported function of a C source."""
    for name, arguments in _EXPORTED.findall(re.sub(r"//[^\n]*", "", text)):
        yield f"{name}:{''.join(map(_code, arguments.split(',')))}"


def _code(argument: str) -> str:
    if "*" in argument:
        return "p"
    kind = argument.split()[-2]
    if kind not in _CODES:
        raise CannotCompile(f"an exported function has an argument of the type {kind}")
    return _CODES[kind]


def table_of(found: list[str]) -> str:
    """Return a C source with a text that describes functions, and a caller of each.

    Parameters
    ----------
    found : list of str
        As from `prototypes`.
    """
    callers = []
    for line in found:
        name, codes = line.split(":")
        types = ", ".join(_TYPES[code] for code in codes)
        slots = ", ".join(f"a[{i}].{code}" for i, code in enumerate(codes))
        callers.append(CALLER.format(name=name, types=types, slots=slots))
    return TABLE.format(";".join(found)) + "".join(callers)


def digest() -> str:
    """Return a text that changes with the sources, the flags and the compiler."""
    known = hashlib.sha256(repr((_compiler(), FLAGS, INSTRUCTION_SETS, CALLER)).encode())
    for path in (*c_sources(), *sorted(SOURCES.rglob("*.h"))):
        known.update(path.read_bytes())
    return known.hexdigest()


def compile_sources(folder: Path = FOLDER) -> list[Path]:
    """Compile the libraries into a folder, unless they are there; return their paths.

    Raises
    ------
    CannotCompile
        If this is not Linux on x86-64, or if the compiler is missing or fails.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise CannotCompile("the C functions are for Linux on x86-64")
    paths = [folder / LIBRARY.format(name) for name in INSTRUCTION_SETS]
    mark, wanted = folder / DIGEST, digest()
    if mark.exists() and mark.read_text() == wanted and all(path.exists() for path in paths):
        return paths
    mark.unlink(missing_ok=True)
    sources = c_sources()
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        table = Path(scratch, "prototypes.c")
        found = [line for path in sources for line in prototypes(path.read_text())]
        table.write_text(table_of(sorted(found)))
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda path: _compile(path, [*sources, table]), paths))
    mark.write_text(wanted)
    return paths


def _compile(path: Path, sources: list[Path]) -> None:
    (name,) = [n for n in INSTRUCTION_SETS if LIBRARY.format(n) == path.name]
    new = sources[-1].with_name(path.name)
    command = [*_compiler(), *FLAGS, *INSTRUCTION_SETS[name], f"-I{FOLDER}", "-o", str(new)]
    try:
        result = subprocess.run(
            [*command, *map(str, sources), "-lm"], capture_output=True, text=True
        )
    except OSError as error:
        raise CannotCompile(f"no C compiler: {command[0]}: {error.strerror}") from None
    if result.returncode:
        lines = result.stderr.strip().splitlines() or ["no message"]
        raise CannotCompile(f"{command[0]} failed for {name}: {lines[0]}")
    if result.stderr:
        print(result.stderr, file=sys.stderr)
    # Not written in place: a running process may have the old file mapped.
    new.replace(path)


def _compiler() -> list[str]:
    return shlex.split(os.environ.get("CC", "")) or ["cc"]


if __name__ == "__main__":
    try:
        compile_sources()
    except CannotCompile as reason:
        sys.exit(f"The C functions are not compiled, NumPy computes instead: {reason}")
