"""Settings in param_str: YAML with one key a line, or a Python dict."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import TypeAlias

from minicaffe.errors import nearest
from minicaffe.layers.base import Layer
from minicaffe.schema.minicaffe_pb2 import PythonParameter

# A number, a text or a list of numbers.
Value: TypeAlias = float | str | Sequence[float]
_LINE = re.compile(r"""\s*['"]?(\w+)['"]?\s*:\s*(.*?)\s*,?\s*""")
_YAML_TUPLE = re.compile(r"!!python/tuple")


def read_settings(layer: Layer[PythonParameter], defaults: dict[str, Value]) -> dict[str, Value]:
    """Return the settings in param_str, with defaults for the others.

    Raises
    ------
    NetError
        If param_str cannot be read, or has a key that is not in `defaults`, or another type.
    """
    text = _YAML_TUPLE.sub("", layer.settings.param_str).strip()
    rule = "write a line 'key': value for each setting, or a Python dict of them"
    try:
        given = _read(text)
    except (ValueError, SyntaxError) as error:
        layer.require(False, f"param_str {text!r} cannot be read ({error}); {rule}")
        raise
    for key, value in given.items():
        layer.require(
            key in defaults, f'param_str: unknown setting "{key}". {nearest(key, defaults)}'
        )
        wanted = defaults[key]
        is_number = isinstance(wanted, int | float) and isinstance(value, int | float)
        layer.require(
            is_number or isinstance(value, type(wanted)),
            f"param_str: {key}: {value!r} must be a {type(wanted).__name__}, such as {wanted!r}",
        )
    return defaults | given


def _read(text: str) -> dict[str, Value]:
    given: object = {}
    if text.startswith("{"):
        given = ast.literal_eval(text)
    else:
        lines = [(line, _LINE.fullmatch(line)) for line in text.splitlines() if line.strip()]
        for line, found in lines:
            if found is None:
                raise ValueError(f"the line {line!r} has no key")
        given = {found[1]: ast.literal_eval(found[2]) for _, found in lines if found}
    if not isinstance(given, dict):
        raise ValueError("it is no dict")
    return {k: list(v) if isinstance(v, tuple) else v for k, v in given.items()}
