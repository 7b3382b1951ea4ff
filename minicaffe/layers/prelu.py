"""PReLU."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.backend import Shape
from minicaffe.ops.prelu import PReLU as PReLUOp
from minicaffe.schema import FillerParameter
from minicaffe.schema.minicaffe_pb2 import PReLUParameter


@register("PReLU")
class PReLU(Layer[PReLUParameter]):
    """Apply the parametric ReLU: negative values times a learned slope for each channel.

    Shapes: x (N, C, ...) -> y (N, C, ...)

    Notes
    -----
    y = x if x > 0, else a[c] x. The slopes are initialised to 0.25 unless a filler is set.

    Parameters: slopes (C,), or () with channel_shared.

    References
    ----------
    He et al., "Delving deep into rectifiers", 2015.
    """

    role = "activation"
    can_recompute = True
    in_place = True
    overwrites_top_diff = True

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Create the slopes."""
        proto, shape = self.settings, bottom[0].shape
        self.require_shape(
            len(shape) >= 2,
            f'bottom "{bottom[0].name}" must be (N, C, ...), it is {shape}',
        )
        slopes: Shape = () if proto.channel_shared else (shape[1],)
        quarter = FillerParameter(type="constant", value=0.25)
        self.add_parameter(slopes, proto.filler if proto.HasField("filler") else quarter)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top the bottom's shape and plan."""
        shape, slopes = bottom[0].shape, self.blobs[0]
        self.require_shape(
            len(shape) >= 2 and slopes.shape in ((), (shape[1],)),
            f'bottom "{bottom[0].name}" now has shape {shape}; the slopes were made for '
            f"{slopes.count} channels",
        )
        top[0].reshape(shape)
        self.kernel = self.plan(PReLUOp(), bottom[0].data, slopes.data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward(bottom[0].data, self.blobs[0].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Add to the slopes' diff, then overwrite the bottom's, which may be the top's."""
        x, dy = bottom[0].data, top[0].diff
        if self.param_needs_diff[0]:
            self.kernel.backward_weights(x, dy, self.blobs[0].diff)
        if propagate_down[0]:
            self.kernel.backward_data(x, self.blobs[0].data, dy, bottom[0].diff)
