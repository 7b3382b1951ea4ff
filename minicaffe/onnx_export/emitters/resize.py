"""Changes of the size of images."""

from __future__ import annotations

import math

import numpy as np

from minicaffe.onnx_export.backend import Emitter, emitter
from minicaffe.onnx_export.drawn_inputs import WholeNumbers
from minicaffe.ops.backend import HostArray, Tensor
from minicaffe.ops.interp import Interp
from minicaffe.ops.rois.mask_resize import MaskResize
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
        # Scales where they are exact, because sizes contain the number of samples.
        factors = (y.shape[2] / rows, y.shape[3] / columns)
        pairs = zip((rows, columns), factors, y.shape[2:], strict=True)
        is_exact = all(math.floor(n * np.float32(f)) == out for n, f, out in pairs)
        scales = [1, 1, *factors] if is_exact else []
        mode = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
        name = graph.resize(value, scales, y.shape, **mode)
        self.write(y, name)


@emitter(RepeatPixels)
class RepeatPixelsEmitter(Emitter[RepeatPixels]):
    """Resize to the nearest pixel before."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        name = self.graph.resize(
            self.read(x),
            [1, 1, *self.op.factors],
            (),
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
        graph.expect(self.read(mask), WholeNumbers(size))
        values = self.read(x, (*planes, pixels))
        outer = graph.one("Slice", graph.one("Shape", values), *map(graph.integers, ([0], [2])))
        shape = graph.joined([outer, graph.integers([size])], 0)
        zeros = graph.one("Expand", graph.reals(0), shape)
        name = graph.one("ScatterElements", zeros, places, values, axis=2)
        self.write(y, name, (*planes, size))


@emitter(MaskResize)
class MaskResizeEmitter(Emitter[MaskResize]):
    """Products with the matrices of rows and columns: Resize has other places at the end."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        graph = self.graph
        rows, columns = map(_near, x.shape[2:], y.shape[2:])
        wide = graph.one("MatMul", self.read(x), graph.reals(columns.T))
        self.write(y, graph.one("MatMul", graph.reals(rows), wide))


def _near(n: int, m: int) -> HostArray:
    """Return the weights of n pixels for each of m places, (m, n)."""
    at = np.minimum(np.arange(m) * n / m, n - 1)
    weights: HostArray = np.maximum(1 - np.abs(at[:, None] - np.arange(n)), 0)
    return weights
