"""The layers of a region proposal network: ProposalLayer and AnchorTargetLayer."""

from __future__ import annotations

from typing import Any, ClassVar

from minicaffe.blob import Blob
from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.faster_rcnn.settings import Value, read_settings
from minicaffe.layers.rois.proposal import require_image_info, require_rpn_maps
from minicaffe.layers.rois.region_layer import ROI_VALUES, BoxLayer
from minicaffe.ops.rois.anchors import Box, region_anchors
from minicaffe.ops.rois.proposal import Proposal
from minicaffe.ops.rois.targets import AnchorTarget
from minicaffe.schema import LayerParameter
from minicaffe.schema.minicaffe_pb2 import PythonParameter

_ANCHORS: dict[str, Value] = {
    "feat_stride": 16,
    "base_size": 16,
    "ratios": [0.5, 1, 2],
    "scales": [8, 16, 32],
}


class PythonBoxLayer(BoxLayer[PythonParameter]):
    """A built-in layer under the name of a Python layer."""

    type = "Python"
    reads_bottoms = False
    # Settings of param_str with their defaults.
    defaults: ClassVar[dict[str, Value]] = {}

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the settings."""
        self.without_gradient = tuple(range(len(bottom)))
        # Any: the values have the types of the defaults.
        self.values: dict[str, Any] = read_settings(self, self.phase_defaults())

    def phase_defaults(self) -> dict[str, Value]:
        """Return the defaults of this phase."""
        return self.defaults

    def anchors(self) -> tuple[Box, ...]:
        """Return the anchors that the settings describe."""
        for key in ("feat_stride", "base_size"):
            self.require(self.values[key] > 0, f"param_str: {key} must be above 0")
        for key in ("ratios", "scales"):
            given = self.values[key]
            self.require(
                given and min(given) > 0, f"param_str: {key}: {given} must be numbers above 0"
            )
        return region_anchors(*(self.values[key] for key in ("base_size", "ratios", "scales")))


class ProposalLayer(PythonBoxLayer):
    """Propose regions from the scores and deltas of a region proposal network.

    Shapes: scores (1, 2A, H, W), deltas (1, 4A, H, W), info (1, 3) -> rois (K, 5)[, scores (K,)]

    Notes
    -----
    `rpn.proposal_layer.ProposalLayer` of py-faster-rcnn. Boxes smaller than min_size are dropped.

    Source: Ren, He, Girshick, Sun, "Faster R-CNN", NIPS 2015.
    """

    bottoms = 3
    tops = (1, 2)
    of_training: ClassVar[dict[str, Value]] = {"pre_nms_topn": 12000, "post_nms_topn": 2000}
    of_test: ClassVar[dict[str, Value]] = {"pre_nms_topn": 6000, "post_nms_topn": 300}

    def phase_defaults(self) -> dict[str, Value]:
        """Return the anchors' defaults and the numbers of proposals of this phase."""
        numbers = self.of_training if self.is_training else self.of_test
        return {**_ANCHORS, "min_size": 16, "nms_thresh": 0.7, **numbers}

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the sizes, give the tops those of one region, and plan."""
        anchors, values = self.anchors(), self.values
        require_rpn_maps(self, bottom[0], bottom[1], len(anchors))
        require_image_info(self, bottom[2])
        top[0].reshape((1, ROI_VALUES))
        for blob in top[1:]:
            blob.reshape((1,))
        op = Proposal(
            anchors,
            values["feat_stride"],
            values["min_size"],
            before=values["pre_nms_topn"],
            after=values["post_nms_topn"],
            threshold=values["nms_thresh"],
            drops_small=True,
        )
        self.kernel = self.plan(op, *(blob.data for blob in (*bottom, *top)))

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Find regions, reshape the tops and overwrite them."""
        n = self.kernel.propose(*(blob.data for blob in bottom))
        top[0].reshape((n, ROI_VALUES))
        for blob in top[1:]:
            blob.reshape((n,))
        self.kernel.forward(top[0].data, top[1].data if len(top) > 1 else None)


class AnchorTargetLayer(PythonBoxLayer):
    """Give the anchors of a region proposal network labels and targets from the true boxes.

    Shapes: scores (1, 2A, H, W), truths (G, 5), info (1, 3)[, data (...)]
    -> labels (1, 1, A * H, W), targets (1, 4A, H, W), inside (1, 4A, H, W), outside (1, 4A, H, W)

    Notes
    -----
    `rpn.anchor_target_layer.AnchorTargetLayer` of py-faster-rcnn: batch_size anchors that lie
    inside of the image, at most fg_fraction of them objects; see `minicaffe.ops.rois.targets`.
    The choice depends on the random seed, the layer's name and the number of earlier passes.

    Source: Ren, He, Girshick, Sun, "Faster R-CNN", NIPS 2015, section 3.1.2.
    """

    bottoms = (3, 4)
    tops = 4
    defaults: ClassVar[dict[str, Value]] = {
        **_ANCHORS,
        "negative_overlap": 0.3,
        "positive_overlap": 0.7,
        "fg_fraction": 0.5,
        "batch_size": 256,
    }

    @classmethod
    def deployed(cls, param: LayerParameter) -> None:
        """Return None: it needs labels."""

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the sizes, shape the tops and plan."""
        scores, truths, info = bottom[:3]
        anchors, values = self.anchors(), self.values
        n = len(anchors)
        self.require_shape(
            len(scores.shape) == 4 and scores.shape[:2] == (1, 2 * n),
            f'bottom "{scores.name}" must be (1, {2 * n}, H, W), 2 scores for each of {n} anchors, '
            f"it is {scores.shape}",
        )
        require_true_boxes(self, truths)
        require_image_info(self, info)
        rows, columns = scores.shape[2:]
        top[0].reshape((1, 1, n * rows, columns))
        for blob in top[1:]:
            blob.reshape((1, 4 * n, rows, columns))
        op = AnchorTarget(
            anchors,
            values["feat_stride"],
            values["negative_overlap"],
            values["positive_overlap"],
            values["fg_fraction"],
            values["batch_size"],
        )
        self.kernel = self.plan(op, truths.data, info.data, *(blob.data for blob in top))

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the tops."""
        outputs = tuple(blob.data for blob in top)
        random = self.stream("anchors").generator()
        self.kernel.forward(bottom[1].data, bottom[2].data, outputs, random)


def require_true_boxes(layer: Layer, truths: Blob) -> None:
    """Raise a ShapeError unless the blob has rows of a box and a class."""
    layer.require_shape(
        truths.shape[-1:] == (ROI_VALUES,),
        f'bottom "{truths.name}" must be (G, 5): x1, y1, x2, y2, class; it is {truths.shape}',
    )
