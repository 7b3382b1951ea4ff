"""Losses of YOLO v3: what every backend must compute.

Yolov3Loss: tensors in planning order x (N, M (5 + C), H, W), labels, loss (). `mask` names the M
anchors of this map. Boxes and objectness are those of `minicaffe.ops.yolo.region_loss`; classes go
through the sigmoid, too. Every objectness has the delta 0 - s(o), which is 0 if the box overlaps a
truth of its image by more than `threshold`. A truth hits, in the cell of its center, the anchor of
largest overlap with it (both centered in one place) if the mask names it; then each anchor of the
mask that overlaps it by more than `match_threshold`, so that the best one may be hit twice. A hit
sets the deltas::

    x, y:    scale (t - s(x)), with t the place in the cell
    w, h:    scale (log(size / anchor) - w)
    o:       object_scale (1 - s(o))
    classes: class_scale (t - s(c)), t = 1 - smoothing / 2 for the class, smoothing / 2 for others

with scale = coord_scale (2 - the truth's area). A later hit replaces the box; its class joins those
of earlier ones. With `is_focal` the classes of a first hit have t = 1 and 0, times 0.5 g(p) with
p the score of the class and g(p) = -(1 - p) (2 p log(p) + p - 1).

`box_loss` "iou", "giou", "diou" or "ciou" replaces overlap by this measure everywhere, and the
deltas of a box by its gradient with respect to the box's center and size, that of the size times
exp(w), cut to +-max_delta; hits accumulate if `accumulates`. Then::

    "mse": loss = sum of squared deltas / N
    else:  loss = (sum of squared deltas but the boxes' + box_weight mean of (1 - measure)) / N
    dx   = - delta dloss / N,  times s' for all but w and h with `has_sigmoid_slope`

with the mean over all hits. "ciou" takes the gradient of the aspect term without the factor
1 / (w^2 + h^2) and with a constant weight, as its authors do.

GaussianYolov3Loss: as above with the channels x, its deviation, y, dy, w, dw, h, dh, o, classes;
deviations go through the sigmoid. Overlap is the IoU, t of classes 1 and 0, the loss that of
"iou". With e the difference t - prediction and d the deviation, the deltas of a coordinate are::

    mean:      box_weight scale r e / d^2
    deviation: box_weight scale r (e^2 / d^3 - 1 / (d + 0.3))

with r = n / (2 (n + 1e-9)), n = exp(-(e / d)^2 / 2) / (sqrt(2 pi) (d + 0.3)); cut and accumulated.

Sources: Redmon, Farhadi, "YOLOv3: An Incremental Improvement", 2018; Rezatofighi et al.,
"Generalized Intersection over Union", CVPR 2019; Zheng et al., "Distance-IoU Loss", AAAI 2020; Choi
et al., "Gaussian YOLOv3", ICCV 2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from minicaffe.ops.backend import Op
from minicaffe.ops.yolo.region_loss import Anchors, YoloLossKernel

BoxLoss: TypeAlias = Literal["mse", "iou", "giou", "diou", "ciou"]


@dataclass(frozen=True)
class Yolov3Loss(Op[YoloLossKernel]):
    """Describe the loss of one map of YOLO v3."""

    anchors: Anchors
    mask: tuple[int, ...]
    n_classes: int
    threshold: float
    match_threshold: float
    object_scale: float
    class_scale: float
    coord_scale: float
    box_loss: BoxLoss
    box_weight: float
    max_delta: float
    accumulates: bool
    smoothing: float
    is_focal: bool
    has_sigmoid_slope: bool


@dataclass(frozen=True)
class GaussianYolov3Loss(Yolov3Loss):
    """Describe the loss of one map of Gaussian YOLO v3."""
