"""AnnotatedData."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from minicaffe.data.batch_source import BatchSource
from minicaffe.data.db import printable
from minicaffe.data.image_form import ImageForm
from minicaffe.data.records.annotated import annotated_record
from minicaffe.data.records.base import RecordSource
from minicaffe.data.records.database import DatabaseRecords, ShuffledDatabaseRecords
from minicaffe.data.transformer import DataTransformer
from minicaffe.layers.batch_layer import ANNOTATED_FIELDS, ImageBatchLayer
from minicaffe.layers.registry import register
from minicaffe.schema import TEST, TRAIN, LayerParameter
from minicaffe.schema.forks_pb2 import AnnotatedDatum
from minicaffe.schema.minicaffe_pb2 import DataParameter, TransformationParameter

_BOTH = ("resize_param", "noise_param")  # fields that plain Data layers apply, too
_WITHOUT_EFFECT = (
    *("label_map_file", "single_class", "difficult_label_warmup"),
    *("seg_scales", "seg_resize_width", "seg_resize_height"),
)


@register("AnnotatedData")
class AnnotatedData(ImageBatchLayer[DataParameter]):
    """Read images and the boxes of their objects from a database that convert_annoset wrote.

    Shapes: -> data (N, C, H, W)[, label (1, 1, G, 8)]

    Notes
    -----
    A row of the label is [image, class, instance, xmin, ymin, xmax, ymax, difficult]: the number of
    the image in the batch, and sides in units of its width and height. G changes from batch to
    batch; one without objects has a row of -1. With yolo_data_type: 1 the label is (N, 1, 300, 5):
    rows [class - 1, center x, center y, width, height], the rest 0; train_diffcult: false leaves
    difficult objects out. Records without boxes give labels (N,).

    transform_param changes images and boxes alike, in this order: distort_param, expand_param, a
    part that a batch_sampler draws, resize_param, noise_param, the crop, mirror, mean and scale. Of
    several resize_params one is drawn for each batch, by prob. emit_constraint says which boxes
    stay when a part is cut out; all are cut to it. Images are decoded and changed ahead of time,
    several at once. shuffle reads the records in a random order, a new one in each round.

    Differs from SSD: images are not compressed as JPEG between the steps; raw records are changed
    like encoded ones; a part must meet all constraints of a sampler with one object; the boxes of
    FIT_LARGE_SIZE_AND_PAD fit tall images, too; noise_param's prob counts if it is given. Differs
    from MobileNet-YOLO: yolo_data_jitter counts in TRAIN only, and with yolo_data_type: 1 or if it
    is given.

    References
    ----------
    Liu et al., "SSD: single shot multibox detector", 2016, section 2.2. From the forks SSD and
    MobileNet-YOLO.
    """

    old_transform_fields = ()
    shared_fields = ("data_param", "transform_param", "annotated_data_param")
    converts_color = True
    augments = False

    @classmethod
    def unread_settings(cls, param: LayerParameter) -> Iterator[str]:
        """Yield sentences, also about the fields of annotated_data_param."""
        yield from super().unread_settings(param)
        for name in _WITHOUT_EFFECT:
            if param.annotated_data_param.HasField(name):
                yield f"annotated_data_param.{name} has no effect. Remove it."

    @classmethod
    def unread_transform_fields(cls) -> frozenset[str]:
        """Return the fields that apply to images without boxes only."""
        return (super().unread_transform_fields() - ANNOTATED_FIELDS).difference(_BOTH)

    @classmethod
    def image_form(cls, param: LayerParameter) -> ImageForm:
        """Return the form of colour images, or grey ones if transform_param asks for them."""
        return ImageForm(1 if param.transform_param.force_gray else 3, has_class=False)

    def open(self) -> BatchSource:
        """Open the database."""
        # Imported here, because Pillow is slow to import.
        from minicaffe.data.annotations.annotated_batches import (
            AnnotatedBatches,
            center_rows,
            object_rows,
        )
        from minicaffe.data.augmentation.annotated import AnnotatedTransformer

        proto, annotated = self.settings, self.param.annotated_data_param
        self.require(proto.source, "data_param { source } is missing: the folder of the database")
        self.require(proto.batch_size > 0, "batch_size is missing or 0; it must be at least 1")
        self.require(
            annotated.anno_type == AnnotatedDatum.BBOX,
            "annotated_data_param { anno_type } must be BBOX: other annotations are not read",
        )
        kind = annotated.yolo_data_type
        self.require(
            kind in (0, 1), f"yolo_data_type: {kind}; it is 0 (SSD's labels) or 1 (YOLO's)"
        )
        phase, is_yolo = TRAIN if self.is_training else TEST, kind == 1
        jitters = self.is_training and (is_yolo or annotated.HasField("yolo_data_jitter"))
        transform = AnnotatedTransformer(
            self.param.transform_param,
            annotated.batch_sampler,
            annotated.yolo_data_jitter if jitters else 0.0,
            phase,
        )
        values = DataTransformer(_without_windows(self.param.transform_param), phase)
        labels = partial(center_rows, counts_difficult=annotated.train_diffcult)
        records = self._records(values.color)
        records.skip_at_random(proto.rand_skip, self.random)
        return AnnotatedBatches(
            records,
            self.rows(proto.batch_size),
            (transform, values),
            labels if is_yolo else object_rows,
            self.random,
            self.context.backend.data_threads,
        )

    def _records(self, color: bool | None) -> RecordSource:
        proto = self.settings
        backend = self.database_kind(proto)
        if proto.shuffle:
            return ShuffledDatabaseRecords(
                proto.source, backend, color, self.random, annotated_record
            )
        return DatabaseRecords(proto.source, backend, color, annotated_record)

    def key_name(self, key: bytes) -> str:
        """Name the database and the key of a sample."""
        return f"key {printable(key)} of {self.settings.source}"


def _without_windows(param: TransformationParameter) -> TransformationParameter:
    """Return transform_param without crop and mirror, which change boxes as well."""
    copy = TransformationParameter()
    copy.CopyFrom(param)
    for field in ("crop_size", "crop_h", "crop_w", "mirror"):
        copy.ClearField(field)
    return copy
