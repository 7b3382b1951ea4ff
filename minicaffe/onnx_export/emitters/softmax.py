"""Softmax and the largest elements."""

from __future__ import annotations

import math

from minicaffe.onnx_export.backend import Emitter, emitter
from minicaffe.ops.arg_max import ArgMax
from minicaffe.ops.backend import Tensor
from minicaffe.ops.softmax import Softmax


@emitter(Softmax)
class SoftmaxEmitter(Emitter[Softmax]):
    """Softmax; its axis goes last before opset 13, where it takes all axes from there on."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y, which may be x itself."""
        self.mark_sensitive()
        value, axis, last = self.read(x), self.op.axis, len(x.shape) - 1
        if self.graph.opset >= 13 or axis == last:
            self.write(y, self.graph.one("Softmax", value, axis=axis))
            return
        order = list(range(last + 1))
        order[axis], order[last] = last, axis
        turned = self.graph.one("Transpose", value, perm=order)
        normal = self.graph.one("Softmax", turned, axis=last)
        self.write(y, self.graph.one("Transpose", normal, perm=order))


@emitter(ArgMax)
class ArgMaxEmitter(Emitter[ArgMax]):
    """TopK; of equal values ONNX takes the first and Caffe the last."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        self.mark_sensitive()
        op, graph = self.op, self.graph
        top_k = graph.integers([op.top_k])
        if op.axis is not None:
            values, places = graph.add("TopK", self.read(x), top_k, n=2, axis=op.axis)
            self.write(y, values if op.values else graph.as_reals(places))
            return
        rows = graph.one("Flatten", self.read(x), axis=1) if len(x.shape) != 2 else self.read(x)
        values, places = graph.add("TopK", rows, top_k, n=2, axis=1)
        found, n = graph.as_reals(places), x.shape[0]
        if op.values:
            both = graph.one("Concat", found, values, axis=1)
            self.write(y, both, (n, 2 * op.top_k))
        else:
            self.write(y, found, (n, math.prod(y.shape[1:])))
