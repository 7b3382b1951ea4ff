"""MultiBoxLoss."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs
from minicaffe.layers.detection.matching import matching, mining
from minicaffe.layers.detection.prior_blobs import (
    code_type,
    count_priors,
    require_per_prior,
)
from minicaffe.layers.loss import NormalizedLossLayer
from minicaffe.layers.registry import register
from minicaffe.ops.detection.boxes import BoxCode
from minicaffe.ops.detection.multibox_loss import MultiBoxLoss as MultiBoxLossOp
from minicaffe.schema.forks_pb2 import MultiBoxLossParameter

_TRUE = 8


@register("MultiBoxLoss")
class MultiBoxLoss(NormalizedLossLayer[MultiBoxLossParameter]):
    """Match prior boxes with true boxes, and compute the loss of locations and of classes.

    Shapes: loc (N, 4 * P * L), conf (N, P * K), prior (1, 2, 4 * P), truth (1, 1, G, 8)[, arm_conf
    (N, 2 * P)[, arm_loc (N, 4 * P)]] -> loss ()

    Notes
    -----
    P is the number of prior boxes, K that of classes, L 1 with share_location, else K. A row of
    truth is [image, class, instance, xmin, ymin, xmax, ymax, difficult].

    Each true box is matched with the prior of its largest overlap, the best pairs first; then, with
    PER_PREDICTION, each prior left with the true box of its largest overlap, if that is at least
    overlap_threshold. Of the priors without a match and with overlaps below neg_overlap, those with
    the highest loss are the negatives, neg_pos_ratio for each match of the image (MAX_NEGATIVE).
    HARD_EXAMPLE lets matches and other priors of an image compete for sample_size places.

    loss = (loc_weight * sum of loc losses of the matches + sum of conf losses of matches and
    negatives) / Z; the codes and losses are those of code_type, loc_loss_type and conf_loss_type. Z
    is by default the number of matches (VALID). An image without true boxes has no negatives,
    unless mining_type is NONE. propagate_down: false for loc or conf removes that term.

    The fifth and sixth bottom are those of RefineDet: a negative needs a second arm_conf of
    objectness_score, and arm_loc moves the priors. With num_classes: 2 every object has class 1.

    Differs from SSD: with encode_variance_in_target the gradient is divided by the variances, as
    the loss is. An nms_param without top_k takes all boxes, there it took none. Without mining, the
    background is the true class in a LOGISTIC loss, too, and ignored priors do not count.

    References
    ----------
    Liu et al., "SSD: single shot multibox detector", 2016, section 2.2; Zhang et al., "Single-shot
    refinement neural network for object detection", 2018. From the forks SSD and RefineDet.
    """

    bottoms = (4, 6)
    without_gradient = (2, 3, 4, 5)

    @property
    def reads_bottoms(self) -> bool:
        """Nothing: forward computes the gradients of what it chose."""
        return False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check the settings."""
        proto = self.settings
        self.require(proto.num_classes > 0, "num_classes is missing or 0")
        self.require(
            proto.share_location or mining(self, proto).method == "none",
            "share_location: false cannot be combined with mining; set mining_type: NONE",
        )
        self.require(
            not proto.ignore_difficult_gt,
            "ignore_difficult_gt is not implemented; set use_difficult_gt: false instead",
        )
        self.require(proto.sample_size > 0, f"sample_size: {proto.sample_size} must be above 0")

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the shapes and plan."""
        super().reshape(bottom, top)
        proto = self.settings
        images, priors = bottom[0].shape[0], count_priors(self, bottom[2])
        codes = 1 if proto.share_location else proto.num_classes
        values = (codes * 4, proto.num_classes, 2, 4)
        for blob, n in zip((*bottom[:2], *bottom[4:]), values, strict=False):
            require_per_prior(self, blob, images, priors, n)
        truth = bottom[3]
        self.require_shape(
            len(truth.shape) == 4 and (*truth.shape[:2], truth.shape[3]) == (1, 1, _TRUE),
            f'bottom "{truth.name}" {truth.shape} must be (1, 1, boxes, {_TRUE})',
        )
        self.kernel = self.plan(self._op(), *(blob.data for blob in (*bottom, *top)))

    def _op(self) -> MultiBoxLossOp:
        proto = self.settings
        wanted = [*self.param.propagate_down, True, True]
        return MultiBoxLossOp(
            n_classes=proto.num_classes,
            background=proto.background_label_id,
            shares_location=proto.share_location,
            is_agnostic=proto.map_object_to_agnostic or proto.num_classes == 2,
            uses_difficult=proto.use_difficult_gt,
            code=BoxCode(code_type(proto.code_type), proto.encode_variance_in_target),
            matching=matching(proto),
            mining=mining(self, proto),
            is_smooth=proto.loc_loss_type == type(proto).SMOOTH_L1,
            is_logistic=proto.conf_loss_type == type(proto).LOGISTIC,
            ignores_outside=proto.bp_inside,
            loc_weight=proto.loc_weight if wanted[0] else 0.0,
            conf_weight=float(wanted[1]),
            normalization=self.normalization(),
            min_objectness=proto.objectness_score,
        )

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the loss."""
        loc, conf, prior, truth, *arm = (blob.data for blob in bottom)
        arm_conf, arm_loc = (arm[k] if k < len(arm) else None for k in (0, 1))
        self.kernel.forward(loc, conf, prior, truth, (arm_conf, arm_loc), top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the diffs of loc and conf."""
        self.require_no_gradient(propagate_down)
        wanted = zip(bottom[:2], propagate_down, strict=False)
        dloc, dconf = (blob.diff if needed else None for blob, needed in wanted)
        self.kernel.backward(top[0].diff, dloc, dconf)
