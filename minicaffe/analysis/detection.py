"""Agreement of found objects with true ones, by PASCAL VOC's rules of 2007."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from minicaffe.data.annotations.annotation_files import read_boxes
from minicaffe.data.annotations.object_box import AnnotationType
from minicaffe.ops.backend import HostArray
from minicaffe.pixel_boxes import pixel_overlaps
from minicaffe.solver.scores.average_precision import average_precisions, mean_average_precision

_LEAST_OVERLAP = 0.5


def read_true_objects(
    path: str, image_size: tuple[int, int], labels: Mapping[str, int]
) -> HostArray:
    """Read the objects of an image.

    Parameters
    ----------
    path : str
        An XML file in PASCAL VOC's form.
    image_size : tuple of int
        Rows and columns of the image.
    labels : mapping
        Labels by the names of classes.

    Returns
    -------
    ndarray of float64, shape (G, 6)
        Rows [class, 1 if difficult, xmin, ymin, xmax, ymax]; corners in pixels, counted from 1.

    Raises
    ------
    DataError
        If the file cannot be read.
    SchemaError
        If a class has no label.
    """
    rows, columns = image_size
    sides = np.array([columns, rows, columns, rows])
    found = [
        [box.label, box.is_difficult, *(np.array(box.sides) * sides)]
        for box in read_boxes(path, AnnotationType.XML, image_size, labels)
    ]
    return np.array(found, np.float64).reshape(-1, 6)


def match_objects(found: HostArray, true: HostArray) -> HostArray:
    """Return which of the objects found in an image are right.

    An object is right if its overlap with a true one of its class exceeds 0.5, and no better one
    was right for that. If the true one is difficult, it counts neither as right nor as wrong.

    Parameters
    ----------
    found : ndarray, shape (M, 6)
        Rows [class, score, xmin, ymin, xmax, ymax], in pixels.
    true : ndarray, shape (G, 6)
        Rows as of `read_true_objects`.

    Returns
    -------
    ndarray of float32, shape (n, 5)
        Rows for `average_precisions`: first the numbers of true objects, of classes that occur.
    """
    labels, numbers = np.unique(true[true[:, 1] == 0, 0], return_counts=True)
    rows = [[-1, label, n, -1, -1] for label, n in zip(labels, numbers, strict=True)]
    is_free = np.ones(len(true), bool)
    for label, score, *corners in found[np.argsort(-found[:, 1], kind="stable")].tolist():
        mine = np.flatnonzero(true[:, 0] == label)
        overlaps = pixel_overlaps(np.array(corners), true[mine, 2:])
        best = mine[overlaps.argmax()] if overlaps.max(initial=0) > _LEAST_OVERLAP else None
        if best is not None and true[best, 1]:
            continue
        is_right = best is not None and bool(is_free[best])
        if best is not None:
            is_free[best] = False
        rows.append([0, label, score, is_right, not is_right])
    return np.array(rows, np.float32).reshape(-1, 5)


def precision_report(rows: HostArray, names: Mapping[int, str]) -> list[str]:
    """Return lines of text, as py-faster-rcnn prints them: average precision of each class, mean.

    Parameters
    ----------
    rows : ndarray, shape (n, 5)
        The rows of all images.
    names : mapping
        Names by class; 0 is the background.
    """
    precisions = average_precisions(rows, "11point")
    lines = []
    for label, name in sorted(names.items()):
        if label in precisions:
            lines.append(f"AP for {name} = {precisions[label] or 0:.4f}")
        elif label != 0:
            lines.append(f"AP for {name}: no true objects")
    if precisions:
        return [*lines, f"Mean AP = {mean_average_precision(precisions):.4f}"]
    return [*lines, "Mean AP: no true objects"]
