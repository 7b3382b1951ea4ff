"""Future of the loss of a forward pass."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.errors import LabelError
from minicaffe.net.label_location import locate, sample_names
from minicaffe.net.step import Step
from minicaffe.ops.backend import Future


class LossFuture:
    """Future of the weighted sum of the losses of a forward pass.

    Parameters
    ----------
    parts : sequence of (float, Future)
        The weight and the values of each loss.
    steps : sequence of Step
        The whole net, to name the layer of an invalid label.
    """

    def __init__(self, parts: Sequence[tuple[float, Future]], steps: Sequence[Step]) -> None:
        self._parts, self._steps = parts, steps
        # An error may be raised when the data layers hold another batch already.
        self._names = sample_names(steps)

    @property
    def is_done(self) -> bool:
        """Whether `result` would return without waiting."""
        return all(values.is_done for _, values in self._parts)

    def result(self) -> float:
        """Wait for the losses and return their weighted sum.

        Raises
        ------
        LabelError
            If a label of that pass is not a class, and the backend found it after the pass.
        """
        total = 0.0
        try:
            for weight, values in self._parts:
                total += weight * float(values.result().sum())
        except LabelError as error:
            raise locate(error, self._steps, None, self._names) from None
        return total
