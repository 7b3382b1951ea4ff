"""ImageData: batches from a list of image files."""

from __future__ import annotations

import os

from minicaffe.data.batch_source import BatchSource
from minicaffe.data.image_form import ImageForm
from minicaffe.layers.batch_layer import ImageBatchLayer
from minicaffe.layers.registry import register
from minicaffe.ops.backend import Shape
from minicaffe.schema import LayerParameter
from minicaffe.schema.minicaffe_pb2 import ImageDataParameter


@register("ImageData")
class ImageData(ImageBatchLayer[ImageDataParameter]):
    """Read images from files and labels from the list that names them, again and again.

    Shapes: -> data (N, C, H, W)[, label (N,)]

    Notes
    -----
    A line of the list is a path, a space and a whole number; paths may hold spaces. Images are
    read and transformed ahead of time, several at once, in the order of the list or, with shuffle,
    in a new random order in each round. new_height and new_width resize them, and with
    scaled_decoding large JPEG files take less time; transform_param sets the other transformations.
    """

    mixes = True
    scales_decoding = True
    color_advice = "Set is_color in image_data_param."

    @classmethod
    def batch_shape(cls, param: LayerParameter, image: Shape) -> Shape:
        """Return batch_size images of the size that the settings resize or crop to."""
        proto = param.image_data_param
        given = (3 if proto.is_color else 1, proto.new_height, proto.new_width)
        return super().batch_shape(param, image or given)

    @classmethod
    def image_form(cls, param: LayerParameter) -> ImageForm:
        """Return the form that the settings ask for."""
        proto = param.image_data_param
        return ImageForm(3 if proto.is_color else 1, proto.new_height, proto.new_width)

    def open(self) -> BatchSource:
        """Read the list."""
        # Imported here, because Pillow is slow to import.
        from minicaffe.data.records.image_list import ImageFiles, ImageListRecords

        proto = self.settings
        self.require(proto.source, "image_data_param { source } is missing: the list of images")
        self.require(proto.batch_size > 0, "batch_size is 0; it must be at least 1")
        self.require(
            (proto.new_height > 0) == (proto.new_width > 0),
            f"new_height: {proto.new_height}, new_width: {proto.new_width}; give both or neither",
        )
        size = proto.new_height, proto.new_width
        files = ImageFiles(
            proto.source, proto.root_folder, *size, proto.is_color, proto.scaled_decoding
        )
        records = ImageListRecords(files, self.random if proto.shuffle else None)
        return self.batches(records, proto.batch_size, self.transformer(), proto.rand_skip)

    def key_name(self, key: bytes) -> str:
        """Name the file of a sample and the list."""
        return f"{os.fsdecode(key)} of {self.settings.source}"
