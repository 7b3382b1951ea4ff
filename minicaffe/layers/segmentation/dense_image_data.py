"""DenseImageData: batches of images and label images, for SegNet."""

from __future__ import annotations

from minicaffe.layers.registry import register
from minicaffe.layers.segmentation.label_map_layer import LabelMapLayer
from minicaffe.schema import LayerParameter
from minicaffe.schema.minicaffe_pb2 import DenseImageDataParameter, TransformationParameter


@register("DenseImageData")
class DenseImageData(LabelMapLayer[DenseImageDataParameter]):
    """Read images and label images from the files that a list names, again and again.

    Shapes: -> data (N, C, H, W), label (N, 1, H, W)

    Notes
    -----
    A line of the list is the path of an image, a space and the path of an image of equal size whose
    pixels are labels: grey values or, in a file with a palette, indices of colours. new_height and
    new_width resize both, labels to the nearest pixel; mirror and a crop (in TRAIN at a random
    place) apply to both, mean and scale to the image. Images smaller than the crop are padded at
    the bottom and on the right, with the mean and the label 255. label_divide_factor: n keeps the
    labels of every n-th row and column.

    Differs from SegNet: there a crop or a mirror stopped the program, and mean_file, mirror,
    crop_height and crop_width of dense_image_data_param had no effect.

    Source: Badrinarayanan, Kendall and Cipolla, "SegNet: A Deep Convolutional Encoder-Decoder
    Architecture for Image Segmentation", TPAMI 2017; label_divide_factor: ENet.
    """

    @classmethod
    def transformation(cls, param: LayerParameter) -> TransformationParameter:
        """Return transform_param, with mean, mirror and crop of dense_image_data_param."""
        transform, proto = TransformationParameter(), param.dense_image_data_param
        transform.CopyFrom(param.transform_param)
        for field in ("mean_file", "mirror", "crop_height", "crop_width"):
            if getattr(proto, field):
                setattr(transform, field, getattr(proto, field))
        return transform

    def label_stride(self) -> int:
        """Return label_divide_factor."""
        return self.settings.label_divide_factor
