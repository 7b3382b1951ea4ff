"""The records that VideoData reads: frames, clips or segments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minicaffe.layers.base import Layer
from minicaffe.random import RandomStream
from minicaffe.schema.forks_pb2 import VideoDataParameter

if TYPE_CHECKING:
    from minicaffe.data.records.frames import VideoFrames
    from minicaffe.data.records.videos import ClipRecords, SegmentRecords, VideoFiles


def reads_segments(proto: VideoDataParameter) -> bool:
    """Return whether the settings are those of temporal-segment-networks."""
    return any(map(proto.HasField, ("modality", "num_segments", "name_pattern")))


def segment_channels(proto: VideoDataParameter, channels: int) -> int:
    """Return the channels of a sample of segments, if an image has `channels`."""
    of_frame = 2 if proto.modality == VideoDataParameter.FLOW else channels
    return of_frame * int(proto.new_length) * int(proto.num_segments)


def frame_records(layer: Layer[VideoDataParameter]) -> VideoFrames:
    """Return the frames of a file or a camera, as SSD reads them."""
    # Imported here, because Pillow is slow to import.
    from minicaffe.data.records.frames import VideoFrames

    proto = layer.settings
    if proto.video_type == VideoDataParameter.WEBCAM:
        layer.require(
            not proto.video_file, "video_file needs video_type: VIDEO; the default is WEBCAM"
        )
        return VideoFrames(f"/dev/video{proto.device_id}", proto.skip_frames, "v4l2")
    layer.require(proto.video_file, "video_data_param { video_file } is missing")
    return VideoFrames(proto.video_file, proto.skip_frames)


def clip_records(layer: Layer[VideoDataParameter], stream: RandomStream) -> ClipRecords:
    """Return clips of the videos of a list, as C3D takes them."""
    from minicaffe.data.records.videos import ClipRecords, ClipSampling

    proto = layer.settings
    layer.require(
        not proto.use_multiple_label,
        "use_multiple_label is not supported: a line of the list has one label",
    )
    layer.require(
        not proto.use_sampling_rate_jitter,
        "use_sampling_rate_jitter is not supported. Set sampling_rate to one number.",
    )
    layer.require(
        proto.new_length > 0 and proto.sampling_rate > 0,
        "new_length and sampling_rate must be at least 1",
    )
    sampling = ClipSampling(
        proto.new_length,
        proto.sampling_rate,
        proto.use_image,
        proto.use_temporal_jitter,
        layer.is_training,
    )
    return ClipRecords(_files(layer, proto.is_color), sampling, stream, proto.shuffle)


def segment_records(layer: Layer[VideoDataParameter], stream: RandomStream) -> SegmentRecords:
    """Return frames of the segments of the videos of a list, as temporal-segment-networks does."""
    from minicaffe.data.records.videos import SegmentRecords, SegmentSampling

    proto = layer.settings
    layer.require(
        proto.new_length > 0 and proto.num_segments > 0,
        "new_length and num_segments must be at least 1",
    )
    is_flow = proto.modality == VideoDataParameter.FLOW
    pattern = proto.name_pattern or ("flow_%c_%04d.jpg" if is_flow else "image_%04d.jpg")
    try:
        patterns = tuple(
            pattern.replace("%c", direction) for direction in ("xy" if is_flow else "x")
        )
        fits = ("%c" in pattern) == is_flow and len({p % 1 for p in patterns}) == len(patterns)
    except (TypeError, ValueError):
        fits = False
    layer.require(
        fits,
        f'name_pattern: "{pattern}" must have the number of the frame once, such as %05d'
        + (", and the direction of flow once, %c" if is_flow else " and no other %"),
    )
    sampling = SegmentSampling(proto.num_segments, proto.new_length, patterns, layer.is_training)
    is_color = not (is_flow or proto.grayscale)
    return SegmentRecords(_files(layer, is_color), sampling, stream, proto.shuffle)


def _files(layer: Layer[VideoDataParameter], is_color: bool) -> VideoFiles:
    from minicaffe.data.records.videos import VideoFiles

    proto = layer.settings
    layer.require(
        (proto.new_height > 0) == (proto.new_width > 0),
        f"new_height: {proto.new_height}, new_width: {proto.new_width}; give both or neither",
    )
    size = proto.new_height, proto.new_width
    return VideoFiles(proto.source, proto.root_folder, *size, is_color)
