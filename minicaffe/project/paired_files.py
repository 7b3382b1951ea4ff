"""Images with a file each that describes them: label images, boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from minicaffe.data.preparation import find_images
from minicaffe.errors import DataError
from minicaffe.project.usable_images import warn_of_left_out
from minicaffe.random import RandomStream

_IMAGES = ("jpegimages", "images", "image")


class FilePair(NamedTuple):
    """Paths of an image and the file that describes it, below a folder."""

    image: str
    other: str


@dataclass(frozen=True)
class PairKind:
    """What describes images.

    Parameters
    ----------
    folders : sequence of str
        Names of the folder with these files, in lower case.
    noun : str
        For messages, in the singular.
    suffix : str
        Of the files; "" for any.
    """

    folders: Sequence[str]
    noun: str
    suffix: str = ""

    def pairs_in(self, root: Path) -> list[FilePair]:
        """Return the pairs of files with the same names in the two folders of a data set.

        Raises
        ------
        DataError
            If there are no such folders.
        """
        folders = {entry.name.lower(): entry for entry in root.iterdir() if entry.is_dir()}
        images = next((folders[name] for name in _IMAGES if name in folders), None)
        others = next((folders[name] for name in self.folders if name in folders), None)
        if images is None or others is None:
            raise DataError(
                f"{root}: has the folders {', '.join(sorted(folders)) or 'none'}; images are in a "
                f"folder called images or JPEGImages, and a {self.noun} for each, of the same "
                f"name, in one called {' or '.join(self.folders)}"
            )
        by_stem = {
            path.stem: path
            for path in sorted(others.iterdir())
            if path.is_file() and path.suffix.lower().endswith(self.suffix)
        }
        pairs, lonely = [], []
        for name in find_images([str(images)]):
            path = Path(name)
            if path.stem in by_stem:
                both = (str(one.relative_to(root)) for one in (path, by_stem[path.stem]))
                pairs.append(FilePair(*both))
            else:
                lonely.append(name)
        warn_of_left_out(lonely, f"have no {self.noun} in {others}")
        return pairs


def split_indices(n: int, share: float, seed: int) -> tuple[list[int], list[int]]:
    """Return the indices of n items for training and for validation, in random order."""
    n_training = min(max(round(n * share), 1), n - 1)
    order = RandomStream(seed, "split").generator().permutation(n).tolist()
    return order[:n_training], order[n_training:]
