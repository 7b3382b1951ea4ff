"""Checks of the classes of true boxes and detections."""

from __future__ import annotations

import numpy as np

from minicaffe.errors import LabelError
from minicaffe.ops.backend import HostArray


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
