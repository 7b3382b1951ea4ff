"""Settings of MultiBoxLoss about matching and mining."""

from __future__ import annotations

from typing import cast

from minicaffe.layers.base import Layer
from minicaffe.layers.detection.prior_blobs import suppression
from minicaffe.ops.detection.multibox_loss import Matching, MatchMethod, Mining, MiningMethod
from minicaffe.schema.forks_pb2 import MultiBoxLossParameter


def matching(proto: MultiBoxLossParameter) -> Matching:
    """Return how prior boxes and true boxes are matched."""
    return Matching(
        cast(MatchMethod, type(proto).MatchType.Name(proto.match_type).lower()),
        proto.overlap_threshold,
        proto.use_prior_for_matching,
        proto.ignore_cross_boundary_bbox,
    )


def mining(layer: Layer, proto: MultiBoxLossParameter) -> Mining:
    """Return how negatives are selected; the method also from the old field do_neg_mining.

    Raises
    ------
    NetError
        If both fields are set and contradict each other.
    """
    name = type(proto).MiningType.Name(proto.mining_type)
    if proto.HasField("do_neg_mining") and proto.do_neg_mining == (name == "NONE"):
        layer.require(
            not proto.HasField("mining_type"),
            f"do_neg_mining contradicts mining_type: {name}. Remove do_neg_mining",
        )
        name = "NONE"
    return Mining(
        cast(MiningMethod, name.lower()),
        proto.neg_pos_ratio,
        proto.neg_overlap,
        proto.sample_size,
        suppression(layer, proto.nms_param) if proto.HasField("nms_param") else None,
        proto.use_prior_for_nms,
    )
