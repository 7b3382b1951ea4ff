"""Boxes of MS-CNN's second stage: what every backend must compute.

rois are rows [image, x1, y1, x2, y2], matches rows [class, x1, y1, x2, y2, IoU] of the true box of
each, class 0 for none. Sizes count both ends: x2 - x1 + 1. Codes of boxes are those of
`minicaffe.ops.rois.targets`, minus `means`, over `deviations`; four for each class. Without
`has_class_codes` there are 8, and every object uses the second four.

DecodeBoxes: tensors in planning order codes (R, 8), rois (R, 5)[, matches (R, 6)], boxes
(K, 5, 1, 1): the boxes of the second four codes. With `drops`, those of negative size are left out,
and those whose match has an IoU of `match_limit` or more, as the true boxes themselves have.

BoxAccuracy: tensors codes (R, 4 C), rois, matches, after, before (1, 1, 1, 1): the mean IoU of the
decoded boxes, and of the rois, with their true boxes, over the rows with an object and an IoU of at
most 0.975; -1 if there is none.

RegionTarget: tensors rois (R, 5), truths (G, 7): rows [image, x1, y1, x2, y2, class, ignored].
Candidates are the rois, then the truths. One whose largest IoU with a truth of its image is at
least `foreground` is an object of its class, or dropped if the truth is ignored; one of
`background_from` up to, not including, `background_to` is background. As in `RoiTarget`, `batch` of
them are chosen at random; if there is too little background, the other candidates fill the batch,
as far as they go. Without `batch` all objects and background are taken. Outputs: rois (K, 5, 1, 1),
labels (K, 1, 1, 1), targets, inside, outside (K, 4 C, 1, 1), matches (K, 6, 1, 1), weights
(K, 1, 1, 1): 1, or the IoU of an object if `weights_iou`, scaled so that those of objects sum up to
`share` K and the others to the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from minicaffe.ops.backend import Op, Tensor
from minicaffe.ops.mscnn.fields import Four


@dataclass(frozen=True)
class DecodeBoxes(Op["DecodeBoxesKernel"]):
    """Describe the boxes of a second stage."""

    means: Four
    deviations: Four
    drops: bool
    match_limit: float


class DecodeBoxesKernel(Protocol):
    """Decode, then write the boxes that remain."""

    def decode(self, codes: Tensor, rois: Tensor, matches: Tensor | None) -> int:
        """Decode and return the number of boxes; waits for the device."""

    def forward(self, boxes: Tensor) -> None:
        """Overwrite boxes, which has as many rows."""


@dataclass(frozen=True)
class BoxAccuracy(Op["BoxAccuracyKernel"]):
    """Describe the mean IoU of boxes before and after decoding."""

    means: Four
    deviations: Four
    has_class_codes: bool


class BoxAccuracyKernel(Protocol):
    """Forward only; waits for the device."""

    def forward(self, inputs: Sequence[Tensor], after: Tensor, before: Tensor) -> None:
        """Overwrite after and before; the inputs are codes, rois and matches."""


@dataclass(frozen=True)
class RegionTarget(Op["RegionTargetKernel"]):
    """Describe the choice of regions of several images, and their targets."""

    n_classes: int
    has_class_codes: bool
    batch: int | None
    share: float
    foreground: float
    background_from: float
    background_to: float
    means: Four
    deviations: Four
    weights_iou: bool


class RegionTargetKernel(Protocol):
    """Choose regions, then write them and their targets."""

    def choose(self, rois: Tensor, truths: Tensor, random: np.random.Generator) -> int:
        """Choose regions and return their number; waits for the device.

        Raises
        ------
        LabelError
            If the class of a truth is not a whole number in 0 .. C - 1.
        """

    def forward(self, outputs: Sequence[Tensor]) -> None:
        """Overwrite the outputs, which have as many rows; weights may be left out."""
