"""ImageLabelmapData: batches of images and edge maps, for HED."""

from __future__ import annotations

from minicaffe.layers.batch_layer import OLD_TRANSFORM_FIELDS
from minicaffe.layers.registry import register
from minicaffe.layers.segmentation.label_map_layer import LabelColumn, LabelMapLayer
from minicaffe.schema.minicaffe_pb2 import ImageDataParameter


@register("ImageLabelmapData")
class ImageLabelmapData(LabelMapLayer[ImageDataParameter]):
    """Read images and edge maps from the files that a list names, again and again.

    Shapes: -> data (N, C, H, W), label (N, 1, H, W)

    Notes
    -----
    A line of the list is the path of an image, a space and the path of a grey image of equal size:
    its values from 128 on are edges, label 1, all others label 0. new_height and new_width resize
    both, with interpolation; mirror and crop apply to both, mean and scale to the image.

    Source: Xie and Tu, "Holistically-Nested Edge Detection", ICCV 2015.
    """

    old_transform_fields = OLD_TRANSFORM_FIELDS

    def label_column(self) -> LabelColumn:
        """Return that the list names edge maps."""
        return "EDGES"
