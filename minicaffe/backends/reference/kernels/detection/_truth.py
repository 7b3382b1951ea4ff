"""True boxes in the forms that data layers write them, and checks of classes."""

from __future__ import annotations

import numpy as np

from minicaffe.errors import LabelError
from minicaffe.ops.backend import HostArray

ANNOTATION_VALUES = 8


def require_objects(
    images: HostArray, labels: HostArray, n_classes: int, background: int | None
) -> None:
    """Raise a LabelError unless each label is a class and not the background.

    Parameters
    ----------
    images, labels : ndarray, (n,)
    n_classes : int
    background : int or None
    """
    is_class = (labels >= 0) & (labels < n_classes) & (labels == np.trunc(labels))
    wrong = np.flatnonzero(~is_class | (labels == background))
    if len(wrong):
        item, value = int(images[wrong[0]]), float(labels[wrong[0]])
        target = (
            "class" if background is None else f"class of objects ({background} is the background)"
        )
        raise LabelError(item, value, n_classes, "label", target)


def annotation_rows(truth: HostArray) -> HostArray:
    """Return true boxes as rows [image, class, instance, xmin, ymin, xmax, ymax, difficult].

    Parameters
    ----------
    truth : ndarray, (1, 1, G, 8) or (N, 1, G, 5)
        Such rows; or a list [class - 1, x, y, width, height] for each image, which a row of zeros
        ends.
    """
    if truth.shape[-1] == ANNOTATION_VALUES:
        return truth.reshape(-1, ANNOTATION_VALUES)
    lists = truth[:, 0]
    is_listed = np.logical_and.accumulate((lists[..., 1] != 0) & (lists[..., 3] != 0), axis=1)
    image, instance = np.nonzero(is_listed)
    label, center, half = np.split(lists[is_listed], [1, 3], axis=1)
    half = half / 2
    difficult = np.zeros(len(image))
    rows: HostArray = np.column_stack(
        [image, label + 1, instance, center - half, center + half, difficult]
    )
    return rows
