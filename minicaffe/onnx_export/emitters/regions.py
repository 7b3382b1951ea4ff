"""Pooling inside regions of interest."""

from __future__ import annotations

from minicaffe.onnx_export.backend import Emitter, emitter
from minicaffe.ops.backend import Tensor
from minicaffe.ops.rois.roi_pooling import RoiMaxPool


@emitter(RoiMaxPool)
class RoiMaxPoolEmitter(Emitter[RoiMaxPool]):
    """MaxRoiPool, which rounds corners as Caffe does."""

    def forward(self, x: Tensor, rois: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        op = self.op
        self.require(not op.pad_ratio, "MaxRoiPool has no pad_ratio")
        self.require(self.graph.opset < 22, "runtimes have MaxRoiPool up to --opset 21")
        regions = self.read(rois, (rois.shape[0], 5))
        if regions in self.graph.inputs:
            self.graph.limits[regions] = x.shape[0]
        pooled = self.graph.one(
            "MaxRoiPool", self.read(x), regions, pooled_shape=op.bins, spatial_scale=op.scale
        )
        self.write(y, pooled)
