"""Rounding to grids: QuantizeLinear and DequantizeLinear, or the same in floats.

ONNX rounds half to even, as minicaffe does, and its scale is the step between two numbers of the
grid.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt

from minicaffe.backends.reference import ReferenceBackend
from minicaffe.errors import Unsupported
from minicaffe.onnx_export.backend import Emitter, emitter
from minicaffe.onnx_export.graph import OnnxGraph
from minicaffe.onnx_export.tensor import TraceTensor
from minicaffe.ops.backend import HostArray, Tensor
from minicaffe.ops.quantize import IntegerGrid, Quantize
from minicaffe.random import RandomStream

# The first opsets in which a slice has a scale of its own, and integers have 16 bits.
_AXIS_OPSET, _INT16_OPSET = 13, 21


@emitter(Quantize)
class QuantizeEmitter(Emitter[Quantize]):
    """Round activations by nodes, and constants during the export.

    Weights become integers with a DequantizeLinear. What has no integers, and a bias, becomes
    floats on the grid.
    """

    writes_constants = True

    def forward(self, x: Tensor, y: Tensor, stream: RandomStream | None) -> None:
        """Overwrite y, which may be x itself."""
        self.require(stream is None, "rounding_scheme: STOCHASTIC has no form in ONNX; set NEAREST")
        if cast(TraceTensor, x).value.name:
            self._write_nodes(x, y)
        else:
            self._write_constant(x, y)

    def _write_nodes(self, x: Tensor, y: Tensor) -> None:
        grid, graph = self.op.grid, self.graph
        if not isinstance(grid, IntegerGrid):
            raise Unsupported("no operator rounds bottoms and tops as precision: MINIFLOAT does")
        value, integers, steps = self.read(x), self._integer_type(grid), _steps(grid)
        graph.coarsest_step = max(graph.coarsest_step, float(steps.max()))
        limits = np.array([grid.low, grid.high], np.float32)
        step = graph.constant(steps)
        if integers is None:
            rounded = graph.one("Round", graph.one("Div", value, step))
            clipped = graph.one("Clip", rounded, *map(graph.constant, limits))
            self.write(y, graph.one("Mul", clipped, step))
            return
        if (grid.low, grid.high) != (np.iinfo(integers).min, np.iinfo(integers).max):
            value = graph.one("Clip", value, *map(graph.constant, limits * steps))
        zero = graph.constant(np.zeros((), integers))
        value = graph.one("QuantizeLinear", value, step, zero)
        self.write(y, graph.one("DequantizeLinear", value, step, zero))

    def _write_constant(self, x: Tensor, y: Tensor) -> None:
        ReferenceBackend().plan(self.op, x, y).forward(x, y, None)
        grid, values = self.op.grid, y.read()
        name = cast(TraceTensor, x).value.constant or f"{self.graph.layer}/constant"
        integers = self._integer_type(grid) if isinstance(grid, IntegerGrid) else None
        if not isinstance(grid, IntegerGrid) or integers is None or values.ndim == 1:
            found = self.graph.constant(np.array(values, np.float32), name)
            self.graph.fixed.add(found)
            self.write(y, found)
            return
        steps = _steps(grid)
        stored = np.moveaxis(np.rint(np.moveaxis(values, grid.axis, -1) / steps), -1, grid.axis)
        arrays = (stored.astype(integers), steps, np.zeros(steps.shape, integers))
        inputs = [
            self.graph.constant(array, name + end)
            for array, end in zip(arrays, ("", "/step", "/zero_point"), strict=True)
        ]
        along = {"axis": grid.axis} if steps.ndim else {}
        self.write(y, self.graph.one("DequantizeLinear", *inputs, **along))

    def _integer_type(self, grid: IntegerGrid) -> npt.DTypeLike | None:
        """Return the type of the integers, None if the opset has none."""
        is_old = len(grid.scales) > 1 and self.graph.opset < _AXIS_OPSET
        if is_old or grid.high > np.iinfo(np.int16).max:
            return None
        if grid.high <= np.iinfo(np.int8).max:
            return np.int8
        return np.int16 if self.graph.opset >= _INT16_OPSET else None


def _steps(grid: IntegerGrid) -> HostArray:
    """Return the step of the grid, or of each slice; float32 array of () or one axis."""
    steps = 1 / np.array(grid.scales)
    return (steps if len(steps) > 1 else steps[0]).astype(np.float32)


def transpose_integers(graph: OnnxGraph, name: str) -> bool:
    """Transpose the matrix of integers that a value is made of; False if it is made otherwise.

    onnxruntime replaces DequantizeLinear and a Gemm without transB by MatMulNBits, which rounds
    the other factor to 8 bits.
    """
    node = next((node for node in graph.nodes if name in node.outputs), None)
    if node is None or node.kind != "DequantizeLinear" or node.inputs[0] not in graph.constants:
        return False
    graph.constants[node.inputs[0]] = np.ascontiguousarray(graph.constants[node.inputs[0]].T)
    if "axis" in node.attributes:
        node.attributes["axis"] = 1 - cast(int, node.attributes["axis"])
    return True
