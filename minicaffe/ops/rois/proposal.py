"""Region proposals: what every backend must compute.

Proposal: tensors in planning order scores (1, 2 A, H, W), deltas (1, 4 A, H, W), info (1, 3 or 4),
rois (K, 5), roi_scores (K,). Channels A .. 2 A - 1 of scores belong to objects; info is rows,
columns and scale of the image, or scales of rows and columns. Anchor a of cell (i, j) is moved by
(j, i) `stride`. With w = x2 - x1 + 1 and cx = x1 + w / 2 of an anchor, and rows alike, its box
has::

    center cx + dx w, cy + dy h;  size exp(dw) w, exp(dh) h;  corners center -+ size / 2

cut to 0 .. columns - 1 and rows - 1. A box of x2 - x1 + 1 below `min_size` times the scale, or of
too few rows, is dropped if `drops_small`, else it gets the score 0. In order of descending score,
the first `before` boxes are compared: one is kept if its IoU, with sizes x2 - x1 + 1, with none of
those kept exceeds `threshold`; the first `after` of them are rows [0, x1, y1, x2, y2] of rois. If
there is none, the whole image is the only one, with the score 0.

Source: Ren, He, Girshick, Sun, "Faster R-CNN", NIPS 2015, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor
from minicaffe.ops.rois.anchors import Box


@dataclass(frozen=True)
class Proposal(Op["ProposalKernel"]):
    """Describe proposals from scores and deltas of anchors."""

    anchors: tuple[Box, ...]
    stride: int
    min_size: float
    before: int
    after: int
    threshold: float
    drops_small: bool


class ProposalKernel(Protocol):
    """Find proposals, then write them."""

    def propose(self, scores: Tensor, deltas: Tensor, info: Tensor) -> int:
        """Find proposals and return their number; waits for the device."""

    def forward(self, rois: Tensor, roi_scores: Tensor | None) -> None:
        """Overwrite rois and scores, which have as many rows, with the proposals."""
