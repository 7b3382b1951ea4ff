"""Lists of videos, and records of the frames that are taken from each."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minicaffe.data.image import Pixels, read_image
from minicaffe.data.pixels.resizing import resize
from minicaffe.data.records.base import FileRecord
from minicaffe.data.records.image_list import shorten
from minicaffe.data.records.listed import ListedRecords
from minicaffe.data.records.video_file import count_frames, read_clip
from minicaffe.errors import DataError, Problems
from minicaffe.log import logger
from minicaffe.random import RandomStream
from minicaffe.text_file import ForeignBytes, read_text

_MOST_PROBLEMS = 10
_NUMBER = re.compile(r"-?[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class ListedVideo:
    """One line of a list.

    Parameters
    ----------
    name : str
        The path as the list has it.
    number : int
        The second column: the first frame, or the number of frames; 0 if there is none.
    label : int
    line : int
        Line of the list, from 1.
    """

    name: str
    number: int
    label: int
    line: int


def read_video_list(path: str, columns: str) -> list[ListedVideo]:
    """Read a list of videos. Its columns are separated by spaces; blank lines do not count.

    Parameters
    ----------
    path : str
    columns : str
        Names of the columns, for messages: "path, first frame and label"; the middle one may be
        left out.

    Raises
    ------
    DataError
        If the list cannot be read or is empty; or names the lines that are wrong.
    """
    rule = f"a line of the list is {columns}, separated by spaces"
    n_numbers = columns.count(",") + 1
    lines = read_text(path, "the list", ForeignBytes.ESCAPE, rule).split("\n")
    problems = Problems(DataError)
    videos: list[ListedVideo] = []
    for line_number, line in enumerate(lines, start=1):
        name, *numbers = line.rsplit(maxsplit=n_numbers) or [""]
        if not line.strip():
            continue
        if len(numbers) == n_numbers and all(map(_NUMBER.fullmatch, numbers)):
            number = int(numbers[0]) if n_numbers > 1 else 0
            videos.append(ListedVideo(name, number, int(numbers[-1]), line_number))
        elif len(problems.messages) < _MOST_PROBLEMS:
            problems.add(f"{path}:{line_number}: {shorten(line.strip())!r}; {rule}.")
    problems.raise_if_any()
    if not videos:
        raise DataError(f"{path}: the list is empty; {rule}.")
    return videos


@dataclass(frozen=True)
class VideoFiles:
    """A list of videos, and how their frames are read.

    Parameters
    ----------
    source : str
        The list.
    root_folder : str
        Put before every name as it is, so it ends with a slash.
    height, width : int
        Resize to so many rows and columns; 0 and 0 keep the size.
    color : bool
        Blue, green, red; or grey.
    """

    source: str
    root_folder: str = ""
    height: int = 0
    width: int = 0
    color: bool = True


@dataclass(frozen=True, slots=True)
class FramesRecord(FileRecord):
    """Frames of a video that are image files of a folder; `path` is the folder.

    Parameters
    ----------
    files : VideoFiles
    names : tuple of str
        Of the image files in the folder, in order.
    channels_first : bool
        Whether the frames of a channel lie together, or the channels of a frame.
    """

    files: VideoFiles
    names: tuple[str, ...]
    channels_first: bool

    def read(self) -> Pixels:
        """Read the frames.

        Returns
        -------
        ndarray, uint8, shape (channels * frames, rows, columns)
        """
        files = self.files
        frames = [
            read_image(f"{self.path}/{name}", files.color, files.height, files.width)
            for name in self.names
        ]
        return joined_frames(frames, self.channels_first)

    def hint(self) -> str:
        """Return how frames are found."""
        return (
            f" Frames are numbered from 1, and the list says which ones there are: from "
            f"{self.names[0]} to {self.names[-1]} are needed of this video."
        )


@dataclass(frozen=True, slots=True)
class ClipRecord(FileRecord):
    """Frames of a video file.

    Parameters
    ----------
    files : VideoFiles
    first : int or None
        The first frame, from 0; None to draw it.
    draw : float
        Random, in [0, 1): the first frame if it is to be drawn.
    length, step : int
        The number of frames, and how far they lie apart.
    """

    files: VideoFiles
    first: int | None
    draw: float
    length: int
    step: int

    def read(self) -> Pixels:
        """Read the frames.

        Returns
        -------
        ndarray, uint8, shape (3 * frames, rows, columns)
            The frames of a channel lie together.
        """
        first = self.first
        if first is None:
            free = count_frames(self.path) - self.length * self.step + 1
            first = int(self.draw * max(free, 1))
        frames = read_clip(self.path, first, self.length, self.step)
        if self.files.height and self.files.width:
            frames = [resize(frame, self.files.height, self.files.width) for frame in frames]
        return joined_frames(frames, channels_first=True)


def joined_frames(frames: Sequence[Pixels], channels_first: bool) -> Pixels:
    """Return frames of shape (channels, rows, columns) as one image with all their channels."""
    sizes = {frame.shape for frame in frames}
    if len(sizes) > 1:
        shapes = ", ".join(" x ".join(map(str, size)) for size in sorted(sizes))
        raise DataError(
            f"frames of different shapes: {shapes} (channels x rows x columns). Set new_height and "
            "new_width."
        )
    stacked: Pixels = np.stack(frames, axis=1 if channels_first else 0)
    return stacked.reshape(-1, *frames[0].shape[1:])


class VideoRecords(ListedRecords):
    """Base of the records of a list of videos; random frames depend on seed and round alone.

    Parameters
    ----------
    files : VideoFiles
    columns : str
        As in `read_video_list`.
    stream : RandomStream
        Seed and name of the random frames, and of the order.
    shuffles : bool
        Whether the order is random.

    Raises
    ------
    DataError
        If the list cannot be used.
    """

    def __init__(
        self, files: VideoFiles, columns: str, stream: RandomStream, shuffles: bool
    ) -> None:
        logger.info("Opening file %s", files.source)
        self.files, self._stream = files, stream
        self._videos = read_video_list(files.source, columns)
        super().__init__(files.source, len(self._videos), stream if shuffles else None)

    def record(self, index: int) -> FramesRecord | ClipRecord:
        """Return the record of a video of the list, counted from 0."""
        step = self._round * len(self._videos) + index
        draws = RandomStream(self._stream.seed, f"{self._stream.name}/frames", step)
        return self.choose(self._videos[index], draws.generator())

    @abstractmethod
    def choose(
        self, video: ListedVideo, generator: np.random.Generator
    ) -> FramesRecord | ClipRecord:
        """Return the record of the frames to read."""

    def location(self, video: ListedVideo) -> tuple[str, str, int]:
        """Return list and line, path and label of a video."""
        where = f"{self.files.source}:{video.line}"
        return where, self.files.root_folder + video.name, video.label


@dataclass(frozen=True)
class ClipSampling:
    """Which frames a clip of C3D consists of.

    Parameters
    ----------
    length, step : int
        The number of frames, and how far they lie apart.
    from_images : bool
        Whether frames are files 000001.jpg, 000002.jpg, ... of a folder.
    jitters : bool
        Whether the first frame is random. The list then has no first frame; for folders it has the
        number of frames instead.
    is_training : bool
        Random frames of folders are for TRAIN; TEST takes the first ones.
    """

    length: int
    step: int = 1
    from_images: bool = False
    jitters: bool = False
    is_training: bool = True

    @property
    def columns(self) -> str:
        """The columns of the list."""
        if not self.jitters:
            return "path, first frame and label"
        return "path, number of frames and label" if self.from_images else "path and label"


class ClipRecords(VideoRecords):
    """Takes one clip of consecutive frames from each video, as C3D does.

    Parameters
    ----------
    files : VideoFiles
    sampling : ClipSampling
    stream, shuffles
        As in `VideoRecords`.
    """

    def __init__(
        self, files: VideoFiles, sampling: ClipSampling, stream: RandomStream, shuffles: bool
    ) -> None:
        self._sampling = sampling
        super().__init__(files, sampling.columns, stream, shuffles)

    def choose(
        self, video: ListedVideo, generator: np.random.Generator
    ) -> FramesRecord | ClipRecord:
        """Return the record of a clip."""
        sampling, location = self._sampling, self.location(video)
        if not sampling.from_images:
            first = None if sampling.jitters or video.number < 0 else video.number
            draw = generator.random()
            length, step = sampling.length, sampling.step
            return ClipRecord(*location, self.files, first, draw, length, step)
        first = video.number
        if sampling.jitters:
            first = 1
            free = video.number - sampling.length * sampling.step + 1
            if free < 1:
                raise DataError(
                    f"{location[0]}: {location[1]} has {video.number} frames; new_length: "
                    f"{sampling.length} with sampling_rate: {sampling.step} needs "
                    f"{sampling.length * sampling.step}. Remove the line, or lower new_length."
                )
            if sampling.is_training:
                first += int(generator.integers(free))
        numbers = range(first, first + sampling.length * sampling.step, sampling.step)
        names = tuple(f"{number:06d}.jpg" for number in numbers)
        return FramesRecord(*location, self.files, names, channels_first=True)


@dataclass(frozen=True)
class SegmentSampling:
    """Which frames are taken from the segments of a video, as in temporal-segment-networks.

    Parameters
    ----------
    segments : int
        Divide each video into so many parts of equal length.
    length : int
        Frames of each part.
    patterns : tuple of str
        Names of the files of a frame, with the number as in C: one, or those of horizontal and
        vertical flow.
    is_training : bool
        Whether the frames of a part are random or the middle ones.
    """

    segments: int
    length: int
    patterns: tuple[str, ...]
    is_training: bool


class SegmentRecords(VideoRecords):
    """Takes some frames from each of several segments of a video.

    Parameters
    ----------
    files : VideoFiles
    sampling : SegmentSampling
    stream, shuffles
        As in `VideoRecords`.
    """

    def __init__(
        self, files: VideoFiles, sampling: SegmentSampling, stream: RandomStream, shuffles: bool
    ) -> None:
        self._sampling = sampling
        super().__init__(files, "path, number of frames and label", stream, shuffles)

    def choose(self, video: ListedVideo, generator: np.random.Generator) -> FramesRecord:
        """Return the record of the frames of all segments.

        A video that is too short for its segments gives each of them its first frames.
        """
        sampling = self._sampling
        duration = video.number // sampling.segments
        free = duration - sampling.length + 1
        names: list[str] = []
        for segment in range(sampling.segments):
            first = 0
            if free > 0:
                offset = int(generator.integers(free)) if sampling.is_training else free // 2
                first = segment * duration + offset
            for number in range(first + 1, first + sampling.length + 1):
                names += [pattern % number for pattern in sampling.patterns]
        return FramesRecord(*self.location(video), self.files, tuple(names), channels_first=False)
