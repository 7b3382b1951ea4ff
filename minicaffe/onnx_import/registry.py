"""The table of converters by operator type."""

from __future__ import annotations

from collections.abc import Callable

from minicaffe.onnx_import.writer import NetWriter

# Adds layers for ``writer.node``; raises a NetError if Caffe has nothing for it.
Convert = Callable[[NetWriter], None]

CONVERTERS: dict[str, Convert] = {}


def converter(*ops: str) -> Callable[[Convert], Convert]:
    """Register a function as the converter of operators."""

    def register(function: Convert) -> Convert:
        for op in ops:
            CONVERTERS[op] = function
        return function

    return register
