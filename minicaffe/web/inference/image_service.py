"""Answers for images: prepared in threads, computed with the requests of the model's queue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from starlette.types import Receive

from minicaffe.cores import usable_cores
from minicaffe.prediction import ImageAnswer, ImageModel, PreparedImage
from minicaffe.serving.batching import Outputs
from minicaffe.serving.errors import QueueFull, RequestRefused
from minicaffe.serving.image_answers import NamedImage, check_pixels
from minicaffe.serving.store import ModelVersion
from minicaffe.web.inference.waiting import results_for

T = TypeVar("T")
_MOST_IMAGES = 64  # of a request


class ImageService:
    """Prepares images and computes answers.

    Parameters
    ----------
    most_pixels : int
        Of an image.
    most_waiting : int
        Images that wait to be prepared.
    """

    def __init__(self, most_pixels: int, most_waiting: int) -> None:
        self._most_pixels, self._most_waiting = most_pixels, most_waiting
        self._n_waiting = 0
        self._pool = ThreadPoolExecutor(usable_cores(), thread_name_prefix="images")

    async def answers(
        self, receive: Receive, model: ModelVersion, images: Sequence[NamedImage]
    ) -> list[ImageAnswer]:
        """Return the answer for each image.

        Raises
        ------
        MinicaffeError
            If one cannot be used, or the model takes no images.
        """
        try:
            image_model = _image_model(model)
            if not 0 < len(images) <= _MOST_IMAGES:
                raise RequestRefused(
                    f"{len(images)} images; a request has between 1 and {_MOST_IMAGES}"
                )
            prepared = await self._prepared(image_model, images)
        except Exception:
            model.counters.outcomes["invalid"] += 1
            raise
        blobs = image_model.answer_blobs
        futures: list[asyncio.Future[Outputs]] = []
        try:
            for one in prepared:
                futures.append(model.queue.submit(one.inputs, blobs))
        except RequestRefused:
            for future in futures:
                future.cancel()
            raise
        values = await results_for(receive, futures)
        answer = partial(map, image_model.answer, prepared, values)
        return await self.in_thread(lambda: list(answer()))

    async def in_thread(self, function: Callable[[], T]) -> T:
        """Return the result of a function that computes or reads files."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)

    async def _prepared(
        self,
        model: ImageModel[Any],
        images: Sequence[NamedImage],  # Any: its answers
    ) -> list[PreparedImage]:
        n = len(images)
        if self._n_waiting + n > self._most_waiting:
            raise QueueFull(f"{self._n_waiting} images wait; try again later")
        self._n_waiting += n
        try:
            loop = asyncio.get_running_loop()
            tasks = [loop.run_in_executor(self._pool, self._prepare, model, one) for one in images]
            return list(await asyncio.gather(*tasks))
        finally:
            self._n_waiting -= n

    def _prepare(
        self,
        model: ImageModel[Any],
        image: NamedImage,  # Any: its answers
    ) -> PreparedImage:
        check_pixels(image, self._most_pixels)
        return model.prepare(image.content, image.name)


def _image_model(model: ModelVersion) -> ImageModel[Any]:  # Any: an answer of whatever kind
    found = model.servable.image_model
    if found is None:
        raise RequestRefused(f'model "{model.name}" takes arrays only: use /infer')
    return found
