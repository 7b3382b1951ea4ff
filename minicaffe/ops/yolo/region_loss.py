"""Loss of YOLO v2: what every backend must compute.

Truths are rows of labels in one of two forms. (N, ..., 5): [class, x, y, w, h], center and size as
shares of the image; the first row with x or w of 0 ends the list of an image. (..., 8), SSD's:
[image, class + 1, instance, xmin, ymin, xmax, ymax, difficult]; rows with image -1 are skipped.

RegionLoss: tensors in planning order x (N, A (5 + C), H, W), labels, loss (). For anchor a and a
cell, s the sigmoid and p the classes through softmax or sigmoid, the predicted box and its
objectness are::

    ((column + s(x)) / W, (row + s(y)) / H, exp(w) anchor_w / W, exp(h) anchor_h / H),  s(o)

Every objectness has the delta noobject_scale (0 - s(o)) s'(o), which is 0 if the box has an IoU
above `threshold` with a truth of its image. Each truth then sets the deltas of one anchor in the
cell of its center: the anchor of largest IoU with it, both centered in one place (the predicted box
instead of the anchor, if `matches_predictions`)::

    x, y: scale (t - s(x)) s'(x), with t the place in the cell
    w, h: scale (log(size / anchor) - w)
    o:    object_scale (1 - s(o)) s'(o); the IoU instead of 1 if `rescores`
    p:    class_scale (onehot - p)

with scale = coord_scale, times 2 - the truth's area without `rescores`. A later truth replaces the
deltas of an earlier one. loss = sum of squared deltas / N; dx = - delta dloss / N, which is not the
derivative of the loss. A center outside of the image belongs to the nearest cell.

Source: Redmon, Farhadi, "YOLO9000: Better, Faster, Stronger", CVPR 2017, and darknet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from minicaffe.ops.backend import Op, Tensor

# Width and height of each anchor, in cells.
Anchors: TypeAlias = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class RegionLoss(Op["YoloLossKernel"]):
    """Describe the loss of YOLO v2."""

    anchors: Anchors
    n_classes: int
    has_softmax: bool
    matches_predictions: bool
    rescores: bool
    threshold: float
    object_scale: float
    noobject_scale: float
    class_scale: float
    coord_scale: float


class YoloLossKernel(Protocol):
    """Forward saves the deltas for backward; it waits for the device."""

    def forward(self, x: Tensor, labels: Tensor, loss: Tensor) -> None:
        """Overwrite loss.

        Raises
        ------
        LabelError
            If a truth is of no class, or of no image.
        """

    def backward(self, dloss: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
