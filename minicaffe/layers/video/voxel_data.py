"""Data layers of C3D whose clips have a target for each voxel."""

from __future__ import annotations

import os
from typing import ClassVar

from minicaffe.data.batch_source import BatchSource
from minicaffe.data.clips.voxel_batches import VoxelBatches, VoxelTargets
from minicaffe.data.mean import read_mean
from minicaffe.data.records.voxels import VoxelRecords
from minicaffe.layers.batch_layer import BatchLayer
from minicaffe.layers.registry import register
from minicaffe.schema.minicaffe_pb2 import ImageDataParameter


@register("VideoWithVoxelTruthData")
class VideoWithVoxelTruthData(BatchLayer[ImageDataParameter]):
    """Read clips of video with values for each voxel: flow, depth or colours to predict.

    Shapes: -> data (N, C, D, H, W), truth (N, T, D, H, W)

    Notes
    -----
    A line of the list is the path of a file: five int32, 1 and the numbers of channels, frames,
    rows and columns, then the values as float32. The last num_truth_channels channels are the
    targets. crop_size and mirror, of image_data_param, do the same to both; with is_flow: true
    mirroring inverts the sign of the first target. mean_file and scale change the clip only,
    truth_scale the targets. The layer is that of C3D 1.0.

    References
    ----------
    Tran et al., "Deep end2end voxel2voxel prediction", 2016.
    """

    tops = 2
    # Whether there is one target, a label, whose values stay.
    has_labels: ClassVar[bool] = False

    def open(self) -> BatchSource:
        """Read the list."""
        proto = self.settings
        self.require(proto.source, "image_data_param { source } is missing: the list of clips")
        self.require(proto.batch_size > 0, "batch_size is 0; it must be at least 1")
        shuffle = self.random if proto.shuffle else None
        records = VoxelRecords(proto.source, shuffle)
        records.skip_at_random(proto.rand_skip, self.random)
        threads = self.context.backend.data_threads
        rows = self.rows(proto.batch_size)
        return VoxelBatches(records, rows, self._targets(), self.random, threads)

    def _targets(self) -> VoxelTargets:
        proto = self.settings
        self.require(
            self.has_labels or proto.num_truth_channels > 0,
            "num_truth_channels is 0; it must be at least 1",
        )
        return VoxelTargets(
            channels=1 if self.has_labels else proto.num_truth_channels,
            crop=proto.crop_size,
            at_random=self.is_training,
            mirror=proto.mirror,
            is_flow=proto.is_flow,
            mean=read_mean(proto.mean_file) if proto.mean_file else None,
            scale=proto.scale,
            truth_scale=1.0 if self.has_labels else proto.truth_scale,
        )

    def key_name(self, key: bytes) -> str:
        """Name the file of a sample and the list."""
        return f"{os.fsdecode(key)} of {self.settings.source}"


@register("VideoSegmentationData")
class VideoSegmentationData(VideoWithVoxelTruthData):
    """Read clips of video with a class for each voxel.

    Shapes: -> data (N, C, D, H, W), label (N, 1, D, H, W)

    Notes
    -----
    As VideoWithVoxelTruthData, with one target, the last channel of the file, whose values stay
    what they are. The layer is that of C3D 1.0.

    References
    ----------
    Tran et al., "Deep end2end voxel2voxel prediction", 2016.
    """

    has_labels = True
