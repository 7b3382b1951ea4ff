"""Comparison of an imported net with onnxruntime."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minicaffe import log
from minicaffe.errors import NetError
from minicaffe.net import Net
from minicaffe.net.weights import copy_trained_layers
from minicaffe.onnx_import.graph import ModelGraph, missing_onnx

TOLERANCE = 1e-4


@dataclass(frozen=True)
class OutputDifference:
    """The largest difference of an output, relative to its largest magnitude."""

    name: str
    relative: float

    @property
    def is_small(self) -> bool:
        """Whether it is within the tolerance; NaN is not."""
        return self.relative <= TOLERANCE


def compare_with_onnxruntime(
    onnx_path: str | Path, graph: ModelGraph, net_path: str | Path, weights: str | Path
) -> list[OutputDifference]:
    """Run a model in onnxruntime and its net in minicaffe on the same random input.

    Raises
    ------
    NetError
        onnxruntime cannot run the model.
    MissingPackage
        The package onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise missing_onnx() from None
    from onnx import helper

    rng = np.random.default_rng(0)
    inputs = {
        name: rng.standard_normal(graph.shapes[name]).astype(np.float32) for name in graph.inputs
    }
    feeds = {
        name: values.astype(helper.tensor_dtype_to_np_dtype(graph.input_types[name]))
        for name, values in inputs.items()
    }
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    try:
        session = onnxruntime.InferenceSession(
            str(onnx_path), options, providers=["CPUExecutionProvider"]
        )
        expected = dict(zip(graph.outputs, session.run(graph.outputs, feeds), strict=True))
    except Exception as error:  # its own types are not public
        raise NetError(
            f"{onnx_path}: onnxruntime cannot run it: {error}. The files were written"
        ) from None
    with log.suppress_info():
        net = Net(net_path, "TEST")
        copy_trained_layers(net, weights)
    for name, values in inputs.items():
        net.blobs[name].data.set(values)
    net.forward()
    return [
        OutputDifference(name, _difference(net.blobs[name].data.get(), values))
        for name, values in expected.items()
    ]


def _difference(found: np.typing.ArrayLike, expected: np.typing.ArrayLike) -> float:
    a, b = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    if a.size != b.size:
        return float("inf")
    largest = float(np.abs(b).max(initial=0.0)) or 1.0
    return float(np.abs(a.reshape(b.shape) - b).max(initial=0.0)) / largest
