"""BoxOutput."""

from __future__ import annotations

from typing import cast

from minicaffe.layers.base import Blobs
from minicaffe.layers.mscnn.fields import make_field, means_and_deviations
from minicaffe.layers.registry import register
from minicaffe.layers.rois.region_layer import BoxLayer
from minicaffe.ops.mscnn.box_output import BoxOutput as BoxOutputOp
from minicaffe.ops.mscnn.box_output import Cover
from minicaffe.schema.minicaffe_pb2 import BoxOutputParameter

_COVERS = ("IOU", "IOMU", "IOFU")


@register("BoxOutput")
class BoxOutput(BoxLayer[BoxOutputParameter]):
    """Find the boxes in the maps of MS-CNN's proposal net, with non-maximum suppression.

    Shapes: x (N, C + 4, H, W)[, x (N, C + 4, H, W) and so on]
    -> boxes (K, 5, 1, 1)[, scored (K, 6, 1, 1)]

    Notes
    -----
    A cell whose best logit exceeds the background's by fg_thr or more gives a box, relative to a
    field of field_h x field_w pixels around its center; both are given for each map, and
    downsample_rate, the pixels of a cell. Offsets are limited to the field over field_xyr and to
    its size times or over field_whr; sides below min_size are dropped. Of the best max_nms_num
    boxes of an image, those stay that no better one covers by more than iou_thr: over the union
    (nms_type "IOU"), the smaller box ("IOMU") or the better one ("IOFU"); max_post_nms_num at most.
    Rows are [image, x1, y1, x2, y2(, score)]; if there is none, [0, 1, 1, 10, 10] and zeros.

    Source: Cai, Fan, Feris, Vasconcelos, "A Unified Multi-scale Deep Convolutional Neural Network
    for Fast Object Detection", ECCV 2016.
    """

    bottoms = (1, None)
    tops = (1, 2)
    shared_fields = ("bbox_reg_param",)
    reads_bottoms = False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check the settings."""
        proto, n = self.settings, len(bottom)
        sizes = proto.field_h, proto.field_w, proto.downsample_rate
        self.require(
            all(len(given) == n for given in sizes),
            f"{n} bottoms need {n} times field_h, field_w and downsample_rate; there are "
            f"{', '.join(str(len(given)) for given in sizes)}",
        )
        self.require(
            proto.nms_type in _COVERS,
            f'nms_type: "{proto.nms_type}" is unknown; it is one of {", ".join(_COVERS)}',
        )
        self.without_gradient = tuple(range(n))
        limits = proto.field_xyr, proto.field_whr
        self.op = BoxOutputOp(
            tuple(make_field(self, size, limits) for size in zip(*sizes, strict=True)),
            *means_and_deviations(self),
            least_score=proto.fg_thr,
            least_size=proto.min_size,
            cover=cast(Cover, proto.nms_type),
            threshold=proto.iou_thr,
            before=proto.max_nms_num,
            after=proto.max_post_nms_num,
        )

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the maps, give the tops the sizes of one box, and plan."""
        first = bottom[0]
        for x in bottom:
            self.require_shape(
                len(x.shape) == 4 and x.shape[1] > 5 and x.shape[:2] == first.shape[:2],
                f'bottom "{x.name}" must be (N, C + 4, H, W) with at least 2 classes, N and C as '
                f'in "{first.name}" {first.shape}; it is {x.shape}',
            )
        self._shape(top, 1)
        self.kernel = self.plan(self.op, *(blob.data for blob in (*bottom, *top)))

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Find boxes, reshape the tops and overwrite them."""
        self._shape(top, self.kernel.detect([blob.data for blob in bottom]))
        self.kernel.forward(top[0].data, top[1].data if len(top) > 1 else None)

    def _shape(self, top: Blobs, n: int) -> None:
        for k, blob in enumerate(top):
            blob.reshape((n, 5 + k, 1, 1))
