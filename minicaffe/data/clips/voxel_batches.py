"""Batches of clips with a target for each voxel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.batches import RecordBatches
from minicaffe.data.datum import ImageArray
from minicaffe.data.records.base import Record, RecordSource
from minicaffe.distributed.parts import BatchRows
from minicaffe.errors import DataError
from minicaffe.ops.backend import Shape
from minicaffe.random import RandomStream

Floats: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class VoxelTargets:
    """How clips and targets are transformed.

    Parameters
    ----------
    channels : int
        The last so many channels of a file are targets.
    crop : int
        Rows and columns of the window; 0 for all.
    at_random : bool
        Whether the window is random, or in the middle.
    mirror : bool
        Whether half of the samples are mirrored left to right.
    is_flow : bool
        Whether mirroring inverts the sign of the first target.
    mean : ndarray, optional
        Subtracted from the clip; (channels * frames, rows, columns).
    scale : float
        The clip is multiplied by this after that.
    truth_scale : float
        Targets are multiplied by this.
    """

    channels: int
    crop: int
    at_random: bool
    mirror: bool
    is_flow: bool
    mean: Floats | None
    scale: float
    truth_scale: float


class VoxelBatches(RecordBatches):
    """Tops are clips (N, C, frames, rows, columns) and targets (N, T, frames, rows, columns).

    Parameters
    ----------
    source : RecordSource
        Its records are float32 arrays (C + T, frames, rows, columns).
    rows : BatchRows
        Clips a batch.
    targets : VoxelTargets
    stream : RandomStream
        Draws, in one step a batch; its step is part of the position.
    threads : int
        Read so many files at once.

    Raises
    ------
    DataError
        If the first record cannot be used.
    """

    def __init__(
        self,
        source: RecordSource,
        rows: BatchRows,
        targets: VoxelTargets,
        stream: RandomStream,
        threads: int,
    ) -> None:
        self._targets = targets
        super().__init__(source, rows, stream, threads)

    @property
    def _n_steps(self) -> int:
        return int(self._targets.at_random or self._targets.mirror)

    def _make(self, rows: slice) -> tuple[tuple[Floats, ...], Sequence[bytes]]:
        records = self._source.take(self._size)
        clips = self._load(records)
        draws = np.zeros((self._size, 3))
        if self._n_steps:
            draws = self._draws().generator().random((self._rows.n_in_batch, 3))[rows]
        samples = [
            self._sample(record, clip, draw)
            for record, clip, draw in zip(records, clips, draws, strict=True)
        ]
        for record, (clip, _) in zip(records, samples, strict=True):
            if clip.shape != samples[0][0].shape:
                raise DataError(
                    f"{record}: the clip is {_times(clip.shape)} (channels x frames x rows x "
                    f"columns), but the batch began with {_times(samples[0][0].shape)} "
                    f"({records[0]}); a batch has one size. Use batch_size: 1."
                )
        tops = tuple(np.stack(values) for values in zip(*samples, strict=True))
        return tops, [record.key for record in records]

    def _first_shapes(self) -> list[Shape]:
        record = self._source.peek()
        sample = self._sample(record, record.load(), np.zeros(3))
        return [(self._size, *values.shape) for values in sample]

    def _sample(
        self, record: Record, values: ImageArray, draw: NDArray[np.float64]
    ) -> tuple[Floats, Floats]:
        """Return clip and targets; of `draw` come the window's place and whether to mirror."""
        targets = self._targets
        n = len(values) - targets.channels
        if n < 1:
            raise DataError(
                f"{record}: the file has {len(values)} channels, and num_truth_channels: "
                f"{targets.channels} of them are targets; at least one must remain"
            )
        clip, truth = values[:n].astype(np.float32), values[n:].astype(np.float32)
        if targets.mean is not None:
            frames = clip.reshape(-1, *clip.shape[2:])
            if targets.mean.shape != frames.shape:
                raise DataError(
                    f"{record}: the clip is {_times(frames.shape)} (channels and frames x rows x "
                    f"columns) without its targets, and the mean {_times(targets.mean.shape)}"
                )
            frames -= targets.mean  # in clip
        clip *= np.float32(targets.scale)
        truth *= np.float32(targets.truth_scale)
        if targets.crop:
            clip, truth = (self._cropped(record, part, draw[:2]) for part in (clip, truth))
        if targets.mirror and draw[2] >= 0.5:
            clip, truth = clip[..., ::-1], truth[..., ::-1]
            if targets.is_flow:
                truth[0] *= -1
        return clip, truth

    def _cropped(self, record: Record, part: Floats, draw: NDArray[np.float64]) -> Floats:
        size = self._targets.crop
        spare = [length - size for length in part.shape[2:]]
        if min(spare) < 0:
            raise DataError(
                f"{record}: crop_size {size} is larger than the clip, {_times(part.shape[2:])} "
                "(rows x columns)"
            )
        places = [s // 2 for s in spare]
        if self._targets.at_random:
            places = [int(share * (s + 1)) for share, s in zip(draw, spare, strict=True)]
        top, left = places
        return part[..., top : top + size, left : left + size]


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
