"""Boxes of objects under the changes of their image.

Arrays of objects have the columns of `OBJECT_COLUMNS`. A window is a box in units of the image, and
may reach beyond it.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from minicaffe.errors import DataError
from minicaffe.schema.forks_pb2 import EmitConstraint

Floats = NDArray[np.float32]
Window: TypeAlias = tuple[float, float, float, float]
Keeps: TypeAlias = NDArray[np.bool_]

WHOLE: Window = (0.0, 0.0, 1.0, 1.0)
_SIDES = slice(2, 6)


class EmitRule:
    """Decides which objects stay when a window is cut out of their image.

    Parameters
    ----------
    param : EmitConstraint or None
        CENTER: those with their center in the window. MIN_OVERLAP: those of which the window covers
        more than emit_overlap. None: all that have a part in the window.

    Raises
    ------
    DataError
        If emit_overlap is missing.
    """

    def __init__(self, param: EmitConstraint | None) -> None:
        self._is_center = param is not None and param.emit_type == EmitConstraint.CENTER
        self._overlap = None if param is None or self._is_center else float(param.emit_overlap)
        if self._overlap is not None and param is not None and not param.HasField("emit_overlap"):
            raise DataError(
                "transform_param: emit_constraint: MIN_OVERLAP needs emit_overlap, the share of a "
                "box that must stay."
            )

    def keeps(self, boxes: Floats, window: Window) -> Keeps:
        """Return which boxes (n, 4) stay."""
        if self._is_center:
            center = (boxes[:, :2] + boxes[:, 2:]) / 2
            is_inside = (center >= window[:2]) & (center <= window[2:])
            return is_inside[:, 0] & is_inside[:, 1]
        if self._overlap is not None:
            return coverage(boxes, np.array([window], np.float32))[:, 0] > self._overlap
        return np.ones(len(boxes), bool)


def cut_objects(objects: Floats, window: Window, rule: EmitRule) -> Floats:
    """Return the objects in a window, in its units and cut to it; none without an area."""
    boxes = objects[:, _SIDES]
    left, top, right, bottom = window
    scale = np.array([right - left, bottom - top] * 2, np.float32)
    inside = ((boxes - np.array([left, top] * 2, np.float32)) / scale).clip(0, 1)
    chosen = rule.keeps(boxes, window) & (inside[:, 2:] > inside[:, :2]).all(1)
    kept: Floats = objects[chosen]
    kept[:, _SIDES] = inside[chosen]
    return kept


def mirror_objects(objects: Floats) -> Floats:
    """Return the objects of an image that is mirrored left to right."""
    mirrored = objects.copy()
    mirrored[:, [2, 4]] = 1 - objects[:, [4, 2]]
    return mirrored


def move_objects(objects: Floats, scale: tuple[float, float], shift: tuple[float, float]) -> Floats:
    """Return objects whose boxes are scaled, then shifted, along x and y."""
    moved = objects.copy()
    moved[:, _SIDES] = objects[:, _SIDES].clip(0, 1) * np.array(scale * 2, np.float32)
    moved[:, _SIDES] += np.array(shift * 2, np.float32)
    return moved


def sides_of(objects: Floats) -> Floats:
    """Return the boxes, (n, 4)."""
    return objects[:, _SIDES]


def common_areas(a: Floats, b: Floats) -> Floats:
    """Return the area that each of A boxes has in common with each of B, (A, B)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    areas: Floats = (high - low).clip(0).prod(-1)
    return areas


def coverage(a: Floats, b: Floats) -> Floats:
    """Return the share of each of A boxes that each of B covers, (A, B)."""
    return _divide(common_areas(a, b), _areas(a)[:, None])


def jaccard(a: Floats, b: Floats) -> Floats:
    """Return the common area of each of A and each of B boxes over that of both, (A, B)."""
    common = common_areas(a, b)
    return _divide(common, _areas(a)[:, None] + _areas(b) - common)


def _areas(boxes: Floats) -> Floats:
    areas: Floats = (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(-1)
    return areas


def _divide(part: Floats, whole: Floats) -> Floats:
    quotient: Floats = np.divide(part, whole, out=np.zeros_like(part), where=part > 0)
    return quotient
