"""Average precision of detections: the area under the curve of precision over recall."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]

# Steps of the recall that are smaller do not count.
_SMALLEST_STEP = 1e-6
_POINTS = 11
# Columns of the rows that DetectionEvaluate writes.
_IMAGE, _LABEL, _SCORE, _TRUE, _FALSE = range(5)


def average_precisions(rows: npt.NDArray[np.float32], version: str) -> dict[int, float | None]:
    """Return the average precision of each class, from the rows of all batches of a test.

    Parameters
    ----------
    rows : ndarray, shape (n, 5)
        Rows [image, class, score, true positive, false positive], and for each class [-1, class,
        number of true boxes, -1, -1]. Rows that are neither true nor false do not count.
    version : str
        A key of `AP_VERSIONS`.

    Returns
    -------
    dict
        By class; None for a class without detections.
    """
    is_count = rows[:, _IMAGE] == -1
    found = rows[~is_count & ((rows[:, _TRUE] != 0) | (rows[:, _FALSE] != 0))]
    results: dict[int, float | None] = {}
    for label in np.unique(rows[is_count, _LABEL]):
        n_true = rows[is_count & (rows[:, _LABEL] == label), _SCORE].sum()
        of_class = found[found[:, _LABEL] == label]
        of_class = of_class[np.argsort(-of_class[:, _SCORE], kind="stable")].astype(np.float64)
        results[int(label)] = None
        if len(of_class):
            hits, misses = of_class[:, _TRUE].cumsum(), of_class[:, _FALSE].cumsum()
            curve = hits / (hits + misses), hits / max(n_true, 1)
            results[int(label)] = AP_VERSIONS[version](*curve) if n_true else 0.0
    return results


def mean_average_precision(precisions: Mapping[int, float | None]) -> float:
    """Return the mean over all classes; one without detections counts as 0."""
    return sum(precision or 0.0 for precision in precisions.values()) / len(precisions)


def _eleven_points(precision: Floats, recall: Floats) -> float:
    """Return the mean of the best precisions at recalls of 0, 0.1, ..., 1 and above."""
    # SSD's recall is float32, in which 0.7 and 0.9 do not reach these points.
    reached = recall.astype(np.float32).astype(np.float64)
    best = [
        precision[reached >= point].max(initial=0) for point in np.arange(_POINTS) / (_POINTS - 1)
    ]
    return float(np.mean(best))


def _envelope(precision: Floats, recall: Floats) -> float:
    """Return the area under the best precision from each detection on."""
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return _area(np.append(best[:1], best[:-1]), recall)


def _area(precision: Floats, recall: Floats) -> float:
    """Return the sum of precisions times steps of the recall."""
    steps = np.diff(recall, prepend=0)
    return float((precision * steps)[steps > _SMALLEST_STEP].sum())


# The solver's ap_version.
AP_VERSIONS: Mapping[str, Callable[[Floats, Floats], float]] = {
    "11point": _eleven_points,
    "MaxIntegral": _envelope,
    "Integral": _area,
}
