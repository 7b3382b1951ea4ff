"""Answers of a model for many image files, which are read and prepared by several threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from minicaffe.cores import usable_cores
from minicaffe.data.image import image_content
from minicaffe.errors import DataError
from minicaffe.prediction.image_model import AnswerT, ImageModel, PreparedImage

_BATCH = 32


def answers_for_files(
    model: ImageModel[AnswerT], paths: Sequence[str]
) -> Iterator[tuple[str, AnswerT | DataError]]:
    """Yield each path with the answer for its image; the error for one that cannot be used."""

    def prepare(path: str) -> PreparedImage | DataError:
        try:
            return model.prepare(image_content(path), path)
        except DataError as error:
            return error

    left = iter(paths)
    with ThreadPoolExecutor(usable_cores()) as pool:
        while chunk := list(islice(left, _BATCH)):
            prepared = list(pool.map(prepare, chunk))
            answers = iter(
                model.predict([one for one in prepared if isinstance(one, PreparedImage)])
            )
            for path, one in zip(chunk, prepared, strict=True):
                yield path, one if isinstance(one, DataError) else next(answers)
