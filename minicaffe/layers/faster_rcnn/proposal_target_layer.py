"""ProposalTargetLayer."""

from __future__ import annotations

from typing import ClassVar

from minicaffe.layers.base import Blobs
from minicaffe.layers.faster_rcnn.rpn_layers import PythonBoxLayer, require_true_boxes
from minicaffe.layers.faster_rcnn.settings import Value
from minicaffe.layers.rois.region_layer import ROI_VALUES, require_regions
from minicaffe.layers.without_labels import layer_without_labels
from minicaffe.ops.rois.targets import RoiTarget
from minicaffe.schema import LayerParameter


class ProposalTargetLayer(PythonBoxLayer):
    """Choose regions to train on, and give them classes and targets from the true boxes.

    Shapes: rois (R, 5), truths (G, 5) -> rois (K, 5), labels (K,), targets (K, 4C),
    inside (K, 4C), outside (K, 4C)

    Notes
    -----
    `rpn.proposal_target_layer.ProposalTargetLayer` of py-faster-rcnn and py-R-FCN: batch_size
    regions (-1: all, for R-FCN with hard example mining), at most fg_fraction of them objects; see
    `minicaffe.ops.rois.targets`. The defaults are those of faster_rcnn_end2end.yml. Targets are
    divided by target_stds; a net's predictions have to be multiplied by them. With num_classes 2
    the targets do not depend on the class, as in R-FCN.

    Source: Girshick, "Fast R-CNN", ICCV 2015, section 2.3.
    """

    bottoms = 2
    tops = 5
    defaults: ClassVar[dict[str, Value]] = {
        "num_classes": 21,
        "batch_size": 128,
        "fg_fraction": 0.25,
        "fg_thresh": 0.5,
        "bg_thresh_hi": 0.5,
        "bg_thresh_lo": 0.0,
        "target_means": [0.0, 0.0, 0.0, 0.0],
        "target_stds": [0.1, 0.1, 0.2, 0.2],
    }

    @classmethod
    def deployed(cls, param: LayerParameter) -> LayerParameter:
        """Return a Split layer: all regions go on, without labels and targets."""
        return layer_without_labels(param, "Split")

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the sizes, give the tops those of one region, and plan."""
        values = self.values
        require_regions(self, bottom[0])
        require_true_boxes(self, bottom[1])
        for key in ("target_means", "target_stds"):
            self.require(len(values[key]) == 4, f"param_str: {key} must have 4 numbers")
        self.require(values["num_classes"] > 1, "param_str: num_classes must be at least 2")
        self._shape(top, 1)
        op = RoiTarget(
            values["num_classes"],
            values["batch_size"] if values["batch_size"] >= 0 else None,
            values["fg_fraction"],
            values["fg_thresh"],
            values["bg_thresh_lo"],
            values["bg_thresh_hi"],
            tuple(values["target_means"]),
            tuple(values["target_stds"]),
        )
        self.kernel = self.plan(op, *(blob.data for blob in (*bottom, *top)))

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Choose regions, reshape the tops and overwrite them."""
        random = self.stream("regions").generator()
        self._shape(top, self.kernel.choose(bottom[0].data, bottom[1].data, random))
        self.kernel.forward(tuple(blob.data for blob in top))

    def _shape(self, top: Blobs, n: int) -> None:
        top[0].reshape((n, ROI_VALUES))
        top[1].reshape((n,))
        for blob in top[2:]:
            blob.reshape((n, 4 * self.values["num_classes"]))
