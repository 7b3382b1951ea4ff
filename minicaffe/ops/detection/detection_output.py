"""Detections from box codes and scores: what every backend must compute.

Tensors in planning order, for N images, P priors, K classes and L = 1 or K codes a prior: loc
(N, P * L * 4), conf (N, P * K), prior (1, 2, P * 4) as `PriorBox` writes it. Boxes are the decoded
codes and are not cut to the image.

For each image and each class but the background: the boxes with a score above min_score are
suppressed (see `boxes`). Then the keep_top_k boxes of the image with the highest scores of all
classes are kept, equal ones in order of class and rank.

With arm_conf (N, P * 2), a box whose arm_conf[1] is below min_objectness has no score above 0 but
that of the background; with arm_loc (N, P * 4), the priors of each image are moved first: they are
the boxes that arm_loc codes.

y (1, 1, M, 7) has a row [image, class, score, xmin, ymin, xmax, ymax] for each box, sorted by
image, then class, then by descending score. If there is none, y has a row [image, -1, ..., -1] for
every image. No gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor
from minicaffe.ops.detection.boxes import BoxCode, Suppression


@dataclass(frozen=True)
class DetectionOutput(Op["DetectionOutputKernel"]):
    """Describe how detections are selected.

    Parameters
    ----------
    n_classes : int
    background : int or None
        The class that is no object.
    shares_location : bool
        Whether a prior has one code for all classes.
    code : BoxCode
    suppression : Suppression
    min_score : float or None
        None if every score counts.
    keep_top_k : int or None
        None if every box is kept.
    min_objectness : float
    """

    n_classes: int
    background: int | None
    shares_location: bool
    code: BoxCode
    suppression: Suppression
    min_score: float | None
    keep_top_k: int | None
    min_objectness: float


class DetectionOutputKernel(Protocol):
    """Select the boxes, then write them."""

    def choose(
        self,
        loc: Tensor,
        conf: Tensor,
        prior: Tensor,
        arm_conf: Tensor | None,
        arm_loc: Tensor | None,
    ) -> int:
        """Select boxes and return the number of rows; waits for the device."""

    def forward(self, y: Tensor) -> None:
        """Overwrite y, which has as many rows as `choose` returned."""
