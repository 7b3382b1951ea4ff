"""RoIDataLayer."""

from __future__ import annotations

from typing import Any, ClassVar

from minicaffe.data.batch_source import BatchSource
from minicaffe.layers.base import Blobs
from minicaffe.layers.batch_layer import BatchLayer
from minicaffe.layers.faster_rcnn.settings import Value, read_settings
from minicaffe.ops.backend import Shape
from minicaffe.schema import LayerParameter
from minicaffe.schema.minicaffe_pb2 import PythonParameter

VOC_CLASSES = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike "
    "person pottedplant sheep sofa train tvmonitor"
)


class RoIDataLayer(BatchLayer[PythonParameter]):
    """Read images with their true boxes from a folder as PASCAL VOC has it, one image a batch.

    Shapes: -> data (1, 3, H, W), info (1, 3), truths (G, 5)

    Notes
    -----
    `roi_data_layer.layer.RoIDataLayer` of py-faster-rcnn, for nets with a region proposal network.
    param_str names the data: source the folder with JPEGImages, Annotations and ImageSets/Main,
    image_set a list there, classes the names of all classes but the background, separated by
    spaces. The short side becomes one of scales, unless the long one would exceed max_size. While
    training, each round has a new random order and, with flip, each image twice, once mirrored.
    info is rows, columns and scale; truths are rows [x1, y1, x2, y2, class], difficult objects
    left out.

    Differs from py-faster-rcnn: there the program that trains gave the data to the layer; images
    without objects are not left out.
    """

    type = "Python"
    tops = (3, 6)
    defaults: ClassVar[dict[str, Value]] = {
        "num_classes": 21,
        "source": "data/VOCdevkit2007/VOC2007",
        "image_set": "",
        "classes": VOC_CLASSES,
        "scales": [600],
        "max_size": 1000,
        "flip": True,
        "pixel_means": [102.9801, 115.9465, 122.7717],
    }

    @classmethod
    def batch_shape(cls, param: LayerParameter, image: Shape) -> Shape:
        """Return one image of the given size."""
        return (1, *image) if image else ()

    @classmethod
    def top_shapes(cls, param: LayerParameter, image: Shape) -> list[Shape]:
        """Return the shapes of image, info and one true box."""
        shape = cls.batch_shape(param, image)
        return [shape, (1, 3), (1, 5), *((1,) for _ in param.top[3:])] if shape else []

    def open(self) -> BatchSource:
        """Read the list of images."""
        # Imported here, because Pillow is slow to import.
        from minicaffe.data.annotations.voc_batches import VocBatches, VocImages

        # Any: the values have the types of the defaults.
        values: dict[str, Any] = read_settings(self, self.defaults)
        classes = values["classes"].split()
        self.require(
            len(classes) + 1 == values["num_classes"],
            f"param_str: num_classes: {values['num_classes']} must be 1, for the background, more "
            f"than the number of classes, {len(classes)}; list their names in classes",
        )
        self.require(
            values["scales"] and min(values["scales"]) > 0 and values["max_size"] > 0,
            "param_str: scales and max_size must be lengths above 0",
        )
        self.require(
            len(values["pixel_means"]) == 3, "param_str: pixel_means must be 3 numbers: BGR"
        )
        images = VocImages(
            values["source"],
            values["image_set"] or ("trainval" if self.is_training else "test"),
            {name: k + 1 for k, name in enumerate(classes)},
            tuple(values["pixel_means"]),
            tuple(values["scales"]),
            values["max_size"],
            values["flip"],
        )
        return VocBatches(images, self.random if self.is_training else None, self.rows(1))

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Open the source and give the tops the shapes of the first image."""
        self.require(
            len(top) == 3,
            f"there are {len(top)} tops; this layer gives data, im_info and gt_boxes, for nets "
            "with a region proposal network. Regions from files need py-faster-rcnn's own module",
        )
        super().setup(bottom, top)

    def key_name(self, key: bytes) -> str:
        """Name the image."""
        return f"image {key.decode()}"
