"""Base of the data layers whose batches have a label for each pixel."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from minicaffe.data.batch_source import BatchSource
from minicaffe.data.image_form import ImageForm
from minicaffe.data.transformer import DataTransformer
from minicaffe.layers.base import Arity, Blobs, P
from minicaffe.layers.batch_layer import BatchLayer
from minicaffe.log import logger
from minicaffe.ops.backend import Shape
from minicaffe.schema import TEST, LayerParameter
from minicaffe.schema.minicaffe_pb2 import TransformationParameter

if TYPE_CHECKING:
    from minicaffe.data.label_maps import Framing

# What stands behind the path of an image in a line of the list: a member of LabelKind.
LabelColumn = Literal["NOTHING", "NUMBER", "LABELS", "EDGES"]

_CROPS = (("crop_size", "crop_size"), ("crop_height", "crop_width"), ("crop_h", "crop_w"))
_VALUES = ("scale", "mean_file", "mean_value")
_PLACES = ("mirror", "scale_factors", *(name for pair in _CROPS for name in pair))


class LabelMapLayer(BatchLayer[P]):
    """Base of the layers that read a list of images with labels of their pixels.

    Their messages have the fields of ImageDataParameter in common. What transform_param does to the
    places of pixels it does to the labels as well.
    """

    tops: ClassVar[Arity] = 2
    shared_fields = ("data_param", "transform_param")

    @classmethod
    def batch_shape(cls, param: LayerParameter, image: Shape) -> Shape:
        """Return batch_size images of the size that the settings resize or crop to."""
        proto = getattr(param, cls.param_field)
        channels, *size = image or (3 if proto.is_color else 1, proto.new_height, proto.new_width)
        rows, columns = next(_crops(cls.transformation(param)), size)
        return (proto.batch_size, channels, rows, columns) if rows and columns else ()

    @classmethod
    def image_form(cls, param: LayerParameter) -> ImageForm:
        """Return the form that the settings ask for."""
        proto = getattr(param, cls.param_field)
        size = proto.new_height, proto.new_width
        return ImageForm(3 if proto.is_color else 1, *size, has_class=False)

    @classmethod
    def unread_settings(cls, param: LayerParameter) -> Iterator[str]:
        """Yield sentences, also about fields of transform_param."""
        yield from super().unread_settings(param)
        for field, _ in param.transform_param.ListFields():
            if field.name not in (*_VALUES, *_PLACES):
                yield (
                    f"transform_param.{field.name} has no effect, because {cls.type} does not "
                    "apply it. Remove it."
                )

    def label_column(self) -> LabelColumn:
        """Return what a line of the list says about labels."""
        return "LABELS"

    def label_stride(self) -> int:
        """Return n if the labels of every n-th row and column are used."""
        return 1

    def ignore_label(self) -> int:
        """Return the label of pixels that do not count."""
        return 255

    def open(self) -> BatchSource:
        """Read the list."""
        # Imported here, because Pillow is slow to import.
        from minicaffe.data.label_maps import LabelMapBatches
        from minicaffe.data.records.label_maps import LabelKind, LabelMapFiles, LabelMapRecords

        proto: Any = self.settings  # Any: one of two messages with these fields
        self.require(proto.source, f"{self.param_field} {{ source }} is missing: the list")
        self.require(proto.batch_size > 0, "batch_size is missing or 0; it must be at least 1")
        self.require(
            (proto.new_height > 0) == (proto.new_width > 0),
            f"new_height: {proto.new_height}, new_width: {proto.new_width}; give both or neither",
        )
        self.require(
            0 <= self.ignore_label() <= 255,
            f"ignore_label: {self.ignore_label()} is no value of a pixel, 0 to 255",
        )
        framing = self._framing()
        size = proto.new_height, proto.new_width
        kind = LabelKind[self.label_column()]
        files = LabelMapFiles(
            *(proto.source, proto.root_folder, *size, proto.is_color),
            kind=kind,
            ignore_label=framing.ignore_label,
        )
        records = LabelMapRecords(files, self.random if proto.shuffle else None)
        records.skip_at_random(proto.rand_skip, self.random)
        threads = self.context.backend.data_threads
        rows = self.rows(proto.batch_size)
        return LabelMapBatches(records, rows, self._values(), framing, self.random, threads)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Open the source and give the tops the shapes of the first batch."""
        super().setup(bottom, top)
        for blob, what in zip(top, ("data", "label", "data_dim"), strict=False):
            logger.info(f"output {what} size: {','.join(map(str, blob.shape))}")

    def key_name(self, key: bytes) -> str:
        """Name the file of a sample and the list."""
        source: Any = self.settings  # Any: one of two messages with this field
        return f"{os.fsdecode(key)} of {source.source}"

    def _values(self) -> DataTransformer:
        """Return what changes the values of images, not their places."""
        transform = TransformationParameter()
        transform.CopyFrom(self.transformation(self.param))
        for field in _PLACES:
            transform.ClearField(field)
        return DataTransformer(transform, TEST)

    def _framing(self) -> Framing:
        """Return what changes the places of pixels."""
        from minicaffe.data.label_maps import Framing

        transform, stride = self.transformation(self.param), self.label_stride()
        crops = list(_crops(transform))
        self.require(
            len(crops) < 2 and all(all(crop) for crop in crops),
            "the crop is given by crop_size, or by crop_height and crop_width; give one of them",
        )
        rows, columns = crops[0] if crops else (0, 0)
        self.require(
            not (transform.mean_file and crops),
            "mean_file cannot be used with a crop of labelled images. Use mean_value",
        )
        self.require(
            stride > 0 and rows % stride == columns % stride == 0,
            f"label_divide_factor: {stride} must divide the crop, {rows} x {columns}",
        )
        factors = tuple(transform.scale_factors)
        self.require(
            all(factor > 0 for factor in factors),
            f"scale_factors: {', '.join(map('{:g}'.format, factors))}; they must be positive",
        )
        return Framing(
            (rows, columns),
            self.is_training,
            transform.mirror,
            factors if self.is_training else (),
            self.ignore_label(),
            stride,
        )


def _crops(transform: TransformationParameter) -> Iterator[tuple[int, int]]:
    """Yield the crops that are given, rows and columns."""
    for rows, columns in _CROPS:
        if getattr(transform, rows) or getattr(transform, columns):
            yield getattr(transform, rows), getattr(transform, columns)
