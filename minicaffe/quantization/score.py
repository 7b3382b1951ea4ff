"""The output of a net by which quantised nets are compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from minicaffe.errors import NetError, nearest
from minicaffe.net import Net
from minicaffe.ops.backend import HostArray

# Two means of the same values may differ by so much through rounding.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class NetScore:
    """An output of a net, averaged over batches, and which values of it are better.

    Attributes
    ----------
    name : str
        The blob.
    index : int
        Its index among the outputs.
    lower_is_better : bool
        Whether it is a loss.
    """

    name: str
    index: int
    lower_is_better: bool

    @classmethod
    def of(cls, net: Net, name: str) -> NetScore:
        """Return the score with the name of an output.

        Raises
        ------
        NetError
            If the net has no such output.
        """
        names = [blob.name for blob in net.outputs]
        if name not in names:
            raise NetError(
                f'{net.source.where()}: no output "{name}" in the TEST phase, by which nets would '
                f"be compared. Give another one with --score=NAME. {nearest(name, names)}"
            )
        index = names.index(name)
        blob = net.outputs[index]
        producer = next(step for step in reversed(net.steps) if blob in step.top)
        is_loss = producer.layer.role == "loss" or bool(net.loss_weights().get(name))
        return cls(name, index, is_loss)

    def of_outputs(self, scores: Sequence[HostArray]) -> float:
        """Return the score, given the scores of all outputs."""
        values = scores[self.index].ravel()
        if values.size != 1:
            raise NetError(
                f'output "{self.name}" has {values.size} values; nets can be compared by an output '
                "of one value only. Give another one with --score=NAME"
            )
        return float(values[0])

    def shortfall(self, value: float, reference: float) -> float:
        """Return by how much a value is worse than a reference; negative if it is better.

        In percent points; of a loss in percent of the reference. Infinite for NaN.
        """
        if math.isnan(value):
            return math.inf
        worse = value - reference if self.lower_is_better else reference - value
        unit = abs(reference) if self.lower_is_better else 1.0
        return 100 * worse / unit if unit else math.copysign(math.inf, worse) if worse else 0.0

    def is_within(self, value: float, reference: float, margin: float) -> bool:
        """Return whether the shortfall of a value is at most a margin."""
        return self.shortfall(value, reference) <= margin + 100 * _ROUNDING
