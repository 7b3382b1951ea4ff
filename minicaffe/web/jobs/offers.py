"""What forms offer: solvers, folders of images, nets and weights below the folder of the board."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from minicaffe.project.adapted_net import KNOWN_NETS, SMALL
from minicaffe.runs.folder import kept_weights
from minicaffe.runs.natural_order import natural_key
from minicaffe.web.board.folder import BoardFolder
from minicaffe.web.jobs.forms import working_folder

_MOST_FOLDERS = 2000  # that are searched
_MOST_OFFERED = 300  # of a kind
_SOLVER_BYTES = 65536
_PICTURES = frozenset(
    (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
)
# Folders of images whose classes are in other files beside them, as `minicaffe new` reads them.
_PAIRS = ("labels", "masks", "segmentationclass", "annotations", "boxes")


@dataclass
class FormOffers:
    """Paths below the folder of the board, in natural order.

    Attributes
    ----------
    solvers : list of (str, str)
        Each with the folder in which it trains.
    images : list of str
        Folders that have a folder of images for each class, or images and labels; tables.
    nets : list of str
        Names in models/.
    weights : list of str
        Files, and runs that have kept some.
    """

    solvers: list[tuple[str, str]] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    nets: list[str] = field(default_factory=lambda: [SMALL, *KNOWN_NETS])
    weights: list[str] = field(default_factory=list)


def form_offers(folder: BoardFolder) -> FormOffers:
    """Search the folder of the board; hidden folders and those that links lead to are left out."""
    found = FormOffers()
    for path, holds_run, subfolders, files in folder.folders_below(_MOST_FOLDERS):
        name = path.relative_to(folder.root).as_posix()
        if holds_run:
            if any(kept_weights(path, kind) for kind in ("best", "last")):
                found.weights.append(name)
            continue
        _add_files(found, folder, path, files)
        if _has_images(path, subfolders) and path != folder.root:
            found.images.append(name)
    for offers in (found.images, found.weights):
        offers.sort(key=natural_key)
        del offers[_MOST_OFFERED:]
    found.solvers.sort(key=lambda one: natural_key(one[0]))
    return found


def _add_files(found: FormOffers, folder: BoardFolder, path: Path, files: list[str]) -> None:
    for file in files:
        full = path / file
        name = full.relative_to(folder.root).as_posix()
        if file.endswith((".caffemodel", ".caffemodel.h5")):
            found.weights.append(name)
        elif file.endswith(".csv"):
            found.images.append(name)
        elif file.endswith(".prototxt") and len(found.solvers) < _MOST_OFFERED and _is_solver(full):
            place = working_folder(folder, full).relative_to(folder.root).as_posix()
            found.solvers.append((name, place))


def _has_images(folder: Path, subfolders: list[str]) -> bool:
    """Return whether a folder has folders of images: of several classes, or with labels."""
    if {name.lower() for name in subfolders} & set(_PAIRS):
        return any(name.lower() in ("images", "jpegimages") for name in subfolders)
    with_images = (name for name in subfolders if _begins_with_images(folder / name))
    return next(with_images, None) is not None and next(with_images, None) is not None


def _begins_with_images(folder: Path) -> bool:
    """Return whether there is an image among the first files of a folder."""
    try:
        with os.scandir(folder) as entries:
            first = (entry.name for _, entry in zip(range(20), entries, strict=False))
            return any(Path(name).suffix.lower() in _PICTURES for name in first)
    except OSError:
        return False


def _is_solver(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return b"base_lr" in file.read(_SOLVER_BYTES)
    except OSError:
        return False
