"""Pooling3D."""

from __future__ import annotations

from minicaffe.layers.base import Blobs
from minicaffe.layers.pooling import Pooling
from minicaffe.layers.registry import register
from minicaffe.layers.volumes.clip_window import clip_window, clip_window_text
from minicaffe.layers.window import Window
from minicaffe.schema import LayerParameter
from minicaffe.schema.forks_pb2 import Pooling3DParameter
from minicaffe.schema.minicaffe_pb2 import PoolingParameter


def given_pooling(param: LayerParameter) -> Pooling3DParameter | PoolingParameter:
    """Return the message of C3D 1.1 if it is set, else that of C3D 1.0."""
    return param.pooling3d_param if param.HasField("pooling3d_param") else param.pooling_param


@register("Pooling3D")
class Pooling3D(Pooling):
    """Pool windows of frames, rows and columns of clips or volumes: maximum or mean.

    Shapes: x (N, C, D, H, W) -> y (N, C, D', H', W')[, mask (N, C, D', H', W')]

    Notes
    -----
    Pooling with a kernel of (kernel_depth, kernel_size, kernel_size), a stride of
    (temporal_stride, stride, stride) and a pad of (0, pad, pad), which MAX does not take. Sizes are
    rounded up. Files of C3D 1.0 (V1 type POOLING3D) have these fields in pooling_param.

    References
    ----------
    Tran et al., "Learning spatiotemporal features with 3D convolutional networks", 2015.
    """

    param_field = "pooling3d_param"
    shared_fields = ("pooling_param",)

    @classmethod
    def summary(cls, param: LayerParameter) -> str:
        """Return method and window."""
        proto = given_pooling(param)
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
        return clip_window(self, given_pooling(self.param))

    @property
    def settings(self) -> PoolingParameter:
        """The method of C3D's settings, in the terms of Pooling."""
        proto = given_pooling(self.param)
        return PoolingParameter(pool=PoolingParameter.PoolMethod.Name(proto.pool))
