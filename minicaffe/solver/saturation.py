"""Detection of losses that are stuck at their largest value, such as 87.3365."""

from __future__ import annotations

_LEAST_SHARE = 0.25  # of the largest loss; less occurs with large scores in the first iterations
_MOST_SUM = 3.0


class SaturationDetector:
    """Reports once that samples keep the probability 0.

    SoftmaxWithLoss counts the probability 0 as FLT_MIN, 1.2e-38, so that the loss of a sample is at
    most 87.3365. Gradients of a saturated net do not lead out of it. The detector adds up the
    shares of this limit that the losses of successive iterations reach, and reports at a sum of 3:
    three iterations in which all samples are at the limit, or twelve with a quarter of them.
    """

    def __init__(self) -> None:
        self._sum = 0.0
        self._has_reported = False

    def add_iteration(self, share: float) -> bool:
        """Add the share of the limit that an iteration reached; return whether to warn now."""
        self._sum = self._sum + share if share >= _LEAST_SHARE else 0.0
        if self._sum < _MOST_SUM - 0.001 or self._has_reported:
            return False
        self._has_reported = True
        return True
