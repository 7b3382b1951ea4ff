"""Max and average pooling in the layout of x.

C kernels compute the maxima of plain images in windows of 2 x 2 (`_pair_pool`), and of images in
blocks of channels with larger strides (`_blocked_pool`). oneDNN computes all others.

Caffe divides an average by the area of the window clipped to the padded image. oneDNN divides by
the area of the whole window, or of the window clipped to the image. Without padding Caffe's rule is
the second; if no window exceeds the padded image, it is the first; otherwise the result of the
first is multiplied by the ratio of the areas.

The mask of max pooling comes from the primitive's workspace, which holds the place of each maximum
in its window, in the layout of y.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel, kernel
from minicaffe.backends.onednn.kernels._blocked_pool import BlockedPool, plan_blocked_pool
from minicaffe.backends.onednn.kernels._channel_blocks import BlockedImages
from minicaffe.backends.onednn.kernels._non_finite import has_finite_values, without_warnings
from minicaffe.backends.onednn.kernels._pair_pool import PairPool, plan_pair_pool
from minicaffe.backends.onednn.runtime.call import Call
from minicaffe.backends.onednn.runtime.library import Alg, Arg, Prop, Query
from minicaffe.backends.onednn.runtime.memory import AnyLayout, Layout, c_strides
from minicaffe.backends.onednn.runtime.primitive import Primitive
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.backends.reference.kernels.pool import ReferencePool
from minicaffe.errors import Unsupported
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.pool import Pool


@kernel(Pool)
class OneDnnPool(OneDnnKernel[Pool]):
    """Max and average pooling."""

    def __init__(self, backend: OneDnnBackend, op: Pool, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        if op.mode == "stochastic":
            raise Unsupported("oneDNN has no kernel for stochastic pooling")
        self._x, self._y = (t.shape for t in tensors[:2])
        spans = zip(self._x[2:], op.out, op.kernel, op.stride, op.pad, strict=True)
        after = tuple(max(0, (o - 1) * s + k - n - p) for n, o, k, s, p in spans)
        self._steps = (op.stride, op.kernel, (0,) * len(op.kernel), op.pad, after)
        overhangs = any(a > p for a, p in zip(after, op.pad, strict=True))
        if op.mode == "max":
            self._algorithm = Alg.POOLING_MAX
        elif any(op.pad):
            self._algorithm = Alg.POOLING_AVG_INCLUDE_PADDING
        else:
            self._algorithm = Alg.POOLING_AVG_EXCLUDE_PADDING
        # Computes a pass over values that are not finite: the primitive loses NaN.
        self._substitute: ReferencePool | None = None
        self._ratio: OneDnnTensor | None = None
        if self._algorithm is Alg.POOLING_AVG_INCLUDE_PADDING and overhangs:
            self._ratio = OneDnnTensor(backend.reorders, (1, 1, *op.out))
            self._ratio.set(self._ratios())
            self._scaled = OneDnnTensor(backend.reorders, self._y)
        self._pairs: PairPool | None = None
        self._plan_pairs = cache_method(self._new_pairs)
        self._native = cache_method(self._plan_native)
        self._forward = cache_method(self._plan_forward)
        self._backward = cache_method(self._plan_backward)
        self._multiply = cache_method(self._plan_multiply)

    def forward(
        self,
        x: OneDnnTensor,
        y: OneDnnTensor,
        mask: OneDnnTensor | None = None,
        stream: None = None,
    ) -> None:
        """Overwrite y and, where given, mask."""
        self._substitute = None
        self._pairs = self._plan_pairs(x.stored)
        if self._pairs is not None:
            self._pairs.forward(x, y)
            if mask is not None:
                self._write_mask(self._pairs.images, self._pairs.taps, mask)
            return
        # The maximum of bfloat16 values is one of them; averages are written as float32.
        self._layout = x.stored if self.op.mode == "max" else x.layout
        self._gradient_layout = x.stored
        native = self._native(self._layout)
        if native is not None:
            native.forward(x, y)
        elif self.op.mode == "max" and not has_finite_values(self.backend, x):
            self._forward_substitute(x, y, mask)
            return
        else:
            self._forward(self._layout)(x, y)
        if self._ratio is not None:
            self._multiply(y.layout)(y, self._ratio, y)
        if mask is not None:
            images = BlockedImages.of(y)
            if images.layout is y.layout:
                self._write_mask(images, self._library_taps(), mask)
            else:
                self._forward_substitute(x, y, mask)

    def _forward_substitute(
        self, x: OneDnnTensor, y: OneDnnTensor, mask: OneDnnTensor | None
    ) -> None:
        self._substitute = ReferencePool(self.backend, self.op, x, y)
        without_warnings(self._substitute.forward, x, y, *(() if mask is None else (mask,)))

    def _library_taps(self) -> Array:
        # The library counts taps in bytes, unless there are too many.
        values = self._forward(self._layout).primitive.workspace_values()
        taps = values.view(np.uint8 if math.prod(self.op.kernel) < 256 else np.int32)
        return taps[: math.prod(self._y)]

    def _write_mask(self, images: BlockedImages, taps: Array, mask: OneDnnTensor) -> None:
        """Overwrite the mask, given the layout of y and the taps of the maxima in it."""
        op, strides = self.op, np.array(c_strides(self._x[2:]))
        stride, pad = (np.array(numbers)[:, None] for numbers in (op.stride, op.pad))
        taps_at, corners = (np.indices(n).reshape(len(n), -1) for n in (op.kernel, op.out))
        steps = (strides @ taps_at).astype(np.float32)
        starts = (strides @ (corners * stride - pad)).astype(np.float32)
        taps = taps.reshape(images.samples, images.rows, images.pixels, images.block)
        out = mask.write().reshape(images.samples, images.rows, images.block, images.pixels)

        def run(thread: int) -> None:
            for n in range(thread, images.samples, self.backend.threads):
                out[n] = steps[taps[n]].transpose(0, 2, 1)
                out[n] += starts

        self.backend.spread(run, images.samples)

    def backward(self, dy: OneDnnTensor, dx: OneDnnTensor) -> None:
        """Overwrite dx."""
        if self._substitute is not None:
            without_warnings(self._substitute.backward, dy, dx)
            return
        if self._pairs is not None:
            self._pairs.backward(dy, dx)
            return
        if self._ratio is not None:
            self._multiply(dy.layout)(dy, self._ratio, self._scaled)
            dy = self._scaled
        self._backward(self._gradient_layout)(dy, dx)

    def _new_pairs(self, layout: Layout) -> PairPool | None:
        return plan_pair_pool(self.backend, self.op, layout, self._y)

    def _plan_native(self, x: Layout) -> BlockedPool | None:
        """Return the C kernel for the layouts of the primitive, None if it is not faster."""
        primitive = self._forward(x).primitive
        y = primitive.layout(Query.DST, self._y)
        return plan_blocked_pool(self.backend, self.op, primitive, x, y)

    def _plan_forward(self, x: Layout) -> Call:
        primitive = Primitive(
            *(self.engine, "pooling_forward", Prop.TRAINING, self._algorithm),
            *(x, AnyLayout(self._y, x.data_type), *self._steps),
        )
        primitive.use_workspace(primitive.new_workspace())
        y = primitive.layout(Query.DST, self._y)
        return Call(primitive, [(Arg.SRC, x)], [(Arg.DST, y)])

    def _plan_backward(self, x: Layout) -> Call:
        forward = self._forward(x).primitive
        y = forward.layout(Query.DST, self._y)
        arguments = (self._algorithm, x, y, *self._steps)
        primitive = Primitive(self.engine, "pooling_backward", *arguments, hint=forward)
        primitive.use_workspace(forward.workspace)
        return Call(primitive, [(Arg.DIFF_DST, y)], [(Arg.DIFF_SRC, x)])

    def _plan_multiply(self, layout: Layout) -> Call:
        ratio = Layout.plain((1, 1, *self.op.out))
        primitive = Primitive(self.engine, "binary", Alg.BINARY_MUL, layout, ratio, layout)
        return Call(primitive, [(Arg.SRC, layout), (Arg.SRC_1, ratio)], [(Arg.DST, layout)])

    def _ratios(self) -> Array:
        """Return the area of the whole window over that of the clipped one, for each output."""
        op, sides = self.op, []
        for n, k, s, p, o in zip(self._x[2:], op.kernel, op.stride, op.pad, op.out, strict=True):
            start = np.arange(o) * s - p
            sides.append(k / (np.minimum(start + k, n + p) - start))
        return functools.reduce(np.multiply.outer, sides)
