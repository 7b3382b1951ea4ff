"""VideoData: frames, clips or segments of videos."""

from __future__ import annotations

import os
from collections.abc import Iterator

from minicaffe.data.batch_source import BatchSource
from minicaffe.data.clips.clip_batches import ClipBatches
from minicaffe.data.transformer import DataTransformer
from minicaffe.layers.batch_layer import ImageBatchLayer
from minicaffe.layers.registry import register
from minicaffe.layers.video.video_sources import (
    clip_records,
    frame_records,
    reads_segments,
    segment_channels,
    segment_records,
)
from minicaffe.ops.backend import Shape
from minicaffe.schema import TEST, TRAIN, LayerParameter
from minicaffe.schema.forks_pb2 import VideoDataParameter
from minicaffe.schema.minicaffe_pb2 import TransformationParameter


@register("VideoData")
class VideoData(ImageBatchLayer[VideoDataParameter]):
    """Read frames of videos: one after another, clips of them, or some of each segment.

    Shapes: -> data (N, C, H, W) or (N, C, L, H, W)[, label (N,)]

    Notes
    -----
    Three forks have this type; the fields tell which is meant.

    * Without `source` (SSD): the frames of video_file with video_type: VIDEO, round after round, or
      of camera number device_id. skip_frames are left out before each one. The batch size is that
      of data_param, labels are 0, data is (N, 3, H, W).
    * With `source` (C3D): a line of the list is a path, the first frame and a label; new_length
      frames are read from there, each sampling_rate-th one; data is (N, 3, new_length, H, W).
      Frames of video files are counted from 0. With use_image: true the path is a folder of images
      000001.jpg, 000002.jpg and so on, counted from 1. use_temporal_jitter: true draws the first
      frame at random; the list then has no first frame, and for folders the number of frames
      instead.
    * With `modality`, `num_segments` or `name_pattern` (temporal-segment-networks): a line of the
      list is a folder, its number of frames and a label. Each of num_segments equal parts of the
      video gives new_length frames, at random in TRAIN, from the middle in TEST; data is (N,
      channels, H, W) with all channels of frame after frame. name_pattern has the number of the
      frame as in C, %05d, and for modality: FLOW the direction, x or y, as %c.

    transform_param does the same to all frames of a sample; mean_value can be one number, one a
    channel, or one for all channels of all frames. Reading video files needs PyAV, of the extra
    minicaffe[video].

    Differs from SSD: reading starts again after the last frame; there the program ended. Differs
    from C3D: a video that cannot be read is an error; there the next one was taken in TRAIN.
    """

    color_advice = "Set is_color or grayscale in video_data_param."

    @classmethod
    def batch_shape(cls, param: LayerParameter, image: Shape) -> Shape:
        """Return the shape of a batch of frames of the size that the settings resize or crop to."""
        proto = param.video_data_param
        shape = super().batch_shape(param, image or (3, proto.new_height, proto.new_width))
        if not shape:
            return ()
        n, channels, rows, columns = shape
        if not proto.source:
            return (param.data_param.batch_size, channels, rows, columns)
        if reads_segments(proto):
            return (n, segment_channels(proto, channels), rows, columns)
        return (n, channels, proto.new_length, rows, columns)

    @classmethod
    def unread_settings(cls, param: LayerParameter) -> Iterator[str]:
        """Yield sentences; of data_param, batch_size has an effect without a source."""
        for sentence in super().unread_settings(param):
            if param.video_data_param.source or not sentence.startswith("data_param.batch_size"):
                yield sentence

    def open(self) -> BatchSource:
        """Open the list, the file or the camera."""
        proto = self.settings
        if not proto.source:
            size = self.param.data_param.batch_size
            self.require(size > 0, "data_param { batch_size } is missing or 0; set at least 1")
            return self.batches(frame_records(self), size, self.transformer())
        self.require(proto.batch_size > 0, "batch_size is 0; it must be at least 1")
        rest = proto.batch_size, self.transformer(), proto.rand_skip
        if reads_segments(proto):
            return self.batches(segment_records(self, self.random), *rest)
        return ClipBatches(
            self.batches(clip_records(self, self.random), *rest), int(proto.new_length)
        )

    def transformer(self) -> DataTransformer:
        """Return what transform_param asks for; a mean value of a channel is that of each frame."""
        proto, param = self.settings, TransformationParameter()
        param.CopyFrom(self.param.transform_param)
        if proto.source and not reads_segments(proto) and len(param.mean_value) > 1:
            frames = range(proto.new_length)
            param.mean_value[:] = [value for value in param.mean_value for _ in frames]
        return DataTransformer(param, TRAIN if self.is_training else TEST)

    def key_name(self, key: bytes) -> str:
        """Name the video, or the frame."""
        name, source = os.fsdecode(key), self.settings.source
        return f"{name} of {source}" if source else f"frame {name} of {self.settings.video_file}"
