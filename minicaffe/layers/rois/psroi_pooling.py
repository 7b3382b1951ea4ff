"""PSROIPooling."""

from __future__ import annotations

from minicaffe.blob import Blob
from minicaffe.layers.registry import register
from minicaffe.layers.rois.region_layer import RegionLayer
from minicaffe.ops.backend import Shape
from minicaffe.ops.rois.roi_pooling import PsRoiAveragePool
from minicaffe.schema.minicaffe_pb2 import LayerParameter, PSROIPoolingParameter


@register("PSROIPooling")
class PSROIPooling(RegionLayer[PSROIPoolingParameter]):
    """Pool the mean of each bin of a grid over each region, from channels that belong to the bin.

    Shapes: x (N, output_dim * group_size^2, H, W), rois (R, 5)
    -> y (R, output_dim, group_size, group_size)

    Notes
    -----
    y[r, d, i, j] is the mean of channel (d * group_size + i) * group_size + j over bin (i, j) of
    region r. The corners of a region are rounded before they are scaled.

    Differs from R-FCN: the CPU computes it.

    Source: Dai, Li, He, Sun, "R-FCN: Object Detection via Region-based Fully Convolutional
    Networks", NIPS 2016, equation 1.
    """

    def region_op(self) -> PsRoiAveragePool:
        """Return the op from the settings."""
        proto = self.settings
        for field in ("spatial_scale", "output_dim", "group_size"):
            value = getattr(proto, field)
            self.require(
                value > 0, f"psroi_pooling_param {{ {field} }} must be above 0, it is {value:g}"
            )
        return PsRoiAveragePool(proto.group_size, proto.spatial_scale)

    def pooled_shape(self, x: Blob) -> Shape:
        """Return the shape of what a region gives."""
        d, g = self.settings.output_dim, self.settings.group_size
        self.require_shape(
            x.shape[1] == d * g * g,
            f'bottom "{x.name}" must have output_dim * group_size^2 = {d * g * g} channels, it has '
            f"{x.shape[1]}",
        )
        return d, g, g

    @classmethod
    def summary(cls, param: LayerParameter) -> str:
        """Return "21 of 7x7 bins"."""
        proto = param.psroi_pooling_param
        return f"{proto.output_dim} of {proto.group_size}x{proto.group_size} bins"
