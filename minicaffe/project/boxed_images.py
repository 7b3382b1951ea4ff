"""Images with files of the boxes of their objects, in PASCAL VOC's form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from minicaffe.cores import usable_cores
from minicaffe.data.image import read_image
from minicaffe.errors import DataError
from minicaffe.path_hints import not_found
from minicaffe.project.paired_files import FilePair, PairKind
from minicaffe.project.usable_images import warn_of_left_out

_KIND = PairKind(("annotations", "boxes", "labels"), "file of boxes (.xml)", ".xml")


@dataclass(frozen=True)
class BoxedImages:
    """Checked images.

    Parameters
    ----------
    root : Path
        The folder that paths are relative to.
    pairs : sequence of FilePair
    means : ndarray, float64, shape (n, 3)
        Mean blue, green and red of each image.
    objects : Counter
        The number of objects of each class, by its name.
    """

    root: Path
    pairs: Sequence[FilePair]
    means: npt.NDArray[np.float64]
    objects: Counter[str]

    @property
    def classes(self) -> list[str]:
        """The names of the classes; the label of the first is 1, because 0 is the background."""
        return sorted(self.objects)


def find_boxed_images(source: str) -> BoxedImages:
    """Return the images of a folder with images and XML files of their boxes.

    Raises
    ------
    DataError
        If there is no such folder, or it has no objects.
    """
    root = Path(source)
    if not root.is_dir():
        raise DataError(not_found(source, "folder"))
    pairs = _KIND.pairs_in(root)
    with ThreadPoolExecutor(usable_cores()) as pool:
        found = list(pool.map(lambda pair: _measure(root, pair), pairs))
    warn_of_left_out([one for one in found if isinstance(one, str)], "cannot be used")
    good = [(pair, one) for pair, one in zip(pairs, found, strict=True) if not isinstance(one, str)]
    objects = Counter(name for _, (_, names) in good for name in names)
    if len(good) < 2 or not objects:
        raise DataError(
            f"{source}: {len(good)} usable images with {objects.total()} objects; at least two "
            "images with objects are needed, one for training and one for validation"
        )
    means = np.array([mean for _, (mean, _) in good])
    return BoxedImages(root, [pair for pair, _ in good], means, objects)


def _measure(root: Path, pair: FilePair) -> tuple[npt.NDArray[np.float64], list[str]] | str:
    """Return the mean colour of an image and the classes of its objects, or what is wrong."""
    try:
        image = read_image(root / pair.image)
        tree = ElementTree.parse(root / pair.other)
    except (DataError, OSError) as error:
        return str(error)
    except ElementTree.ParseError as error:
        return f"{root / pair.other}: no XML: {error}"
    names = [(one.findtext("name") or "").strip() for one in tree.iter("object")]
    if "" in names:
        return f"{root / pair.other}: an object has no name"
    return image.mean(axis=(1, 2)), names


def label_map_text(classes: Sequence[str]) -> str:
    """Return the prototxt with the label of each class."""
    items = [("none_of_the_above", "background"), *((name, name) for name in classes)]
    return "# The number of each class; 0 is the background.\n" + "".join(
        f'item {{ name: "{name}" label: {label} display_name: "{shown}" }}\n'
        for label, (name, shown) in enumerate(items)
    )
