"""A trained net that answers for images of the reader, beside trainings that need the cores."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TypeVar

from minicaffe.backends import get_backend
from minicaffe.ops.backend import HostArray, Shape
from minicaffe.prediction import ImageAnswer, ImageModel, ModelFiles, PreparedImage
from minicaffe.prediction import open_image_model as open_model
from minicaffe.schema import NetSource
from minicaffe.serving.errors import QueueFull, RequestRefused
from minicaffe.web.board.inside.low_priority import give_way

_IDLE_S = 120.0  # after which the model is closed
_MOST_WAITING = 8
_MOST_KEPT = 16  # images whose activations can be asked for

Result = TypeVar("Result")


@dataclass(frozen=True)
class TrialWeights:
    """Weights to try.

    Parameters
    ----------
    path : Path
    version : int
        Time of the last change, because a training writes the best weights anew.
    net : NetSource
        The net that was tested or trained.
    """

    path: Path
    version: int
    net: NetSource

    @property
    def file_version(self) -> tuple[Path, int]:
        """What differs from that of other weights."""
        return self.path, self.version


@dataclass(frozen=True)
class TriedImage:
    """An image with the answer of a net.

    Parameters
    ----------
    number : int
        With which activations are asked for.
    weights : TrialWeights
    task : {"classify", "detect", "segment"}
    image : PreparedImage
    answer : ImageAnswer
    labels : list of str
    blobs : dict of str to tuple of int
        The blobs of the net.
    seconds : float
        Time of the computation.
    """

    number: int
    weights: TrialWeights
    task: str
    image: PreparedImage
    answer: ImageAnswer
    labels: list[str]
    blobs: dict[str, Shape]
    seconds: float


class TrialRoom:
    """Computes answers one after the other, in one thread of low priority.

    One model is kept open, and closed when it has not been used for two minutes.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "try", initializer=give_way)
        self._waiting, self._numbers = threading.Semaphore(_MOST_WAITING), count(1)
        self._trials: OrderedDict[int, TriedImage] = OrderedDict()
        # Only the thread uses these.
        self._model: ImageModel[ImageAnswer] | None = None
        self._key: tuple[Path, int] | None = None
        self._timer: threading.Timer | None = None

    def try_image(self, weights: TrialWeights, content: bytes, name: str) -> TriedImage:
        """Return the answer for the content of an image file.

        Raises
        ------
        MinicaffeError
            If the net does not answer for images, or the file is not an image.
        QueueFull
            If too many images wait.
        """
        return self._computed(lambda: self._answer(weights, content, name))

    def activation(self, number: int, blob: str) -> HostArray:
        """Return the values of a blob for an image.

        Raises
        ------
        RequestRefused
            If the trial is forgotten, or the net has no such blob.
        """
        trial = self._trials.get(number)
        if trial is None:
            raise RequestRefused("the image is forgotten by now; try it again")
        if blob not in trial.blobs:
            raise RequestRefused(f"no blob {blob}; there are {', '.join(trial.blobs)}")

        def compute() -> HostArray:
            model = self._opened(trial.weights)
            return model.net.infer(trial.image.inputs, [blob])[blob]

        return self._computed(compute)

    def _answer(self, weights: TrialWeights, content: bytes, name: str) -> TriedImage:
        model = self._opened(weights)
        image = model.prepare(content, name)
        begin = time.perf_counter()
        (answer,) = model.predict([image])
        seconds = time.perf_counter() - begin
        blobs = model.net.net.blobs
        # Without copies that the net makes of a blob for each layer that reads it.
        given = [top for layer in model.net.net.source.param.layer for top in layer.top]
        trial = TriedImage(
            next(self._numbers),
            weights,
            model.task,
            image,
            answer,
            list(model.labels),
            {name: blobs[name].shape for name in dict.fromkeys(given) if name in blobs},
            seconds,
        )
        self._trials[trial.number] = trial
        if len(self._trials) > _MOST_KEPT:
            self._trials.popitem(last=False)
        return trial

    def _opened(self, weights: TrialWeights) -> ImageModel[ImageAnswer]:
        if self._model is None or self._key != weights.file_version:
            self._close()
            files = ModelFiles(str(weights.path), weights.net)
            self._model, self._key = open_model(files, get_backend(threads=1)), weights.file_version
        return self._model

    def _computed(self, compute: Callable[[], Result]) -> Result:
        if not self._waiting.acquire(blocking=False):
            raise QueueFull(f"{_MOST_WAITING} images wait; try again later")
        try:
            return self._thread.submit(self._with_timer, compute).result()
        finally:
            self._waiting.release()

    def _with_timer(self, compute: Callable[[], Result]) -> Result:
        if self._timer is not None:
            self._timer.cancel()
        try:
            return compute()
        finally:
            self._timer = threading.Timer(_IDLE_S, self._close_later)
            self._timer.daemon = True
            self._timer.start()

    def _close_later(self) -> None:
        with contextlib.suppress(RuntimeError):  # the program ends
            self._thread.submit(self._close)

    def _close(self) -> None:
        if self._model is not None:
            self._model.close()
        self._model = self._key = None
