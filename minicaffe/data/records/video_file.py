"""Frames of video files and cameras, by PyAV, which the extra `video` installs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minicaffe.data.image import Pixels
from minicaffe.errors import DataError
from minicaffe.path_hints import missing_file_hint, one_line


@contextmanager
def opened_video(path: str, kind: str | None = None) -> Iterator[Any]:
    """Open a video.

    Parameters
    ----------
    path : str
        A video file, or a device of the system.
    kind : str, optional
        PyAV's name of the format; by default the file tells.

    Yields
    ------
    av.container.InputContainer
        Any, because PyAV may be missing. It has at least one video stream.

    Raises
    ------
    DataError
        If PyAV is not installed, the file cannot be opened or holds no video; or if it is damaged,
        from within the block.
    """
    try:
        import av
    except ImportError as error:
        raise DataError(
            f"{one_line(path)}: reading videos needs PyAV, which is not installed. Run: pip "
            "install 'minicaffe[video]'. Or store the frames as images, and set use_image: true."
        ) from error
    try:
        with av.open(path, format=kind) as container:
            if not container.streams.video:
                raise DataError(f"{one_line(path)}: the file holds no video")
            yield container
    except (av.FFmpegError, OSError) as error:
        hint = missing_file_hint(path)
        raise DataError(f"{one_line(path)}: the video cannot be read: {error}.{hint}") from error


def frames_of(container: Any, first: int = 0, step: int = 1) -> Iterator[Any]:
    """Yield every `step`-th frame of a video from frame `first` on, not yet converted.

    Frames are counted from the beginning of the file, because seeking is exact to a key frame only.
    """
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    for number, frame in enumerate(container.decode(stream)):
        if number >= first and (number - first) % step == 0:
            yield frame


def pixels_of(frame: Any, color: bool = True) -> Pixels:
    """Return a frame of PyAV, uint8, shape (3 or 1, rows, columns): blue, green, red; or grey."""
    values = frame.to_ndarray(format="bgr24" if color else "gray")
    return np.ascontiguousarray(values.transpose(2, 0, 1) if color else values[None])


def count_frames(path: str) -> int:
    """Return the number of frames of a video file; its packets are counted if it does not tell."""
    with opened_video(path) as container:
        stream = container.streams.video[0]
        return int(stream.frames) or sum(1 for packet in container.demux(stream) if packet.size)


def read_clip(path: str, first: int, length: int, step: int) -> list[Pixels]:
    """Return `length` frames of a video file, every `step`-th from frame `first` on, from 0.

    Raises
    ------
    DataError
        If it has too few frames, or cannot be read.
    """
    frames: list[Pixels] = []
    with opened_video(path) as container:
        for frame in frames_of(container, first, step):
            frames.append(pixels_of(frame))
            if len(frames) == length:
                return frames
    needed = first + (length - 1) * step + 1
    raise DataError(
        f"{one_line(path)}: the video ends before frame {needed}, counted from 1. Lower the first "
        "frame in the list, new_length or sampling_rate."
    )
