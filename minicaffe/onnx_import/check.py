"""Comparison of an imported net with onnxruntime."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minicaffe import log
from minicaffe.net import Net
from minicaffe.net.weights import copy_trained_layers
from minicaffe.onnx_import.graph import ModelGraph
from minicaffe.onnx_runtime import TOLERANCE, relative_difference, run_onnx
from minicaffe.ops.backend import HostArray


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
    from onnx import helper

    rng = np.random.default_rng(0)
    inputs = {
        name: rng.standard_normal(graph.shapes[name]).astype(np.float32) for name in graph.inputs
    }
    feeds = {
        name: values.astype(helper.tensor_dtype_to_np_dtype(graph.input_types[name]))
        for name, values in inputs.items()
    }
    expected = dict(zip(graph.outputs, run_onnx(onnx_path, feeds, graph.outputs), strict=True))
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


def _difference(found: HostArray, expected: HostArray) -> float:
    """Compare, whatever axes of size 1 the two have."""
    is_reshaped = found.size == expected.size
    return relative_difference(found.reshape(expected.shape) if is_reshaped else found, expected)
