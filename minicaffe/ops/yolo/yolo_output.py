"""Detections of YOLO: what every backend must compute.

Tensors in planning order: maps x1 (N, A1 channels, H1, W1), ..., y (1, 1, K, 7). Boxes and
objectness are those of `minicaffe.ops.yolo.region_loss`, classes too. Candidates of an image are::

    YoloOutput:   the best class of each box, if o p[class] >= threshold
    Yolov3Output: every class of each box whose o s(class) > threshold; with `is_gaussian` the
                  channels are those of `minicaffe.ops.yolo.yolov3_loss`, and 1 - the mean
                  of the deviations multiplies the score

In order of descending score, equal ones in order of map, row, column, anchor, class, a candidate is
kept if its IoU with every kept one of the image, of whatever class, is below `nms_threshold`. Rows
of y are [image, class + 1, score, xmin, ymin, xmax, ymax], corners as shares of the image and not
cut to it. Logarithms of sizes above `minicaffe.ops.detection.boxes.LARGEST_EXPONENT` count as that
one, so that the boxes of a net that was not trained are finite. If there is no detection at all, y
has a row [image, -1, -1, -1, -1, -1, -1] an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor
from minicaffe.ops.yolo.region_loss import Anchors


@dataclass(frozen=True)
class YoloOutput(Op["YoloOutputKernel"]):
    """Describe the detections of YOLO v2; `anchors` are those of each map."""

    anchors: tuple[Anchors, ...]
    n_classes: int
    threshold: float
    nms_threshold: float


@dataclass(frozen=True)
class Yolov3Output(YoloOutput):
    """Describe the detections of YOLO v3."""

    is_gaussian: bool = False


class YoloOutputKernel(Protocol):
    """Find detections, then write them."""

    def detect(self, xs: Sequence[Tensor]) -> int:
        """Find detections and return the number of rows; waits for the device."""

    def forward(self, y: Tensor) -> None:
        """Overwrite y, which has as many rows, with the detections."""
