"""Selection of the images that a project can use, and their division for training and validation.

An image file that cannot be opened is left out. So is a copy of another one: if one were used in
training and the other in validation, the accuracy would say less about new images.
"""

from __future__ import annotations

import hashlib
import io
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from minicaffe.cores import usable_cores
from minicaffe.data.image import decoding
from minicaffe.errors import DataError
from minicaffe.log import logger
from minicaffe.project.labelled_images import LabelledImages
from minicaffe.random import RandomStream

_GREY = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L")
_MOST_NAMES = 3
_FEW = 20


class ImageFacts(NamedTuple):
    """Format, size and colours of an image file.

    Parameters
    ----------
    rows, columns : int
        The size, pixels.
    is_grey : bool
    digest : bytes
        Of the content.
    """

    rows: int
    columns: int
    is_grey: bool
    digest: bytes


@dataclass(frozen=True)
class UsableImages:
    """The images of a project.

    Parameters
    ----------
    given : LabelledImages
        Without those that cannot be used.
    facts : sequence of ImageFacts
        In their order.
    """

    given: LabelledImages
    facts: Sequence[ImageFacts]

    @property
    def n_grey(self) -> int:
        """The number of grey images."""
        return sum(one.is_grey for one in self.facts)

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """The different sizes, rows and columns, the smallest first."""
        return sorted({(one.rows, one.columns) for one in self.facts}, key=lambda s: s[0] * s[1])


def select_images(given: LabelledImages) -> UsableImages:
    """Open all images, and return those that can be used; log a warning for each kind of others.

    Raises
    ------
    DataError
        If a class has fewer than two images, one for training and one for validation.
    """
    with ThreadPoolExecutor(usable_cores()) as pool:
        found = list(pool.map(lambda image: _facts(given.root / image[0]), given.images))
    bad = [
        f"{given.root / image[0]} ({one})"
        for image, one in zip(given.images, found, strict=True)
        if isinstance(one, str)
    ]
    warn_of_left_out(bad, "cannot be read")
    good = [
        (image, one)
        for image, one in zip(given.images, found, strict=True)
        if not isinstance(one, str)
    ]
    unique = _without_copies(given, good)
    images = [image for image, _ in unique]
    kept = replace(given, images=images)
    for label, name in enumerate(kept.classes):
        n = len(kept.of(label))
        if n < 2:
            raise DataError(
                f"{given.source}: class {name!r} has {n or 'no'} usable image; a class needs at "
                "least two, one for training and one for validation. Add images, or remove the "
                "class"
            )
    few = [
        f"{name} ({len(kept.of(k))})"
        for k, name in enumerate(kept.classes)
        if len(kept.of(k)) < _FEW
    ]
    if few:
        logger.warning(
            f"few images: {_listed(few)}. With fewer than {_FEW} images of a class, the accuracy "
            "of the validation is a rough estimate"
        )
    return UsableImages(kept, [one for _, one in unique])


def _facts(path: Path) -> ImageFacts | str:
    """Return the facts about a file, or why it cannot be used."""
    if "\n" in str(path):
        return "its name has a line break"
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content)) as image, decoding(image, "here"):
            columns, rows = image.size
            is_grey = image.mode in _GREY
            image.draft(None, (1, 1))  # reads a JPEG to its end, but computes few of its pixels
            image.load()
    except DataError as error:
        return str(error)
    except UnidentifiedImageError:
        return "no image"
    except Exception as error:  # Pillow's plugins raise errors of many types for damaged files
        return getattr(error, "strerror", None) or str(error)
    return ImageFacts(rows, columns, is_grey, hashlib.sha1(content).digest())


def _without_copies(
    given: LabelledImages, good: Sequence[tuple[tuple[str, int], ImageFacts]]
) -> list[tuple[tuple[str, int], ImageFacts]]:
    """Return images without copies of others, and without those that have several classes."""
    same: dict[bytes, list[tuple[str, int]]] = defaultdict(list)
    for image, facts in good:
        same[facts.digest].append(image)
    copies, unclear = [], []
    kept = []
    for image, facts in good:
        group = same[facts.digest]
        if len({label for _, label in group}) > 1:
            if image == group[0]:
                unclear.append(" = ".join(path for path, _ in group))
        elif image == group[0]:
            kept.append((image, facts))
        else:
            copies.append(f"{image[0]} = {group[0][0]}")
    warn_of_left_out(copies, "are copies of others")
    warn_of_left_out(unclear, "are in several classes")
    return kept


def warn_of_left_out(names: Sequence[str], what: str) -> None:
    """Log a warning that names some of the files that are not used, and why; none without files."""
    if names:
        logger.warning(f"left out, because they {what}: {_listed(names)}")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


Part = list[tuple[str, int]]


def split_images(given: LabelledImages, share: float, seed: int) -> tuple[Part, Part]:
    """Divide images into those for training and those for validation, each in random order.

    Every class is divided in the same ratio, and has at least one image in each part.

    Parameters
    ----------
    given : LabelledImages
    share : float
        Of the images for training, between 0 and 1.
    seed : int
        The same seed divides the same images alike.
    """
    training: Part = []
    validation: Part = []
    generator = RandomStream(seed, "split").generator()
    for label in range(len(given.classes)):
        paths = given.of(label)
        n = min(max(round(len(paths) * share), 1), len(paths) - 1)
        order = generator.permutation(len(paths))
        training += [(paths[k], label) for k in order[:n]]
        validation += [(paths[k], label) for k in order[n:]]
    generator.shuffle(training)  # batches of one class each teach a net little
    generator.shuffle(validation)
    return training, validation
