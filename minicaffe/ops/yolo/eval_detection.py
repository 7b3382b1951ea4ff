"""Evaluation of YOLO v2's detections: what every backend must compute.

EvalDetection: tensors in planning order x (N, A (5 + C), H, W), labels, y (N, C + 4 A H W).
Predictions and truths are those of `minicaffe.ops.yolo.region_loss`. Each box is a detection of its
best class, of score s(o) ("obj"), p[class] ("prob") or their product ("multiply"). Those whose IoU
with a better one of the image, of whatever class, is at least `nms_threshold` (None: none), and
those of scores below 0.005, are dropped.

A row of y has the number of truths of each class; then, by class and descending score, four values
a detection: [class, score, 1 0 or 0 1]; the rest is 0. "1 0" is a hit: the truth of its class with
the largest IoU, at least `threshold`, which no better detection has hit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from minicaffe.ops.backend import Op, Tensor
from minicaffe.ops.yolo.region_loss import Anchors

ScoreKind: TypeAlias = Literal["obj", "prob", "multiply"]


@dataclass(frozen=True)
class EvalDetection(Op["EvalDetectionKernel"]):
    """Describe the comparison of YOLO v2's detections with the truth."""

    anchors: Anchors
    n_classes: int
    score: ScoreKind
    threshold: float
    nms_threshold: float | None


class EvalDetectionKernel(Protocol):
    """Forward only; waits for the device."""

    def forward(self, x: Tensor, labels: Tensor, y: Tensor) -> None:
        """Overwrite y.

        Raises
        ------
        LabelError
            If a truth is of no class, or of no image.
        """
