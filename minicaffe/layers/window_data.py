"""WindowData: batches of windows cut out of images, for R-CNN."""

from __future__ import annotations

import os

from minicaffe.data.batch_source import BatchSource
from minicaffe.data.transformer import DataTransformer
from minicaffe.layers.batch_layer import ImageBatchLayer
from minicaffe.layers.registry import register
from minicaffe.schema import LayerParameter
from minicaffe.schema.minicaffe_pb2 import TEST, TransformationParameter, WindowDataParameter


@register("WindowData")
class WindowData(ImageBatchLayer[WindowDataParameter]):
    """Cut windows out of images, warp them to one size, and mix objects with background.

    Shapes: -> data (N, 3, crop_size, crop_size), label (N,)

    Notes
    -----
    The source is a window file of R-CNN: images, and for each the boxes with class and overlap.
    Of N windows, drawn at random, N * fg_fraction (rounded down) show an object: their overlap is
    at least fg_threshold. The others come first in the batch, overlap by less than bg_threshold
    and have label 0. context_pad adds surroundings, crop_mode "square" keeps the proportions.
    crop_size, mirror, scale and the mean are set in transform_param; scale, as in Caffe, also in
    window_data_param, but not in both.

    Differs from Caffe: transform_param { scale } counts; there only that of window_data_param did.

    Source: Girshick et al., "Rich feature hierarchies for accurate object detection and semantic
    segmentation", CVPR 2014, appendix A.
    """

    tops = (2, 2)
    old_transform_fields = ("mean_file", "crop_size", "mirror")
    augments = False

    def open(self) -> BatchSource:
        """Read the window file."""
        # Imported here, because Pillow is slow to import.
        from minicaffe.data.records.window_crop import Cropper, WindowTransformer
        from minicaffe.data.records.windows import Sampling, WindowFiles, WindowRecords

        proto, size = self.settings, self.param.transform_param.crop_size
        self.require(proto.source, "window_data_param { source } is missing: the window file")
        self.require(proto.batch_size > 0, "batch_size is missing or 0; it must be at least 1")
        scale = self.param.transform_param.scale
        self.require(
            not (proto.HasField("scale") and self.param.transform_param.HasField("scale")),
            f"scale is set twice: {proto.scale:g} in window_data_param and {scale:g} in "
            "transform_param. Remove one.",
        )
        self.require(size > 0, "transform_param { crop_size } is missing: the size of the windows")
        self.require(
            size > 2 * proto.context_pad,
            f"context_pad: {proto.context_pad} on both sides leaves nothing of crop_size: {size}; "
            f"it can be at most {(size - 1) // 2}",
        )
        self.require(
            proto.crop_mode in ("warp", "square"),
            f'crop_mode: "{proto.crop_mode}" is unknown; it is "warp" or "square"',
        )
        self.require(
            0 <= proto.fg_fraction <= 1,
            f"fg_fraction: {proto.fg_fraction:g} is not a share; it must be from 0 to 1",
        )
        n = self.rows(proto.batch_size).n_in_batch
        cropper = Cropper(size, proto.context_pad, proto.crop_mode == "square")
        threads = self.context.backend.data_threads
        records = WindowRecords(
            WindowFiles(proto.source, proto.root_folder, proto.cache_images, threads),
            Sampling(n, proto.fg_threshold, proto.bg_threshold, proto.fg_fraction),
            WindowTransformer(self.transformation(self.param), cropper),
            self.random,
        )
        unchanged = DataTransformer(TransformationParameter(), TEST)
        return self.batches(records, proto.batch_size, unchanged)

    @classmethod
    def transformation(cls, param: LayerParameter) -> TransformationParameter:
        """Return transform_param, with the scale of window_data_param if that is set."""
        transform = TransformationParameter()
        transform.CopyFrom(param.transform_param)
        if param.window_data_param.HasField("scale"):
            transform.scale = param.window_data_param.scale
        return transform

    def key_name(self, key: bytes) -> str:
        """Name the image that a window is from, and the window file."""
        return f"a window of {os.fsdecode(key)} of {self.settings.source}"
