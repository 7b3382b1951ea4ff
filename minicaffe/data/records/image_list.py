"""Lists of picture files with labels, and batches read from them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minicaffe.data.batch_assembler import BatchAssembler
from minicaffe.data.batches import Batch, Position
from minicaffe.data.image import Pixels, read_image
from minicaffe.data.ordered_pool import OrderedPool
from minicaffe.data.transformer import Transformer
from minicaffe.errors import DataError, Problems
from minicaffe.log import logger
from minicaffe.random import RandomStream

_MOST_PROBLEMS = 10


@dataclass(frozen=True, slots=True)
class ListedImage:
    """One line of a list.

    Parameters
    ----------
    name : str
        The picture's path as the list has it; may hold spaces.
    label : int
    line : int
        Where it stands in the list, from 1.
    """

    name: str
    label: int
    line: int


def read_image_list(path: str) -> list[ListedImage]:
    """Read a list: a line is a path, a space and a label. Blank lines do not count.

    Raises
    ------
    DataError
        If the list cannot be read or is empty; or names the lines that are wrong.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig", errors="surrogateescape").split("\n")
    except OSError as error:
        raise DataError(f"{path}: the list cannot be read: {error.strerror}.") from error
    problems = Problems(DataError)
    images = []
    for number, line in enumerate(lines, start=1):
        name, _, label = line.rstrip().rpartition(" ")
        if not line.strip():
            continue
        if name.strip() and label.lstrip("+-").isdecimal():
            images.append(ListedImage(name, int(label), number))
        elif len(problems.messages) < _MOST_PROBLEMS:
            problems.add(
                f"{path}:{number}: {line.rstrip()!r}; a line is a path, a space and a label, which "
                "is a whole number. For several or other labels use HDF5Data."
            )
    problems.raise_if_any()
    if not images:
        raise DataError(f"{path}: the list is empty; a line is a path, a space and a label.")
    return images


class ImageBatches:
    """Batches of the pictures of a list, again and again.

    Parameters
    ----------
    source : str
        The list.
    batch_size : int
        Pictures a batch.
    transformer : Transformer
        What is done to the pictures after reading them.
    stream : RandomStream
        Random numbers of the transformation, the order and `rand_skip`.
    root_folder : str
        Put before every name as it is, so it ends with a slash.
    height, width : int
        Resize to so many rows and columns; 0 and 0 keep the size.
    color : bool
        Blue, green, red; or grey.
    shuffle : bool
        Read in a new random order in each round.
    rand_skip : int
        Start up to ``rand_skip - 1`` pictures after the first, so that runs side by side differ.
    threads : int
        Decode so many pictures at once.

    Attributes
    ----------
    assembler : BatchAssembler
        What makes the batches.

    Raises
    ------
    DataError
        If the list or its first picture cannot be used.
    """

    def __init__(
        self,
        source: str,
        batch_size: int,
        transformer: Transformer,
        stream: RandomStream,
        *,
        root_folder: str = "",
        height: int = 0,
        width: int = 0,
        color: bool = True,
        shuffle: bool = False,
        rand_skip: int = 0,
        threads: int = 1,
    ) -> None:
        logger.info("Opening file %s", source)
        self._images = read_image_list(source)
        logger.info("A total of %d images.", len(self._images))
        self._source, self._root = source, root_folder
        self._batch_size, self._transformer, self._stream = batch_size, transformer, stream
        self._size, self._color, self._shuffle = (height, width), color, shuffle
        self._pool, self.assembler = OrderedPool(threads), BatchAssembler(transformer, stream)
        self._round, self._next = 0, self._skip(rand_skip)
        self._order = self._order_of_round()
        first = self._images[self._order[self._next]]
        self._shape = (batch_size, *self._output_shape(first, self._read(first)))

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of a batch's data, from the first picture."""
        return self._shape

    def next(self) -> Batch:
        """Return the next batch.

        The first picture of a batch decides its size, so that pictures of any size pass with
        ``batch_size: 1`` or a crop.

        Raises
        ------
        DataError
            If a picture cannot be read or has another size than the first of the batch.
        """
        images = [self._advance() for _ in range(self._batch_size)]
        pictures = self._pool.map(self._read, images)
        self._check_sizes(images, pictures)
        labels = np.array([image.label for image in images], np.float32)
        data = self.assembler(pictures, labels)
        keys = [os.fsencode(self._root + image.name) for image in images]
        return Batch(data, labels, keys, self.position())

    def position(self) -> Position:
        """Return where the source stands: round, place in its order, random step."""
        return {"round": self._round, "next": self._next, "step": self._stream.step}

    def restore(self, position: Position) -> None:
        """Go on from a position; the list must be the same."""
        self._round, self._next = position["round"], position["next"]
        self._stream.step = position["step"]
        self._order = self._order_of_round()

    def close(self) -> None:
        """End the threads that decode."""
        self._pool.close()

    def _skip(self, rand_skip: int) -> int:
        if not rand_skip:
            return 0
        if rand_skip > len(self._images):
            raise DataError(
                f"{self._source}: rand_skip is {rand_skip}, but the list has {len(self._images)} "
                "pictures; it can be at most as many."
            )
        n = int(self._stream.generator().integers(rand_skip))
        logger.info("Skipping first %d data points.", n)
        return n

    def _order_of_round(self) -> Sequence[int]:
        n = len(self._images)
        if not self._shuffle:
            return range(n)
        # A function of the round alone, so that a resumed run finds the order again.
        stream = RandomStream(self._stream.seed, f"{self._stream.name}/shuffle", self._round)
        order: list[int] = stream.generator().permutation(n).tolist()
        return order

    def _advance(self) -> ListedImage:
        if self._next == len(self._images):
            logger.info("Restarting data prefetching from start.")
            self._round, self._next = self._round + 1, 0
            self._order = self._order_of_round()
        self._next += 1
        return self._images[self._order[self._next - 1]]

    def _where(self, image: ListedImage) -> str:
        return f"{self._source}:{image.line}"

    def _read(self, image: ListedImage) -> Pixels:
        try:
            return read_image(self._root + image.name, self._color, *self._size)
        except DataError as error:
            raise DataError(f"{self._where(image)}: {error}{self._hint(image)}") from error

    def _hint(self, image: ListedImage) -> str:
        if Path(self._root + image.name).exists():
            return ""
        if self._root and not self._root.endswith("/"):
            return f' root_folder "{self._root}" is put before the name as it is: end it with "/".'
        return "" if self._root else f" The path is relative to {Path.cwd()}; see root_folder."

    def _output_shape(self, image: ListedImage, picture: Pixels) -> tuple[int, int, int]:
        try:
            return self._transformer.output_shape(picture.shape)
        except DataError as error:
            raise DataError(f"{self._where(image)}: {self._root}{image.name}: {error}") from error

    def _check_sizes(self, images: list[ListedImage], pictures: list[Pixels]) -> None:
        first = self._output_shape(images[0], pictures[0])
        for image, picture in zip(images, pictures, strict=True):
            if self._output_shape(image, picture) != first:
                shapes = [" x ".join(map(str, p.shape)) for p in (picture, pictures[0])]
                raise DataError(
                    f"{self._where(image)}: {self._root}{image.name} is {shapes[0]} (channels x "
                    f"rows x columns), but the batch began with {shapes[1]} (line "
                    f"{images[0].line}); a batch has one size. Use new_height and new_width, "
                    "crop_size, or batch_size: 1."
                )
