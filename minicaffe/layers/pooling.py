"""Pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.layers.window import Window, window_text
from minicaffe.ops.backend import Shape
from minicaffe.ops.pool import Pool, PoolMode
from minicaffe.schema import LayerParameter
from minicaffe.schema.minicaffe_pb2 import PoolingParameter


@register("Pooling")
class Pooling(Layer[PoolingParameter]):
    """Pool each window of every channel: maximum, mean or a randomly drawn element.

    Shapes: x (N, C, *S) -> y (N, C, *S')[, mask (N, C, *S')]

    Notes
    -----
    S' = ceil((S + 2 pad - kernel) / stride) + 1 for each spatial axis, floor with round_mode:
    FLOOR, or ceil_mode: false as files of forks have it. If any pad is set, a last window that
    would start at or past S + pad is dropped. A kernel may be larger than the image by less than a
    stride: a 2 x 2 window with stride 2 maps one pixel to one. AVE divides by the window cut to the
    padded image. The second top (MAX only) contains the index of each maximum in its image (its
    H * W plane).

    Differs from Caffe: a window without a pixel (stride larger than kernel, pad 0) is an error;
    there it wrote before the beginning of the gradient. The maximum of a window with NaN is NaN,
    and that of -infinity alone is -infinity; there it was that of the others, at least -3.4e38.

    References
    ----------
    Zeiler and Fergus, "Stochastic pooling for regularization of deep CNNs", 2013 (STOCHASTIC).
    """

    role = "pooling"
    tops = (1, 2)
    reads_bottoms = False

    @classmethod
    def summary(cls, param: LayerParameter) -> str:
        """Return method and window."""
        proto = param.pooling_param
        mode = type(proto).PoolMethod.Name(proto.pool)
        return f"{mode} {'global' if proto.global_pooling else window_text(proto)}"

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read and check the window."""
        proto = self.settings
        self.mode = cast(PoolMode, type(proto).PoolMethod.Name(proto.pool).lower())
        self.can_recompute = self.mode != "stochastic"
        self.require(
            len(top) == 1 or self.mode == "max", "the second top (mask) exists for pool: MAX only"
        )
        self.require_shape(
            len(bottom[0].shape) > 2,
            f'bottom "{bottom[0].name}" must be (N, C, H, W), or have one or more other spatial '
            f"axes; it is {bottom[0].shape}",
        )
        self.n_axes = len(bottom[0].shape) - 2
        if proto.global_pooling:
            given = [f for f in ("kernel_size", "kernel_h", "kernel_w") if proto.HasField(f)]
            self.require(not given, f"global_pooling takes the whole image; remove {given}")
            one = (1,) * self.n_axes
            fixed = Window(one, self._global("stride"), self._global("pad"), one)
        else:
            fixed = self.fixed_window()
            self.require(
                all(p < k for p, k in zip(fixed.pad, fixed.kernel, strict=True)),
                f"pad {fixed.pad} must be smaller than the kernel {fixed.kernel}",
            )
            self.require(
                self.mode != "stochastic" or not any(fixed.pad),
                "pool: STOCHASTIC takes no pad",
            )
        self.window = fixed

    def _global(self, field: str) -> Shape:
        neutral = 1 if field == "stride" else 0
        for name in (field, f"{field}_h", f"{field}_w"):
            given = getattr(self.settings, name) if self.settings.HasField(name) else neutral
            self.require(given == neutral, f"global_pooling needs {name}: {neutral}, it is {given}")
        return (neutral,) * self.n_axes

    def fixed_window(self) -> Window:
        """Return the window that does not depend on the size of the image."""
        for name in ("kernel_depth", "temporal_stride"):
            self.require(
                not self.settings.HasField(name),
                f"{name} is for type Pooling3D; Pooling has one kernel_size for all axes",
            )
        return Window.of(self, self.n_axes)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Compute the output size and plan."""
        x, w = bottom[0], self.window
        self.require_shape(
            len(x.shape) == self.n_axes + 2,
            f'bottom "{x.name}" {x.shape} must have {self.n_axes} spatial axes, as before',
        )
        kernel = x.shape[2:] if self.settings.global_pooling else w.kernel
        out = tuple(map(self._out_size, x.shape[2:], kernel, w.stride, w.pad))
        for blob in top:
            blob.reshape((*x.shape[:2], *out))
        op = Pool(self.mode, kernel, w.stride, w.pad, out, training=self.is_training)
        self.kernel = self.plan(op, x.data, *(blob.data for blob in top))

    def _out_size(self, size: int, kernel: int, stride: int, pad: int) -> int:
        room = size + 2 * pad - kernel
        proto = self.settings
        rounds_up = proto.round_mode == type(proto).CEIL and proto.ceil_mode
        n = (-(-room // stride) if rounds_up else room // stride) + 1
        self.require_shape(
            n > 0, f"a window of {kernel} does not fit into {size} pixels with pad {pad}"
        )
        if any(self.window.pad) and (n - 1) * stride >= size + pad:
            n -= 1
        self.require_shape(
            max((n - 1) * stride - pad, 0) < size,
            f"the last window would start at pixel {(n - 1) * stride - pad} of {size} and hold "
            f"nothing. Set stride: {stride} to at most the kernel {kernel}, or round_mode: FLOOR.",
        )
        return n

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the tops."""
        mask = top[1].data if len(top) > 1 else None
        draws = self.mode == "stochastic" and self.is_training
        self.kernel.forward(
            bottom[0].data, top[0].data, mask, self.stream("pool") if draws else None
        )

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottom's diff."""
        if propagate_down[0]:
            self.kernel.backward(top[0].diff, bottom[0].diff)
