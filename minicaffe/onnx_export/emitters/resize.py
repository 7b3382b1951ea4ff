"""Changes of the size of images."""

from __future__ import annotations

import math

import numpy as np

from minicaffe.onnx_export.backend import Emitter, emitter
from minicaffe.ops.backend import Tensor
from minicaffe.ops.interp import Interp
from minicaffe.ops.upsample import RepeatPixels, Unpool


@emitter(Interp)
class InterpEmitter(Emitter[Interp]):
    """Resize, linear with aligned corners."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        graph, value, (begin, end) = self.graph, self.read(x), self.op.crop
        rows, columns = (size - begin - end for size in x.shape[2:])
        if begin or end:
            ends = [begin + rows, begin + columns]
            value = graph.slice(value, [begin] * 2, ends, [2, 3])
        if (rows, columns) == y.shape[2:]:
            self.write(y, value)
            return
        # Scales, because sizes would contain the number of samples.
        factors = [1, 1, y.shape[2] / rows, y.shape[3] / columns]
        exact = all(
            math.floor(n * np.float32(f)) == out
            for n, f, out in zip((rows, columns), factors[2:], y.shape[2:], strict=True)
        )
        target = (
            ("", graph.constant(np.asarray(factors, np.float32)))
            if exact
            else ("", "", graph.integers(y.shape))
        )
        name = graph.one(
            "Resize", value, *target, mode="linear", coordinate_transformation_mode="align_corners"
        )
        self.write(y, name)


@emitter(RepeatPixels)
class RepeatPixelsEmitter(Emitter[RepeatPixels]):
    """Resize to the nearest pixel before."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        scales = self.graph.constant(np.asarray([1, 1, *self.op.factors], np.float32))
        name = self.graph.one(
            "Resize",
            self.read(x),
            "",
            scales,
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
        self.write(y, name)


@emitter(Unpool)
class UnpoolEmitter(Emitter[Unpool]):
    """ScatterElements into zeros."""

    def forward(self, x: Tensor, mask: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        graph, planes = self.graph, x.shape[:2]
        pixels, size = math.prod(x.shape[2:]), math.prod(y.shape[2:])
        places = graph.one("Cast", self.read(mask, (*planes, pixels)), to=7)
        if self.read(mask) in graph.inputs:
            graph.limits[self.read(mask)] = size
        zeros = graph.constant(np.zeros((*planes, size), np.float32))
        values = self.read(x, (*planes, pixels))
        name = graph.one("ScatterElements", zeros, places, values, axis=2)
        self.write(y, name, (*planes, size))
