"""Convolution3D and Deconvolution3D."""

from __future__ import annotations

from minicaffe.layers.base import Blobs
from minicaffe.layers.convolution import Convolution
from minicaffe.layers.deconvolution import Deconvolution
from minicaffe.layers.registry import register
from minicaffe.layers.volumes.clip_window import clip_window, clip_window_text
from minicaffe.ops.backend import Shape, Tensor
from minicaffe.schema import LayerParameter
from minicaffe.schema.minicaffe_pb2 import ConvolutionParameter


@register("Convolution3D")
class Convolution3D(Convolution):
    """Convolve clips or volumes with learned filters over frames, rows and columns.

    Shapes: x (N, C, D, H, W) -> y (N, F, D', H', W')

    Notes
    -----
    Convolution with a kernel of (kernel_depth, kernel_size, kernel_size), a stride of
    (temporal_stride, stride, stride) and a pad of (temporal_pad, pad, pad). filter_group has no
    effect: in C3D it divides the work, not the channels.

    Parameters: weights (F, C / group, *kernel), then bias (1, 1, 1, 1, F).

    References
    ----------
    Tran et al., "Learning spatiotemporal features with 3D convolutional networks", 2015.
    """

    param_field = "convolution3d_param"
    quantized_type = ""

    @classmethod
    def summary(cls, param: LayerParameter) -> str:
        """Return number and window of the filters."""
        proto = param.convolution3d_param
        return f"{proto.num_output} x {clip_window_text(proto)}"

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the window and create weights and bias."""
        shape = bottom[0].shape
        self.require_shape(
            len(shape) == 5,
            f'bottom "{bottom[0].name}" must be (N, C, frames, rows, columns), it is {shape}',
        )
        super().setup(bottom, top)

    def bias_shape(self) -> Shape:
        """Return (1, 1, 1, 1, num_output), as C3D's files have it."""
        return (1, 1, 1, 1, self.settings.num_output)

    def weight_values(self) -> tuple[Tensor, Tensor | None]:
        """Return weights and bias (F,)."""
        w, b = super().weight_values()
        return w, self._vector(b)

    def weight_diffs(self) -> tuple[Tensor | None, Tensor | None]:
        """Return the diffs of weights and bias (F,), None for those that are not needed."""
        dw, db = super().weight_diffs()
        return dw, self._vector(db)

    def _vector(self, b: Tensor | None) -> Tensor | None:
        return None if b is None else self.views.of(b, b.shape[-1:])

    @property
    def settings(self) -> ConvolutionParameter:
        """C3D's settings in the terms of Convolution."""
        proto = self.param.convolution3d_param
        window = clip_window(self, proto)
        return ConvolutionParameter(
            num_output=proto.num_output,
            bias_term=proto.bias_term,
            kernel_size=window.kernel,
            stride=window.stride,
            pad=window.pad,
            group=proto.group,
            weight_filler=proto.weight_filler,
            bias_filler=proto.bias_filler,
        )


@register("Deconvolution3D")
class Deconvolution3D(Deconvolution, Convolution3D):
    """Apply a transposed convolution over frames, rows and columns.

    Shapes: x (N, C, D, H, W) -> y (N, F, D', H', W')

    Notes
    -----
    Deconvolution with the settings of Convolution3D.

    Parameters: weights (C, F / group, *kernel), then bias (1, 1, 1, 1, F).

    References
    ----------
    Tran et al., "Deep end2end voxel2voxel prediction", 2016.
    """

    quantized_type = ""
