"""Targets of region proposal networks and of region classifiers: what every backend must compute.

truths is (G, 5): rows [x1, y1, x2, y2, class] in pixels of the net's input. IoU and sizes count
both ends: x2 - x1 + 1. The code of a box for another one is (center - center) / size and log(size /
size), x before y; see `minicaffe.ops.rois.proposal`. Random choices draw from a generator on the
host.

AnchorTarget: tensors in planning order truths, info (1, 3 or 4), labels (1, 1, A H, W), targets,
inside, outside (1, 4 A, H, W). Only anchors inside of the image take part; others have the label -1
and weights of 0. Labels, in this order, each replacing the one before:

* 0 if the IoU with every truth is below `negative`;
* 1 if an anchor has the largest IoU that a truth has with any anchor;
* 1 if the IoU with a truth is at least `positive`;
* -1 for random anchors, so that at most round(`share` `batch`) ones remain, and then as many zeros
  as `batch` allows.

targets are the codes of the truth of largest IoU; inside is 1 for labels of 1; outside is 1 over
the number of labels that are not -1, for those.

RoiTarget: tensors rois (R, 5), truths; forward overwrites rois (K, 5), labels (K,), targets,
inside, outside (K, 4 C). Candidates are the rois, then the truths themselves. Those with an IoU of
at least `foreground` have its class; round(`share` `batch`) of them are chosen at random, or all
if there are fewer. The rest of `batch` are chosen among those with an IoU of `background_from` up
to, not including, `background_to`; their label is 0. Without `batch` all candidates are taken. Of
4 C values, those of the label's class hold the code of the truth, minus `means`, over `deviations`;
inside and outside are 1 there and 0 elsewhere, everywhere for label 0. With C = 2 every object is
class 1 there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from minicaffe.ops.backend import Op, Tensor
from minicaffe.ops.rois.anchors import Box


@dataclass(frozen=True)
class AnchorTarget(Op["AnchorTargetKernel"]):
    """Describe the labels and targets of anchors."""

    anchors: tuple[Box, ...]
    stride: int
    negative: float
    positive: float
    share: float
    batch: int


class AnchorTargetKernel(Protocol):
    """Forward only; waits for the device."""

    def forward(
        self, truths: Tensor, info: Tensor, outputs: tuple[Tensor, ...], random: np.random.Generator
    ) -> None:
        """Overwrite the outputs: labels, targets, inside, outside."""


@dataclass(frozen=True)
class RoiTarget(Op["RoiTargetKernel"]):
    """Describe the choice of regions and their targets."""

    n_classes: int
    batch: int | None
    share: float
    foreground: float
    background_from: float
    background_to: float
    means: Box
    deviations: Box


class RoiTargetKernel(Protocol):
    """Choose regions, then write them and their targets."""

    def choose(self, rois: Tensor, truths: Tensor, random: np.random.Generator) -> int:
        """Choose regions and return their number; waits for the device.

        Raises
        ------
        LabelError
            If the class of a truth is negative, not whole, or has no targets.
        """

    def forward(self, outputs: tuple[Tensor, ...]) -> None:
        """Overwrite rois, labels, targets, inside and outside, which have as many rows."""
