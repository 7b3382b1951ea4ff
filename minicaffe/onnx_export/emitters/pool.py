"""Pooling.

Caffe's windows are those of ceil_mode with the same pad at both ends: an average is divided by the
area of the window cut to the padded image, as with count_include_pad. Pads that reach further at
the end would change that divisor. Runtimes differ where a window that ceil_mode added exceeds the
padded image and count_include_pad is set (OpenCV 5.0 divides by the whole window), so that pads of
such an average are a node of their own.
"""

from __future__ import annotations

import math

from minicaffe.onnx_export.backend import Emitter, emitter
from minicaffe.onnx_export.graph import Attribute
from minicaffe.ops.backend import Tensor
from minicaffe.ops.pool import Pool
from minicaffe.random import RandomStream

# Global pooling of clips is unknown to OpenCV 5.0.
_IMAGE_AXES = 2


@emitter(Pool)
class PoolEmitter(Emitter[Pool]):
    """MaxPool, AveragePool, or their global forms."""

    def forward(
        self, x: Tensor, y: Tensor, mask: Tensor | None = None, stream: RandomStream | None = None
    ) -> None:
        """Overwrite y and, where given, mask."""
        value, image = self.read(x), x.shape[2:]
        self.require(stream is None, "stochastic pooling of the TRAIN phase is random")
        is_whole = self.op.kernel == image and not any(self.op.pad) and math.prod(self.op.out) == 1
        is_whole &= len(image) == _IMAGE_AXES
        if self.op.mode == "stochastic":
            self.write(y, self._stochastic(value, x))
        elif self.op.mode == "max" and mask is not None:
            self._with_mask(value, x, y, mask)
        elif self.op.mode == "max":
            windows = {} if is_whole else self._windows(x)
            kind = "GlobalMaxPool" if is_whole else "MaxPool"
            self.write(y, self.graph.one(kind, value, **windows))
        elif is_whole:
            self.write(y, self.graph.one("GlobalAveragePool", value))
        else:
            self.write(y, self._average(value, x))

    def _average(self, value: str, x: Tensor) -> str:
        windows, pad = self._windows(x), self.op.pad
        if not any(pad):
            return self.graph.one("AveragePool", value, **windows)
        if "ceil_mode" not in windows:
            return self.graph.one("AveragePool", value, **windows, count_include_pad=1)
        padded = self.graph.one("Pad", value, self.graph.integers([0, 0, *pad, 0, 0, *pad]))
        return self.graph.one("AveragePool", padded, **{**windows, "pads": [0] * 2 * len(pad)})

    def _windows(self, x: Tensor) -> dict[str, Attribute]:
        op = self.op
        axes = zip(x.shape[2:], op.kernel, op.stride, op.pad, op.out, strict=True)
        rounds_up = any(
            out != (size + 2 * pad - kernel) // stride + 1
            for size, kernel, stride, pad, out in axes
        )
        windows: dict[str, Attribute] = {
            "kernel_shape": op.kernel,
            "strides": op.stride,
            "pads": [*op.pad, *op.pad],
        }
        return {**windows, "ceil_mode": 1} if rounds_up else windows

    def _with_mask(self, value: str, x: Tensor, y: Tensor, mask: Tensor) -> None:
        """Write maxima and their places; ONNX counts these through all images."""
        self.mark_sensitive()
        pooled, places = self.graph.add("MaxPool", value, n=2, **self._windows(x))
        plane = self.graph.integers([math.prod(x.shape[2:])])
        in_plane = self.graph.one("Mod", places, plane)
        self.write(y, pooled)
        self.write(mask, self.graph.one("Cast", in_plane, to=1))

    def _stochastic(self, value: str, x: Tensor) -> str:
        """Return the mean weighted by value: sum of squares / sum, 0 for a window of zeros."""
        squares = self._average(self.graph.one("Mul", value, value), x)
        mean = self._average(value, x)
        tiny = self.graph.constant([1e-37])
        return self.graph.one("Div", squares, self.graph.one("Max", mean, tiny))
