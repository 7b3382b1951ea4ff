"""Boxes [x, y, w, h] by their centers, in NumPy: truths, predictions, measures of overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minicaffe.backends.reference.kernels._labels import class_indices, image_numbers
from minicaffe.ops.backend import HostArray
from minicaffe.ops.yolo.region_loss import Anchors

# Class, center, size.
TRUTH_VALUES = 5
# Image, label, instance, corners, difficult.
ANNOTATION_VALUES = 8


@dataclass(frozen=True)
class Truths:
    """The truths of a batch, in order; each array has one row a truth.

    Parameters
    ----------
    image, label : int array (T,)
    box : float array (T, 4)
    """

    image: HostArray
    label: HostArray
    box: HostArray

    def of(self, image: int) -> Truths:
        """Return the truths of one image."""
        mine = self.image == image
        return Truths(self.image[mine], self.label[mine], self.box[mine])

    def cells(self, rows: int, columns: int) -> tuple[HostArray, HostArray]:
        """Return the row and the column of the cell with each center."""
        at = np.floor(self.box[:, :2] * [columns, rows])
        column, row = np.clip(at, 0, [columns - 1, rows - 1]).astype(np.int64).T
        return row, column


@dataclass(frozen=True)
class Hits:
    """Predictions and the truths that they learn; each array has one row a hit.

    Parameters
    ----------
    image, anchor, row, column, label : int array (K,)
        The prediction's place in a map (N, A, H, W, channels), and the truth's class.
    truth : float array (K, 4)
    """

    image: HostArray
    anchor: HostArray
    row: HostArray
    column: HostArray
    label: HostArray
    truth: HostArray

    @property
    def at(self) -> tuple[HostArray, ...]:
        """The index of the predictions in a map (N, A, H, W, channels)."""
        return self.image, self.anchor, self.row, self.column

    def targets(self, map_size: tuple[int, ...], anchors: Anchors) -> HostArray:
        """Return what the codes of boxes should be, (K, 4): place in the cell, logarithms."""
        rows, columns = map_size
        at = self.truth[:, :2] * [columns, rows] - np.stack([self.column, self.row], 1)
        sizes = self.truth[:, 2:] * [columns, rows] / np.array(anchors)[self.anchor]
        return np.concatenate([at, np.log(sizes)], 1)


def as_predictions(x: HostArray, n_anchors: int) -> HostArray:
    """Return a map (N, A channels, H, W) as (N, A, H, W, channels), in float64."""
    n, channels, rows, columns = x.shape
    maps = x.astype(np.float64).reshape(n, n_anchors, channels // n_anchors, rows, columns)
    return np.moveaxis(maps, 2, -1)


def truths(labels: HostArray, n_images: int, n_classes: int) -> Truths:
    """Return the truths of a batch; see `minicaffe.ops.yolo.region_loss` for the two forms.

    Raises
    ------
    LabelError
        If an image or a class does not exist.
    """
    if labels.shape[-1] == ANNOTATION_VALUES:
        annotations = labels.reshape(-1, ANNOTATION_VALUES).astype(np.float64)
        annotations = annotations[annotations[:, 0] >= 0]
        classes, _ = class_indices(np, annotations[:, 1] - 1, n_classes)
        start, end = annotations[:, 3:5], annotations[:, 5:7]
        box = np.concatenate([(start + end) / 2, end - start], 1)
        return Truths(image_numbers(np, annotations[:, 0], n_images), classes, box)
    most = labels.size // (max(n_images, 1) * TRUTH_VALUES)
    rows = labels.reshape(n_images, most, TRUTH_VALUES).astype(np.float64)
    is_listed = np.logical_and.accumulate((rows[..., 1] != 0) & (rows[..., 3] != 0), axis=1)
    classes, _ = class_indices(np, np.where(is_listed, rows[..., 0], 0), n_classes)
    return Truths(np.nonzero(is_listed)[0], classes[is_listed], rows[is_listed][:, 1:])


def predicted_boxes(codes: HostArray, anchors: Anchors) -> HostArray:
    """Return the boxes that codes stand for, both (N, A, H, W, 4).

    Parameters
    ----------
    codes : array
        Place in the cell, then logarithm of the size over the anchor's.
    anchors : tuple
        In cells.
    """
    rows, columns = codes.shape[2:4]
    cells = np.moveaxis(np.mgrid[:rows, :columns][::-1], 0, -1)
    sizes = np.exp(codes[..., 2:]) * np.array(anchors)[:, None, None]
    return np.concatenate([codes[..., :2] + cells, sizes], -1) / [columns, rows, columns, rows]


def shapes_only(boxes: HostArray) -> HostArray:
    """Return the boxes with their centers at 0."""
    return np.concatenate([np.zeros_like(boxes[..., :2]), boxes[..., 2:]], -1)


def anchor_boxes(anchors: Anchors, rows: int, columns: int) -> HostArray:
    """Return boxes (A, 4) at 0 with the anchors' sizes as shares of a map's."""
    sizes = np.array(anchors) / [columns, rows]
    return np.concatenate([np.zeros_like(sizes), sizes], -1)
