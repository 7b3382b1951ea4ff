"""Compile the loops over pixels into a shared library.

    python minicaffe/data/pixels/build.py

pip runs this during an installation (hatch_build.py). It needs a C compiler: the one that the
environment variable CC names, else cc. Nothing is compiled again unless the source is newer. This
module imports nothing of minicaffe, which is not installed yet.
"""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
LIBRARY = FOLDER / "pixels.so"
_SOURCE = FOLDER / "pixels.c"
# Products are not fused with sums, so that values are those of NumPy.
FLAGS = (
    *("-std=gnu11", "-O3", "-fPIC", "-shared", "-fvisibility=hidden", "-ffp-contract=off"),
    *("-Wall", "-Wextra"),
)


class CannotCompilePixels(Exception):
    """The machine or its compiler cannot build the library; the message gives the reason."""


def compile_pixels() -> list[Path]:
    """Compile the library, unless it is there and newer than its source; return its path.

    Raises
    ------
    CannotCompilePixels
        If this is not Linux on x86-64, or if the compiler is missing or fails.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise CannotCompilePixels("the loops over pixels are compiled for Linux on x86-64")
    if LIBRARY.exists() and LIBRARY.stat().st_mtime > _SOURCE.stat().st_mtime:
        return [LIBRARY]
    compiler = shlex.split(os.environ.get("CC", "")) or ["cc"]
    with tempfile.TemporaryDirectory(dir=FOLDER) as scratch:
        new = Path(scratch, LIBRARY.name)
        command = [*compiler, *FLAGS, "-Wl,--build-id=none", "-o", str(new), str(_SOURCE)]
        try:
            result = subprocess.run(command, capture_output=True, text=True)
        except OSError as error:
            raise CannotCompilePixels(f"no C compiler: {compiler[0]}: {error.strerror}") from None
        if result.returncode:
            lines = result.stderr.strip().splitlines() or ["no message"]
            raise CannotCompilePixels(f"{compiler[0]} failed: {lines[0]}")
        # Not written in place: a running process may have the old file mapped.
        new.replace(LIBRARY)
    return [LIBRARY]


if __name__ == "__main__":
    try:
        compile_pixels()
    except CannotCompilePixels as reason:
        sys.exit(f"The loops over pixels are not compiled, NumPy computes instead: {reason}")
