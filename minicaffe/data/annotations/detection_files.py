"""Files of detections for the evaluation programs of PASCAL VOC, COCO and ILSVRC."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicaffe.atomic_file import write_atomically
from minicaffe.data.annotations.image_sizes import NamedSize, read_image_sizes
from minicaffe.data.annotations.label_map import read_label_map
from minicaffe.errors import DataError
from minicaffe.log import logger
from minicaffe.schema.forks_pb2 import SaveOutputParameter

Floats = NDArray[np.float32]

_FORMATS = ("VOC", "COCO", "ILSVRC")


class _Detection(NamedTuple):
    """An object that was found; the sides are pixels, in hundredths."""

    image: str
    label: int
    score: float
    sides: tuple[float, float, float, float]


class DetectionFiles:
    """Writes the detections of every `num_test_image` images to files.

    VOC: a file PREFIXclass.txt for each class, lines of image, score and sides. ILSVRC: one file,
    the label behind the image. COCO: one JSON file with image, category, box and score.

    Parameters
    ----------
    param : SaveOutputParameter
        With output_directory, label_map_file and name_size_file.
    background : int or None
        The class without a file.

    Raises
    ------
    DataError
        If a file cannot be read, or the folder not be made.
    """

    def __init__(self, param: SaveOutputParameter, background: int | None) -> None:
        if param.output_format not in _FORMATS:
            raise DataError(
                f'save_output_param: output_format: "{param.output_format}" is unknown. Known: '
                f"{', '.join(_FORMATS)}."
            )
        self._param = param
        self._folder = Path(param.output_directory)
        self._names = {item.label: item.name for item in read_label_map(param.label_map_file)}
        self._names.pop(-1 if background is None else background, None)
        self._sizes = read_image_sizes(param.name_size_file)
        self._wanted = int(param.num_test_image) or len(self._sizes)
        if self._wanted > len(self._sizes):
            raise DataError(
                f"save_output_param: num_test_image: {self._wanted}, but {param.name_size_file} "
                f"has {len(self._sizes)} images."
            )
        self._found: list[_Detection] = []
        self._images = 0
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{self._folder}: cannot be created: {error.strerror}.") from error

    def add(self, rows: Floats, images: int) -> None:
        """Add the rows of a batch of so many images, (n, 7); write the files when all are there."""
        for image in range(images):
            size = self._sizes[self._images]
            self._found += self._detections(rows[rows[:, 0] == image], size)
            self._images += 1
            if self._images == self._wanted:
                self._write()
                self._found, self._images = [], 0

    def _detections(self, rows: Floats, size: NamedSize) -> Iterator[_Detection]:
        for _, label, score, *sides in rows[rows[:, 1] != -1].tolist():
            left, top, right, bottom = self._pixels(sides, size)
            yield _Detection(size.name, int(label), score, (left, top, right, bottom))

    def _pixels(self, sides: list[float], size: NamedSize) -> list[float]:
        """Return sides in pixels of the image, cut to it; without what the data was padded with."""
        share = np.ones(2)
        policy = self._param.resize_param
        if policy.resize_mode == policy.FIT_LARGE_SIZE_AND_PAD:
            share = np.array([size.width / policy.width, size.height / policy.height])
            share /= share.max()
        inside = (np.array(sides).reshape(2, 2) - (1 - share) / 2) / share
        pixels = inside.clip(0, 1) * (size.width, size.height)
        found: list[float] = np.round(pixels, 2).ravel().tolist()
        return found

    def _write(self) -> None:
        prefix, kind = self._param.output_name_prefix, self._param.output_format
        if kind == "COCO":
            self._save(f"{prefix}.json", json.dumps([self._coco(one) for one in self._found]))
        elif kind == "ILSVRC":
            lines = (f"{one.image} {one.label} {_numbers(one)}" for one in self._found)
            self._save(f"{prefix}.txt", "".join(f"{line}\n" for line in lines))
        else:
            for label, name in self._names.items():
                mine = (one for one in self._found if one.label == label)
                text = "".join(f"{one.image} {_numbers(one)}\n" for one in mine)
                self._save(f"{prefix}{name}.txt", text)
        logger.info("Wrote the detections of %d images to %s", self._wanted, self._folder)

    def _coco(self, one: _Detection) -> Mapping[str, object]:
        left, top, right, bottom = one.sides
        name = self._names.get(one.label, str(one.label))
        return {
            "image_id": _number_or_text(one.image),
            "category_id": _number_or_text(name),
            "bbox": [left, top, round(right - left, 2), round(bottom - top, 2)],
            "score": one.score,
        }

    def _save(self, name: str, text: str) -> None:
        with write_atomically(self._folder / name) as file:
            file.write(text.encode("utf-8", "surrogateescape"))


def _numbers(one: _Detection) -> str:
    return " ".join(f"{value:g}" for value in (one.score, *one.sides))


def _number_or_text(word: str) -> int | str:
    return int(word) if word.isdecimal() else word
