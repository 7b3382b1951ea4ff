"""Prototypes as NVIDIA's headers in the wheels have them, to compare ours with."""

from __future__ import annotations

import functools
import importlib.metadata
import re
from pathlib import Path

import pytest

SCALARS = {"int": "i", "size_t": "z", "double": "d", "float": "f", "long long int": "l"}
# Handles and descriptors are pointers, whatever their names.
POINTERS = re.compile(r"\*|\[\]|Handle_t|Descriptor_t|cudaStream_t")


def wheel_files(wheels, ending):
    """Paths of the files of the first installed wheel of `wheels` that end so."""
    for wheel in wheels:
        try:
            files = importlib.metadata.files(wheel) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        found = [Path(str(file.locate())) for file in files if file.name.endswith(ending)]
        if found:
            return found
    pytest.skip(f"none of {', '.join(wheels)} is installed")
    return []


@functools.cache
def text_of(paths):
    text = "\n".join(path.read_text(errors="replace") for path in paths)
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)


def codes(paths, name):
    """One letter for each argument of a function: p pointer, i int or enum, z, d, f, l."""
    found = re.search(rf"\b{name}\s*\((.*?)\);", text_of(tuple(paths)), flags=re.DOTALL)
    assert found, f"{name} is in none of the headers"
    return "".join(_code(argument) for argument in found[1].split(","))


def _code(argument):
    if POINTERS.search(argument):
        return "p"
    words = argument.replace("const ", "").split()
    kind = " ".join(words[:-1])
    return SCALARS.get(kind, "i")


def enumerator(paths, name):
    """The number that a header gives a name."""
    found = re.search(rf"\b{name}\b[^=,}}]*=\s*(-?\d+)", text_of(tuple(paths)))
    assert found, f"{name} is in none of the headers"
    return int(found[1])
