"""The frames of one video, one after another: each is a record."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, ClassVar

from minicaffe.data.image import Pixels
from minicaffe.data.records.base import RESTART, Record, RecordPosition, RecordSource
from minicaffe.data.records.video_file import frames_of, opened_video, pixels_of
from minicaffe.errors import DataError
from minicaffe.log import log_repetition


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """A decoded frame; see `Record`."""

    path: str
    number: int
    image: Pixels
    label: ClassVar[float] = 0.0
    is_encoded: ClassVar[bool] = False

    @property
    def key(self) -> bytes:
        """The number of the frame."""
        return str(self.number).encode()

    def load(self) -> Pixels:
        """Return the frame."""
        return self.image

    def __str__(self) -> str:
        return f"{self.path}: frame {self.number}"


class VideoFrames(RecordSource):
    """Reads the frames of a video file, again and again, or those of a camera.

    Parameters
    ----------
    path : str
        A file; or a device, with `kind`.
    skip : int
        Pass over so many frames before each one.
    kind : str, optional
        PyAV's name for the kind of device.

    Raises
    ------
    DataError
        If it cannot be read, or PyAV is not installed.
    """

    size_advice = "resize_param in transform_param, or batch_size: 1"

    def __init__(self, path: str, skip: int = 0, kind: str | None = None) -> None:
        self._path, self._skip, self._kind = path, skip, kind
        self._opened = ExitStack()
        self._waiting: FrameRecord | None = None
        self._number = 0  # of frames that were taken in this round
        self._frames = self._open()

    def _open(self) -> Iterator[Any]:
        self._opened.close()
        container = self._opened.enter_context(opened_video(self._path, self._kind))
        return frames_of(container, self._skip, self._skip + 1)

    def peek(self) -> Record:
        """Return the next frame; after the last one, the first."""
        if self._waiting is None:
            frame = next(self._frames, None)
            if frame is None:
                frame = self._restart()
            number = self._number * (self._skip + 1) + self._skip
            self._waiting = FrameRecord(self._path, number, pixels_of(frame))
        return self._waiting

    def _restart(self) -> Any:
        if not self._number:
            raise DataError(
                f"{self._path}: the video has no frame after the first {self._skip}. Lower "
                "skip_frames."
            )
        log_repetition(RESTART)
        self._frames, self._number = self._open(), 0
        return next(self._frames)

    def take(self, n: int) -> list[Record]:
        """Return the next n frames."""
        records = []
        for _ in range(n):
            records.append(self.peek())
            self._waiting = None
            self._number += 1
        return records

    def skip(self, n: int) -> None:
        """Advance by n frames, which are decoded, but not converted to pixels."""
        for _ in range(n):
            if self._waiting is None and next(self._frames, None) is None:
                self._restart()
            self._waiting = None
            self._number += 1

    def position(self) -> RecordPosition:
        """Return how many frames were taken in this round."""
        return {"next": self._number}

    def restore(self, position: RecordPosition) -> None:
        """Continue from a position; a camera continues with its next frame."""
        if self._kind is None:
            self._waiting = None
            self._frames, self._number = self._open(), 0
            self.skip(int(position["next"]))

    def close(self) -> None:
        """Close the video."""
        self._opened.close()
