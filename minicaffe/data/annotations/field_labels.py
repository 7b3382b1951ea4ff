"""Label maps of MS-CNN: for each cell of a map the object that its field fits best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
# Class, center, size, overlap.
CHANNELS = 6
# Share of a field in regions that are left out, from which on its cell is; the smallest overlap of
# an object that no field fits.
_MOST_COVERED, _LEAST_OVERLAP = 0.4, 0.2


@dataclass(frozen=True)
class FieldMap:
    """A map of cells: rows and columns, pixels of a cell, size of the field around its center."""

    rows: int
    columns: int
    step: int
    height: float
    width: float

    def fields(self) -> Numbers:
        """Return the corners x1, y1, x2, y2 of the fields, (rows, columns, 4)."""
        row, column = (np.indices((self.rows, self.columns)) + 0.5) * self.step
        w, h = self.width / 2, self.height / 2
        return np.stack([column - w, row - h, column + w, row + h], -1)


def box_overlaps(a: Numbers, b: Numbers, of_first: bool = False) -> Numbers:
    """Return the intersection over the union of boxes (..., 4), or over the first box."""
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.maximum(sides, 0).prod(-1)
    first, second = ((box[..., 2:] - box[..., :2]).prod(-1) for box in (a, b))
    whole = np.broadcast_to(first, shared.shape) if of_first else first + second - shared
    part: Numbers = np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)
    return part


def label_maps(
    maps: list[FieldMap], objects: Numbers, regions: Numbers, window: tuple[int, ...], least: float
) -> list[Numbers]:
    """Return the labels (6, rows, columns) of the maps of an image.

    A cell gets the object of largest overlap with its field, if that exceeds `least`; the class is
    0 if the object is ignored. Cells outside of the image, and those whose field lies in regions
    that are left out, have the class 0 and the overlap 1, so that they are no background. An object
    that no field fits is given to the cell of its center, in the map with the best field.

    Parameters
    ----------
    maps : list of FieldMap
    objects : array (n, 6)
        Class, ignored, x1, y1, x2, y2, pixels of the net's input.
    regions : array (m, 4)
    window : tuple of int
        x1, y1, x2, y2 of the image within the net's input.
    least : float
    """
    labels = [np.zeros((m.rows, m.columns, CHANNELS)) for m in maps]
    best, is_matched = np.zeros((len(maps), len(objects))), np.zeros(len(objects), bool)
    for k, (field_map, label) in enumerate(zip(maps, labels, strict=True)):
        is_used = _is_used(field_map, regions, window)
        label[..., 5] = ~is_used
        if not len(objects):
            continue
        near = box_overlaps(objects[:, 2:], field_map.fields()[:, :, None]) * is_used[..., None]
        best[k] = near.max((0, 1))
        label[..., 5] += near.max(-1)
        is_object = near.max(-1) > least
        found = near.argmax(-1)[is_object]
        label[is_object, :5] = _codes(objects[found])
        label[is_object, 0] *= objects[found, 1] == 0
        is_matched[found] = True
    for n in np.flatnonzero(~is_matched & (objects[:, 1] == 0) & (best.max(0) >= _LEAST_OVERLAP)):
        k = int(best[:, n].argmax())
        code = _codes(objects[n : n + 1])[0]
        column, row = (code[1:3] // maps[k].step).astype(int)
        row, column = np.clip((row, column), 0, (maps[k].rows - 1, maps[k].columns - 1))
        if not labels[k][row, column, 0]:
            labels[k][row, column, :5] = code
    return [np.moveaxis(label, -1, 0) for label in labels]


def _is_used(field_map: FieldMap, regions: Numbers, window: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which cells lie in the image and not in regions that are left out."""
    x1, y1, x2, y2 = (round(v / field_map.step) for v in window)
    is_used = np.zeros((field_map.rows, field_map.columns), bool)
    is_used[y1:y2, x1:x2] = True
    covered = box_overlaps(field_map.fields()[:, :, None], regions, of_first=True).sum(-1)
    is_used &= covered < _MOST_COVERED
    return is_used


def _codes(objects: Numbers) -> Numbers:
    """Return class, center and size of objects, (n, 5)."""
    first, last = objects[:, 2:4], objects[:, 4:]
    return np.column_stack([objects[:, 0], (first + last) / 2, last - first])
