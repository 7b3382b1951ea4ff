"""ImageGtData."""

from __future__ import annotations

from collections.abc import Iterator

from minicaffe.data.batch_source import BatchSource
from minicaffe.layers.base import Blobs
from minicaffe.layers.batch_layer import BatchLayer
from minicaffe.layers.registry import register
from minicaffe.ops.backend import Shape
from minicaffe.schema import LayerParameter
from minicaffe.schema.minicaffe_pb2 import ImageGtDataParameter

_IDLE = ("cache_images", "mean_file", "mirror")


@register("ImageGtData")
class ImageGtData(BatchLayer[ImageGtDataParameter]):
    """Read images and label maps from a window file of MS-CNN.

    Shapes: -> data (N, 3, H, W), labels (N, 6, h, w)[, labels (N, 6, h, w) and so on]
    [, boxes (G, 7, 1, 1)]

    Notes
    -----
    For each image the file has objects (class, ignored, x1, y1, x2, y2) and regions to leave out.
    Images are resized to resize_width x resize_height and cut to crop_width x crop_height around a
    random object, in both phases; with do_multiple_scale some get a random size, so that the object
    has one between min_scale and max_scale, with min_whaspect and max_whaspect another aspect, too.
    There is a label map for each field_w, field_h and downsample_rate: class, center, size and
    overlap of the object that the field of a cell fits best, if that exceeds fg_threshold. With
    output_gt_boxes the last top has rows [image, x1, y1, x2, y2, class, ignored]. Objects below
    min_gt_width or min_gt_height are ignored. mirror and mean_value are read from transform_param.

    Differs from MS-CNN: the size without resize_width and crop_width is that of the first image.

    Source: Cai, Fan, Feris, Vasconcelos, "A Unified Multi-scale Deep Convolutional Neural Network
    for Fast Object Detection", ECCV 2016.
    """

    tops = (2, None)
    shared_fields = ("data_param", "transform_param")

    @classmethod
    def batch_shape(cls, param: LayerParameter, image: Shape) -> Shape:
        """Return batch_size images of the size after the crop."""
        proto = param.image_gt_data_param
        rows, columns = image[1:] or (0, 0)
        rows = proto.crop_height or proto.resize_height or rows
        columns = proto.crop_width or proto.resize_width or columns
        return (proto.batch_size, 3, rows, columns) if rows and columns else ()

    @classmethod
    def unread_settings(cls, param: LayerParameter) -> Iterator[str]:
        """Yield sentences, also about the fields without effect."""
        yield from super().unread_settings(param)
        if idle := [name for name in _IDLE if param.image_gt_data_param.HasField(name)]:
            yield f"{', '.join(idle)}: no effect in ImageGtData; see transform_param."

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check the settings, open the source and shape the tops."""
        proto = self.settings
        self.require(proto.source, "image_gt_data_param { source } is missing: the window file")
        self.require(proto.batch_size > 0, "batch_size is missing or 0; it must be at least 1")
        self.require(proto.coord_num == 4, f"coord_num: {proto.coord_num} must be 4: x, y, w, h")
        self.require(
            not self.param.transform_param.HasField("mean_file"),
            "transform_param { mean_file } is not read here; give mean_value",
        )
        n = len(proto.downsample_rate)
        self.require(
            n > 0 and len(proto.field_h) == len(proto.field_w) == n,
            f"downsample_rate, field_h and field_w must be given once for each label map, there "
            f"are {n}, {len(proto.field_h)} and {len(proto.field_w)}",
        )
        wanted = 1 + n + proto.output_gt_boxes
        self.require(
            len(top) == wanted,
            f"{n} label maps{' and the boxes' * proto.output_gt_boxes} need {wanted} tops; there "
            f"are {len(top)}",
        )
        super().setup(bottom, top)

    def open(self) -> BatchSource:
        """Read the window file."""
        # Imported here, because Pillow is slow to import.
        from minicaffe.data.annotations.field_batches import FieldBatches, FieldImages

        proto, transform = self.settings, self.param.transform_param
        resized = (proto.resize_height, proto.resize_width)
        rows, columns = proto.crop_height or resized[0], proto.crop_width or resized[1]
        sizes = zip(proto.downsample_rate, proto.field_h, proto.field_w, strict=True)
        has_sizes = proto.do_multiple_scale and 0 < proto.min_scale < proto.max_scale
        images = FieldImages(
            proto.source,
            proto.root_folder,
            self.rows(proto.batch_size),
            resized if all(resized) else None,
            (rows, columns) if rows and columns else None,
            tuple(sizes),
            proto.fg_threshold,
            (proto.min_gt_height, proto.min_gt_width),
            (proto.min_scale, proto.max_scale) if has_sizes else None,
            (proto.min_whaspect, proto.max_whaspect) if proto.min_whaspect else None,
            tuple(transform.mean_value),
            proto.scale,
            transform.mirror,
            proto.shuffle,
            max(proto.fg_img_multiple, 1),
        )
        return FieldBatches(images, self.random)

    def key_name(self, key: bytes) -> str:
        """Name the image."""
        return f"{key.decode()} of {self.settings.source}"
