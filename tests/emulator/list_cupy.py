"""Write cupy_names.json: the names in CuPy, which the fake CuPy must not exceed.

Run where CuPy is installed, which needs no GPU: ``python tests/emulator/list_cupy.py``.
"""

import inspect
import json
import warnings
from pathlib import Path

import numpy as np

PATH = Path(__file__).with_name("cupy_names.json")


def names(cupy):
    """Return the names and parameters of CuPy's functions."""
    ufuncs, functions, values = {}, {}, []
    for name in dir(cupy):
        found = getattr(cupy, name)
        if name.startswith("_") or not hasattr(np, name) or inspect.ismodule(found):
            continue
        if isinstance(found, cupy.ufunc):
            ufuncs[name] = [*(["at"] if found._scatter_op else []), *_reductions(name)]
        elif found is getattr(np, name):
            values.append(name)
        elif callable(found) and not isinstance(found, type):
            functions[name] = _parameters(found)
    array = [name for name in dir(cupy.ndarray) if not name.startswith("_")]
    return {
        "version": cupy.__version__,
        "ufuncs": ufuncs,
        "functions": functions,
        "values": values,
        "array": array,
    }


def _reductions(name):
    # CuPy's manual: only these ufuncs have them.
    return ["reduce"] if name in ("add", "multiply") else []


def _parameters(function):
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return [
        "*" + parameter.name if parameter.kind is parameter.VAR_POSITIONAL else parameter.name
        for parameter in parameters
    ]


def main():
    """Write the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import cupy

        found = names(cupy)
    lines = []
    for key, value in found.items():
        if isinstance(value, dict):
            items = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items())
            lines.append(f'"{key}": {{\n{items}\n}}')
        else:
            lines.append(f'"{key}": {json.dumps(value)}')
    PATH.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
