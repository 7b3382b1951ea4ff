"""ROIAlign and ROIWarping: bilinear samples on a grid over regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from minicaffe.layers.base import Blobs, Layer, P, Role
from minicaffe.layers.registry import register
from minicaffe.layers.rois.region_layer import clear_diffs, require_map, require_regions
from minicaffe.ops.rois.roi_sampling import RoiGridSample
from minicaffe.schema.minicaffe_pb2 import ROIPoolingParameter, ROIWarpingParameter


class SamplingLayer(Layer[P]):
    """Base of layers that sample a map inside regions."""

    bottoms = 2
    role: ClassVar[Role] = "pooling"

    def sample_op(self) -> RoiGridSample:
        """Return the op from the settings."""
        raise NotImplementedError

    def require_cells(self, h: int, w: int) -> tuple[int, int]:
        """Return the cells, or raise a NetError if there are none."""
        self.require(
            h > 0 and w > 0,
            f"{self.param_field} {{ pooled_h: {h} pooled_w: {w} }}: both must be at least 1",
        )
        return h, w

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check the settings."""
        self.op = self.sample_op()

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top a row for each region and plan."""
        x, rois = bottom
        require_map(self, x)
        require_regions(self, rois)
        h, w = (n + self.op.has_end for n in self.op.cells)
        top[0].reshape((rois.shape[0], x.shape[1], h, w))
        self.kernel = self.plan(self.op, x.data, rois.data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward(bottom[0].data, bottom[1].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottoms' diffs."""
        (x, rois), (to_map, to_regions) = bottom, propagate_down
        if 1 in self.without_gradient:
            clear_diffs([rois], [to_regions])
            to_regions = False
        self.kernel.backward(
            x.data,
            rois.data,
            top[0].diff,
            x.diff if to_map else None,
            rois.diff if to_regions else None,
        )


@register("ROIAlign")
class ROIAlign(SamplingLayer[ROIPoolingParameter]):
    """Take bilinear samples at the corners of the cells of a grid over each region, as MS-CNN does.

    Shapes: x (N, C, H, W), rois (R, 5) -> y (R, C, pooled_h + 1, pooled_w + 1)

    Notes
    -----
    The region, padded by pad_ratio, is scaled with spatial_scale and not rounded. It is cut into
    pooled_h x pooled_w cells, whose (pooled_h + 1) x (pooled_w + 1) corners, less half a pixel,
    are sampled; a corner outside of the map gives 0. This is not the layer of Mask R-CNN, which
    averages several samples for each cell.

    Differs from MS-CNN: the CPU computes the gradient.
    """

    without_gradient = (1,)

    def sample_op(self) -> RoiGridSample:
        """Return the op from the settings."""
        proto = self.settings
        self.require(
            not proto.pooled_size,
            "pooled_size has no effect in an ROIAlign layer; write pooled_h and pooled_w",
        )
        cells = self.require_cells(proto.pooled_h, proto.pooled_w)
        return RoiGridSample(
            cells, proto.spatial_scale, shift=0.5, pad_ratio=proto.pad_ratio, has_end=True
        )


@register("ROIWarping")
class ROIWarping(SamplingLayer[ROIWarpingParameter]):
    """Take bilinear samples on a grid over each region, with a gradient of the region's corners.

    Shapes: x (N, C, H, W), rois (R, 5) -> y (R, C, pooled_h, pooled_w)

    Notes
    -----
    Corners are scaled with spatial_scale and rounded; y[r, c, i, j] is the sample at row
    y1 + i * (y2 - y1) / pooled_h, and the column alike, 0 outside of the map. The gradient of a
    corner is that of the samples it moves, as if it was not rounded. In MNC a Pooling layer
    follows.

    Differs from MNC: the CPU computes it, and the gradient of a pixel counts every sample that it
    is part of; there a search window could miss some.

    Source: Dai, He, Sun, "Instance-aware Semantic Segmentation via Multi-task Network Cascades",
    CVPR 2016, section 4.
    """

    def sample_op(self) -> RoiGridSample:
        """Return the op from the settings."""
        proto = self.settings
        cells = self.require_cells(proto.pooled_h, proto.pooled_w)
        return RoiGridSample(cells, proto.spatial_scale, shift=0.0, is_rounded=True)
