"""Loss of box codes and class scores against true boxes: what every backend must compute.

Tensors in planning order, for N images, P priors, K classes and L = 1 or K codes a prior: loc
(N, P * L * 4), conf (N, P * K), prior (1, 2, P * 4) as `PriorBox` writes it, truth (1, 1, G, 8),
rows [image, class, instance, xmin, ymin, xmax, ymax, difficult], and the loss (). A row of truth
whose image is -1 does not count.

Matching, image by image: again and again the pair of a free prior and a free true box with the
largest overlap above 1e-6 is matched. "per_prediction" then matches each free prior with the true
box of its largest overlap, if that is at least the threshold.

Mining: "none" makes every free prior a negative. "max_negative" makes those negatives whose
largest overlap is below a limit, and of these the ones with the highest loss, `ratio` for each
match of the image. "hard_example" takes the `sample_size` priors of an image with the highest sum
of both losses; all others, matched ones too, do not count. An image without true boxes has
negatives with "none" only.

loss = (loc_weight * sum of loc losses + sum of conf losses) / Z. A match has a loc loss, of its
code against the code of its true box: f summed over the four numbers, with f(d) = d^2 / 2, or
smooth L1: |d| - 1/2 for |d| >= 1. Matches and negatives have a conf loss, softmax or logistic, of
the true class or the background. Z, never below 1: "valid" the number of matches; "full" N * P;
"batch_size" N; "none" 1; or a given number.

With arm_conf (N, P * 2), a negative must have arm_conf[1] of at least min_objectness. With
arm_loc (N, P * 4), the priors of each image are moved first: they are the boxes that arm_loc codes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from minicaffe.ops.backend import Op, Tensor
from minicaffe.ops.detection.boxes import BoxCode, Suppression
from minicaffe.ops.softmax import Normalization

MatchMethod: TypeAlias = Literal["bipartite", "per_prediction"]
MiningMethod: TypeAlias = Literal["none", "max_negative", "hard_example"]


@dataclass(frozen=True)
class Matching:
    """How priors and true boxes are matched.

    Parameters
    ----------
    method : str
    threshold : float
    uses_priors : bool
        Whether the priors are compared with the true boxes, not the decoded boxes.
    ignores_crossing : bool
        Whether boxes that cross the border of the image are neither matches nor negatives.
    """

    method: MatchMethod
    threshold: float
    uses_priors: bool = True
    ignores_crossing: bool = False


@dataclass(frozen=True)
class Mining:
    """How priors that are compared by loss are selected.

    Parameters
    ----------
    method : str
    ratio : float
        Negatives for each match.
    overlap_limit : float
        Negatives have no overlap from here on.
    sample_size : int
    suppression : Suppression or None
        Suppress priors by loss before the selection.
    suppresses_priors : bool
        Whether suppression compares the priors, not the decoded boxes.
    """

    method: MiningMethod
    ratio: float
    overlap_limit: float
    sample_size: int
    suppression: Suppression | None = None
    suppresses_priors: bool = False


@dataclass(frozen=True)
class MultiBoxLoss(Op["MultiBoxLossKernel"]):
    """Describe the loss.

    Parameters
    ----------
    n_classes, background : int
    shares_location : bool
        Whether a prior has one code for all classes.
    is_agnostic : bool
        Whether every object has the class after the background.
    uses_difficult : bool
        Whether difficult true boxes count.
    code : BoxCode
        With `without_variance`, the loc loss still divides differences by the variances.
    matching : Matching
    mining : Mining
    is_smooth : bool
        Whether the loc loss is smooth L1.
    is_logistic : bool
        Whether the conf loss is logistic.
    ignores_outside : bool
        Whether a coordinate of a match outside the image has no loc loss.
    loc_weight, conf_weight : float
        Weights of both sums.
    normalization : str
    min_objectness : float
    """

    n_classes: int
    background: int
    shares_location: bool
    is_agnostic: bool
    uses_difficult: bool
    code: BoxCode
    matching: Matching
    mining: Mining
    is_smooth: bool
    is_logistic: bool
    ignores_outside: bool
    loc_weight: float
    conf_weight: float
    normalization: Normalization
    min_objectness: float


class MultiBoxLossKernel(Protocol):
    """Forward finds matches and negatives; backward uses them."""

    def forward(
        self,
        loc: Tensor,
        conf: Tensor,
        prior: Tensor,
        truth: Tensor,
        arm: tuple[Tensor | None, Tensor | None],
        loss: Tensor,
    ) -> None:
        """Overwrite loss; `arm` is arm_conf and arm_loc. Waits for the device.

        Raises
        ------
        LabelError
            If a true box has no class or is the background.
        """

    def backward(self, dloss: Tensor, dloc: Tensor | None, dconf: Tensor | None) -> None:
        """Overwrite dloc and dconf; None for those that are not needed."""
