"""The loss of a pass, which a device may still be computing."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.errors import LabelError
from minicaffe.net.label_location import locate, sample_names
from minicaffe.net.step import Step
from minicaffe.ops.backend import Future


class LossFuture:
    """The sum of the losses that the last forward pass gave, times their weights.

    Parameters
    ----------
    parts : sequence of (float, Future)
        The weight and the values of each loss.
    steps : sequence of Step
        Those of the whole net, for messages.
    """

    def __init__(self, parts: Sequence[tuple[float, Future]], steps: Sequence[Step]) -> None:
        self._parts, self._steps = parts, steps
        # An error that comes late is about this batch, whatever the data layers hold by then.
        self._names = sample_names(steps)

    @property
    def is_done(self) -> bool:
        """Whether it can be had without waiting."""
        return all(values.is_done for _, values in self._parts)

    def result(self) -> float:
        """Wait for it and return it.

        Raises
        ------
        LabelError
            If a label of that pass is not a class, and the backend could not say so at once.
        """
        total = 0.0
        try:
            for weight, values in self._parts:
                total += weight * float(values.result().sum())
        except LabelError as error:
            raise locate(error, self._steps, None, self._names) from None
        return total
