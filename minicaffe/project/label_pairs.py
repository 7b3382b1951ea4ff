"""Images with a label for each pixel: pairs of an image and a label image, and their check."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from minicaffe.cores import usable_cores
from minicaffe.data.image import read_image, read_label_image
from minicaffe.data.records.label_maps import LabelKind, read_label_map_list
from minicaffe.errors import DataError
from minicaffe.log import logger
from minicaffe.path_hints import not_found
from minicaffe.project.paired_files import FilePair, PairKind
from minicaffe.project.usable_images import warn_of_left_out
from minicaffe.text_file import read_text

IGNORED = 255  # label of pixels that do not count
_KIND = PairKind(("segmentationclass", "labels", "masks", "annotations"), "label image")
_NAMES = ("classes.txt", "labels.txt")


@dataclass(frozen=True)
class LabelledPixels:
    """Checked pairs.

    Parameters
    ----------
    root : Path
        The folder that paths are relative to.
    pairs : sequence of FilePair
    means : ndarray, float64, shape (n, 3)
        Mean blue, green and red of each image.
    classes : sequence of str
    shares : ndarray, float64, shape (classes,)
        Of all pixels that count.
    """

    root: Path
    pairs: Sequence[FilePair]
    means: npt.NDArray[np.float64]
    classes: Sequence[str]
    shares: npt.NDArray[np.float64]


def find_label_pairs(source: str) -> LabelledPixels:
    """Return the pairs of a folder with images and label images, or of a list of them.

    Raises
    ------
    DataError
        If there are none, or their labels are no classes.
    """
    path = Path(source)
    if not path.exists():
        raise DataError(not_found(source, "folder or list"))
    root, pairs = (path, _KIND.pairs_in(path)) if path.is_dir() else (path.parent, _in_list(path))
    spaced = next((name for pair in pairs for name in pair if len(name.split()) > 1), None)
    if spaced is not None:
        raise DataError(
            f"{root / spaced}: the list of a net that segments separates its paths by spaces, so "
            "that they can have none. Rename the file"
        )
    with ThreadPoolExecutor(usable_cores()) as pool:
        found = list(pool.map(lambda pair: _measure(root, pair), pairs))
    warn_of_left_out([one for one in found if isinstance(one, str)], "cannot be used")
    good = [(pair, one) for pair, one in zip(pairs, found, strict=True) if not isinstance(one, str)]
    if len(good) < 2:
        raise DataError(
            f"{source}: {len(good)} usable images; at least two are needed, one for training and "
            "one for validation"
        )
    counts = np.sum([counts for _, (_, counts) in good], axis=0)
    n = _count_classes(source, counts)
    means = np.array([mean for _, (mean, _) in good])
    shares = counts[:n] / counts[:n].sum()
    return LabelledPixels(root, [pair for pair, _ in good], means, _names(root, n), shares)


def _in_list(path: Path) -> list[FilePair]:
    return [
        FilePair(one.name, one.labels) for one in read_label_map_list(str(path), LabelKind.LABELS)
    ]


def _measure(
    root: Path, pair: FilePair
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]] | str:
    """Return the mean colour of an image and the counts of its labels, or why it is no pair."""
    try:
        image = read_image(root / pair.image)
        labels = read_label_image(root / pair.other)
    except DataError as error:
        return str(error)
    if image.shape[1:] != labels.shape[1:]:
        sizes = (" x ".join(map(str, one.shape[1:])) for one in (image, labels))
        return f"{root / pair.other} ({next(sizes)} pixels, its labels {next(sizes)})"
    return image.mean(axis=(1, 2)), np.bincount(labels.ravel(), minlength=IGNORED + 1)


def _count_classes(source: str, counts: npt.NDArray[np.int64]) -> int:
    """Return the number of classes of which label images have pixels."""
    present = np.flatnonzero(counts[:IGNORED])
    n = int(present.max(initial=-1)) + 1
    if n < 2:
        found = ", ".join(map(str, np.flatnonzero(counts)))
        raise DataError(
            f"{source}: the label images have the values {found}; pixels have the number of their "
            f"class, 0 for the first (the background) and 1 for the next, and {IGNORED} does not "
            "count. If objects are white, write 1 instead of 255"
        )
    missing = sorted(set(range(n)) - set(present.tolist()))
    if missing:
        listed = ", ".join(map(str, missing[:10]))
        logger.warning(
            f"{source}: the labels go up to {n - 1}, but no pixel has {listed}"
            f"{', ...' if len(missing) > 10 else ''}. Classes are numbered 0, 1, 2 and so on: the "
            f"net gets {n} of them"
        )
    return n


def _names(root: Path, n: int) -> list[str]:
    """Return the names of classes in a file beside the images; numbers without one."""
    for path in (root / name for name in _NAMES):
        if path.is_file():
            names = read_text(str(path), "the names of the classes").split("\n")
            names = [name.strip() for name in names if name.strip()]
            if len(names) >= n:
                return names
            raise DataError(
                f"{path}: {len(names)} names, but the label images have {n} classes; give the name "
                "of each in a line of its own"
            )
    return [f"class {k}" for k in range(n)]
