"""Boxes of MS-CNN's proposal net: what every backend must compute.

BoxOutput: tensors in planning order maps x1 (N, C + 4, H1, W1), ..., boxes (K, 5, 1, 1), scored (K,
6, 1, 1). The score of a cell is its best logit but the background's, minus the background's. Cells
of at least `least_score` are candidates, their boxes as in `minicaffe.ops.mscnn.fields`; one that
begins below 0 is moved there, and then all are cut to the map's size in pixels. Those of a side
below `least_size` are dropped. Of each image, the best `before` candidates (0: all) are compared:
one is kept if no kept one covers it by more than `threshold`; the best `after` of them (0: all) are
rows [image, x1, y1, x2, y2(, score)]. The cover is the intersection over the union ("IOU"), over
the smaller box ("IOMU") or over the better one ("IOFU"). If nothing is found at all, boxes is [0,
1, 1, 10, 10] and scored 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from minicaffe.ops.backend import Op, Tensor
from minicaffe.ops.mscnn.fields import Field, Four

Cover: TypeAlias = Literal["IOU", "IOMU", "IOFU"]


@dataclass(frozen=True)
class BoxOutput(Op["BoxOutputKernel"]):
    """Describe boxes found in several maps."""

    fields: tuple[Field, ...]
    means: Four
    deviations: Four
    least_score: float
    least_size: float
    cover: Cover
    threshold: float
    before: int
    after: int


class BoxOutputKernel(Protocol):
    """Find boxes, then write them."""

    def detect(self, xs: Sequence[Tensor]) -> int:
        """Find boxes and return the number of rows; waits for the device."""

    def forward(self, boxes: Tensor, scored: Tensor | None) -> None:
        """Overwrite boxes and scored, which have as many rows."""
