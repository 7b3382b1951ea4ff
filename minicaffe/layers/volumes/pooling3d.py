"""Pooling3D."""

from __future__ import annotations

from minicaffe.layers.base import Blobs
from minicaffe.layers.pooling import Pooling
from minicaffe.layers.registry import register
from minicaffe.layers.volumes.clip_window import clip_window, clip_window_text
from minicaffe.layers.window import Window
from minicaffe.schema import LayerParameter
from minicaffe.schema.minicaffe_pb2 import PoolingParameter


@register("Pooling3D")
class Pooling3D(Pooling):
    """Pool windows of frames, rows and columns of clips or volumes: maximum or mean.

    Shapes: x (N, C, D, H, W) -> y (N, C, D', H', W')[, mask (N, C, D', H', W')]

    Notes
    -----
    Pooling with a kernel of (kernel_depth, kernel_size, kernel_size), a stride of
    (temporal_stride, stride, stride) and a pad of (0, pad, pad), which MAX does not take. Sizes are
    rounded up.

    References
    ----------
    Tran et al., "Learning spatiotemporal features with 3D convolutional networks", 2015.
    """

    param_field = "pooling3d_param"

    @classmethod
    def summary(cls, param: LayerParameter) -> str:
        """Return method and window."""
        proto = param.pooling3d_param
        return f"{PoolingParameter.PoolMethod.Name(proto.pool)} {clip_window_text(proto)}"

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read and check the window."""
        shape = bottom[0].shape
        self.require_shape(
            len(shape) == 5,
            f'bottom "{bottom[0].name}" must be (N, C, frames, rows, columns), it is {shape}',
        )
        super().setup(bottom, top)
        self.require(
            self.mode == "ave" or not any(self.window.pad), "pad is for pool: AVE only, as in C3D"
        )

    def fixed_window(self) -> Window:
        """Return the window of C3D's fields."""
        return clip_window(self, self.param.pooling3d_param)

    @property
    def settings(self) -> PoolingParameter:
        """The method of C3D's settings, in the terms of Pooling."""
        proto = self.param.pooling3d_param
        return PoolingParameter(pool=PoolingParameter.PoolMethod.Name(proto.pool))
