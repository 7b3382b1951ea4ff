"""ROIPooling."""

from __future__ import annotations

from minicaffe.blob import Blob
from minicaffe.layers.registry import register
from minicaffe.layers.rois.region_layer import RegionLayer
from minicaffe.ops.backend import Shape
from minicaffe.ops.rois.roi_pooling import RoiMaxPool
from minicaffe.schema.minicaffe_pb2 import LayerParameter, ROIPoolingParameter


@register("ROIPooling")
class ROIPooling(RegionLayer[ROIPoolingParameter]):
    """Pool the maximum of each bin of a grid over each region.

    Shapes: x (N, C, H, W), rois (R, 5) -> y (R, C, pooled_h, pooled_w)

    Notes
    -----
    A region [image, x1, y1, x2, y2] is scaled with spatial_scale, rounded to whole pixels, and cut
    into pooled_h x pooled_w bins, which may overlap by a pixel. The gradient goes to the maxima.
    MS-CNN's pad_ratio first moves each side outwards by that part of the region's width and height.
    Intel writes pooled_size: one number, or rows and columns.

    Differs from Fast R-CNN: the borders of bins are exact; there a rounding error could add a pixel
    to the last bin of a region of more than 50 pixels of the map. The CPU computes the gradient.

    Source: Girshick, "Fast R-CNN", ICCV 2015, section 2.1.
    """

    def region_op(self) -> RoiMaxPool:
        """Return the op from the settings."""
        proto = self.settings
        sizes = list(proto.pooled_size)
        self.require(
            not sizes or not (proto.pooled_h or proto.pooled_w),
            "roi_pooling_param sets the number of bins twice: remove pooled_size, or pooled_h and "
            "pooled_w",
        )
        self.require(
            len(sizes) <= 2, f"pooled_size is given {len(sizes)} times; give it once or twice"
        )
        h, w = (sizes[0], sizes[-1]) if sizes else (proto.pooled_h, proto.pooled_w)
        self.require(
            h > 0 and w > 0,
            f"roi_pooling_param {{ pooled_h: {h} pooled_w: {w} }}: both must be at least 1",
        )
        return RoiMaxPool((h, w), proto.spatial_scale, proto.pad_ratio)

    def pooled_shape(self, x: Blob) -> Shape:
        """Return the shape of what a region gives."""
        return (x.shape[1], *self.region_op().bins)

    @classmethod
    def summary(cls, param: LayerParameter) -> str:
        """Return "7x7 bins"."""
        proto = param.roi_pooling_param
        sizes = list(proto.pooled_size) or [proto.pooled_h, proto.pooled_w]
        return f"{sizes[0]}x{sizes[-1]} bins"
