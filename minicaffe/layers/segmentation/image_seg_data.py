"""ImageSegData: batches of images and labels of their pixels, for DeepLab and PSPNet."""

from __future__ import annotations

from minicaffe.layers.batch_layer import OLD_TRANSFORM_FIELDS
from minicaffe.layers.registry import register
from minicaffe.layers.segmentation.label_map_layer import LabelColumn, LabelMapLayer
from minicaffe.schema.minicaffe_pb2 import ImageDataParameter

_COLUMNS: dict[int, LabelColumn] = {
    ImageDataParameter.NONE: "NOTHING",
    ImageDataParameter.IMAGE: "NUMBER",
    ImageDataParameter.PIXEL: "LABELS",
}


@register("ImageSegData")
class ImageSegData(LabelMapLayer[ImageDataParameter]):
    """Read images from files and labels of their pixels, again and again.

    Shapes: -> data (N, C, H, W), label (N, 1, H, W)[, size (N, 1, 1, 2)]

    Notes
    -----
    A line of the list is the path of an image and, after a space, what label_type says: PIXEL the
    path of an image of equal size whose pixels are labels (grey values or, in a file with a
    palette, indices of colours); IMAGE, the default, a number, the label of all pixels; NONE
    nothing: all labels are ignore_label. In TRAIN images and labels are scaled by one of
    scale_factors, drawn at random. Images smaller than the crop are padded at the bottom and on the
    right, with the mean and ignore_label; the third top has their rows and columns before. Mirror
    and crop apply to both, mean and scale to the image.

    Source: DeepLab (Chen et al., TPAMI 2018) and PSPNet (Zhao et al., "Pyramid Scene Parsing
    Network", CVPR 2017).
    """

    tops = (2, 3)
    old_transform_fields = OLD_TRANSFORM_FIELDS

    def label_column(self) -> LabelColumn:
        """Return what label_type says."""
        return _COLUMNS[self.settings.label_type]

    def ignore_label(self) -> int:
        """Return the label of padding, and of images without labels."""
        return self.settings.ignore_label
