"""Future of the loss of a forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from minicaffe.blob import Blob
from minicaffe.errors import LabelError
from minicaffe.layers import Layer
from minicaffe.net.label_location import SampleNames, locate
from minicaffe.net.step import Step
from minicaffe.ops.backend import Future, Tensor
from minicaffe.ops.update import NonFiniteFlagKernel


class LossPart(NamedTuple):
    """One of the losses of a forward pass.

    Attributes
    ----------
    weight : float
    values : Future
    largest : float
        The layer's `largest_loss`.
    """

    weight: float
    values: Future
    largest: float


def find_losses(steps: Sequence[Step]) -> list[tuple[int, Layer, Blob, float]]:
    """Return index and layer of the step, blob and weight of each loss; every pass reads them."""
    return [
        (i, step.layer, blob, weight)
        for i, step in enumerate(steps)
        for blob, weight in zip(step.top, step.loss_weights, strict=True)
        if weight
    ]


def add_non_finite(kernel: NonFiniteFlagKernel, flag: Tensor, losses: Sequence[Blob]) -> None:
    """Add a non-finite flag to losses; see `minicaffe.ops.update`."""
    for blob in losses:
        kernel.forward(flag, blob.data)


class LossFuture:
    """Future of the weighted sum of the losses of a forward pass.

    Parameters
    ----------
    parts : sequence of LossPart
    steps : sequence of Step
        The whole net, to name the layer of an invalid label.
    names : mapping
        `sample_names` of that pass: an error may be raised when the data layers hold another batch.

    Attributes
    ----------
    saturation : float
        After `result`: the largest quotient of a loss and the layer's `largest_loss`.
    """

    def __init__(
        self, parts: Sequence[LossPart], steps: Sequence[Step], names: SampleNames
    ) -> None:
        self._parts, self._steps, self._names = parts, steps, names
        self.saturation = 0.0

    @property
    def is_done(self) -> bool:
        """Whether `result` would return without waiting."""
        return all(part.values.is_done for part in self._parts)

    def result(self) -> float:
        """Wait for the losses and return their weighted sum.

        Raises
        ------
        LabelError
            If a label of that pass is not a class, and the backend found it after the pass.
        """
        total = 0.0
        try:
            for weight, values, largest in self._parts:
                value = float(values.result().sum())
                total += weight * value
                if largest and value > self.saturation * largest:
                    self.saturation = value / largest
        except LabelError as error:
            raise locate(error, self._steps, None, self._names) from None
        return total
