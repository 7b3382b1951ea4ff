"""Elementwise functions of one variable."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minicaffe.onnx_export.backend import Emitter, emitter
from minicaffe.onnx_export.graph import OnnxGraph
from minicaffe.ops import activation as ops
from minicaffe.ops.activation import ACTIVATIONS, Activation
from minicaffe.ops.backend import Tensor


def _relu(graph: OnnxGraph, op: ops.Relu, x: str) -> str:
    return graph.one("LeakyRelu", x, alpha=op.slope) if op.slope else graph.one("Relu", x)


def _clip(graph: OnnxGraph, x: str, low: float, high: float) -> str:
    return graph.one("Clip", x, *(graph.constant(np.float32(limit)) for limit in (low, high)))


def _relu6(graph: OnnxGraph, op: ops.Relu6, x: str) -> str:
    if not op.slope:
        return _clip(graph, x, 0, 6)
    leaky = graph.one("LeakyRelu", x, alpha=op.slope)
    return graph.one("Min", leaky, graph.constant(np.float32(6)))


def _exp(graph: OnnxGraph, op: ops.Exp, x: str) -> str:
    return graph.one("Exp", graph.plus(graph.times(x, op.scale), op.shift))


def _log(graph: OnnxGraph, op: ops.Log, x: str) -> str:
    linear = graph.plus(graph.times(x, op.scale), op.shift)
    return graph.times(graph.one("Log", linear), op.factor)


def _power(graph: OnnxGraph, op: ops.Power, x: str) -> str:
    linear = graph.plus(graph.times(x, op.scale), op.shift)
    if op.power == 1:
        return graph.one("Identity", linear) if linear == x else linear
    return graph.one("Pow", linear, graph.constant(np.float32(op.power)))


def _swish(graph: OnnxGraph, op: ops.Swish, x: str) -> str:
    return graph.one("Mul", x, graph.one("Sigmoid", graph.times(x, op.beta)))


def _threshold(graph: OnnxGraph, op: ops.Threshold, x: str) -> str:
    is_more = graph.one("Greater", x, graph.constant(np.float32(op.threshold)))
    return graph.as_reals(is_more)


def _hard_sigmoid(graph: OnnxGraph, op: ops.HardSigmoid, x: str) -> str:
    return _clip(graph, graph.plus(graph.times(x, op.scale), op.shift), 0, 1)


def _selu(graph: OnnxGraph, op: ops.Selu, x: str) -> str:
    return graph.times(graph.one("Elu", x, alpha=op.alpha), op.scale)


def _mish(graph: OnnxGraph, op: ops.Mish, x: str) -> str:
    return graph.one("Mul", x, graph.one("Tanh", graph.one("Softplus", x)))


def _negative_relu(graph: OnnxGraph, op: ops.NegativeRelu, x: str) -> str:
    negative = graph.one("Min", x, graph.constant(np.float32(0)))
    if not op.slope:
        return negative
    return graph.one("Add", negative, graph.times(graph.one("Relu", x), op.slope))


# Any op of the table's key; mypy cannot relate key and value.
_FORMS: dict[type[Activation], Callable[..., str]] = {
    ops.Abs: lambda graph, op, x: graph.one("Abs", x),
    ops.Bnll: lambda graph, op, x: graph.one("Softplus", x),
    ops.Clip: lambda graph, op, x: _clip(graph, x, op.low, op.high),
    ops.Elu: lambda graph, op, x: graph.one("Elu", x, alpha=op.alpha),
    ops.Exp: _exp,
    ops.HardSigmoid: _hard_sigmoid,
    ops.Log: _log,
    ops.Mish: _mish,
    ops.NegativeRelu: _negative_relu,
    ops.Power: _power,
    ops.Relu: _relu,
    ops.Relu6: _relu6,
    ops.Selu: _selu,
    ops.Sigmoid: lambda graph, op, x: graph.one("Sigmoid", x),
    ops.Swish: _swish,
    ops.Tanh: lambda graph, op, x: graph.one("Tanh", x),
    ops.Threshold: _threshold,
}


# Functions that jump, or magnify differences of large values: see `OnnxGraph.sensitive`.
_SENSITIVE = (ops.Exp, ops.Sigmoid, ops.Tanh, ops.Threshold)


@emitter(*ACTIVATIONS)
class ActivationEmitter(Emitter[Activation]):
    """One node or a few for each function."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y, which may be x itself."""
        if isinstance(self.op, _SENSITIVE):
            self.mark_sensitive()
        self.write(y, _FORMS[type(self.op)](self.graph, self.op, self.read(x)))
