"""Names of the modules and classes that are built in."""

from __future__ import annotations

from minicaffe.layers.base import LayerClass
from minicaffe.layers.faster_rcnn.proposal_target_layer import ProposalTargetLayer
from minicaffe.layers.faster_rcnn.roi_data_layer import RoIDataLayer
from minicaffe.layers.faster_rcnn.rpn_layers import AnchorTargetLayer, ProposalLayer
from minicaffe.layers.segmentation.enet_dropout import SpatialDropoutLayer

# By module and class.
BUILT_IN: dict[tuple[str, str], LayerClass] = {
    ("rpn.proposal_layer", "ProposalLayer"): ProposalLayer,
    ("rpn.anchor_target_layer", "AnchorTargetLayer"): AnchorTargetLayer,
    ("rpn.proposal_target_layer", "ProposalTargetLayer"): ProposalTargetLayer,
    ("roi_data_layer.layer", "RoIDataLayer"): RoIDataLayer,
    ("spatial_dropout", "SpatialDropoutLayer"): SpatialDropoutLayer,
}
