"""Boxes, their codes relative to prior boxes, and suppression: the terms of the detection ops.

A box is (xmin, ymin, xmax, ymax), in units of the image's width and height. The overlap of two
boxes is the area of their intersection over the area of their union, 0 if they do not intersect.

Code of a box b relative to a prior box p with center (px, py), size (pw, ph) and variances v::

    corner        (b - p) / v
    center_size   (bx - px) / pw / v0,  (by - py) / ph / v1,  log(bw / pw) / v2,  log(bh / ph) / v3
    corner_size   (b - p) / (pw, ph, pw, ph) / v

with (bx, by) and (bw, bh) center and size of b. Decoding is the inverse; exponents above
`LARGEST_EXPONENT` count as that one, so that boxes of a net that was not trained are finite.

Suppression visits boxes by descending score, equal ones in their order, and keeps a box if its
overlap with every box kept before is at most the threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

LARGEST_EXPONENT = 80.0

CodeType: TypeAlias = Literal["corner", "center_size", "corner_size"]


@dataclass(frozen=True)
class BoxCode:
    """How boxes are coded.

    Parameters
    ----------
    kind : str
    without_variance : bool
        Leave out the variances.
    """

    kind: CodeType
    without_variance: bool = False


@dataclass(frozen=True)
class Suppression:
    """Suppression of boxes that overlap a better one.

    Parameters
    ----------
    threshold : float
        The largest overlap of two boxes that are both kept.
    top_k : int or None
        Consider so many boxes, those with the highest scores; None for all.
    eta : float
        Factor of the threshold after each kept box, as long as the threshold is above 0.5.
    """

    threshold: float
    top_k: int | None = None
    eta: float = 1.0
