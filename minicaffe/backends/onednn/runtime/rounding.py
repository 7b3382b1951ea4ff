"""bfloat16's numbers where the CPU has no bfloat16: float32 primitives on rounded values."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from minicaffe.backends.onednn.runtime.primitive import Call, Port, Primitive
from minicaffe.backends.onednn.runtime.reorder import Reorders
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor

# A bfloat16 is the upper half of a float32.
LOWER_HALF = np.uint32(0xFFFF)


def round_to_bfloat16(
    values: npt.NDArray[np.float32], out: npt.NDArray[np.float32] | None = None
) -> npt.NDArray[np.float32]:
    """Return the nearest values that a bfloat16 can hold, ties to the even one.

    Parameters
    ----------
    values : float32 array
    out : float32 array of the same shape, optional
        Overwritten and returned; may be `values`.
    """
    bits = values.view(np.uint32)
    # Just under half a unit of the upper half, or half of one where that is odd: what carries over
    # from the lower half rounds. An overflow gives infinity, as it should.
    rounded = bits >> 16
    rounded &= 1
    rounded += LOWER_HALF >> 1
    rounded += bits
    rounded &= ~LOWER_HALF
    result = np.empty_like(values) if out is None else out
    not_numbers = np.isnan(values)
    result.view(np.uint32)[...] = rounded
    result[not_numbers] = np.nan
    return result


class RoundingCall(Call):
    """A float32 primitive with the roundings of a bfloat16 one.

    Parameters
    ----------
    primitive, reads, writes
        As for `Call`.
    converted : collection of int
        The arguments that are bfloat16 in the primitive that this one stands for.
    reorders : Reorders
        Of the backend.
    """

    def __init__(
        self,
        primitive: Primitive,
        reads: Sequence[Port],
        writes: Sequence[Port],
        converted: Collection[int],
        reorders: Reorders,
    ) -> None:
        super().__init__(primitive, reads, writes)
        self._operands = [
            (i, layout, OneDnnTensor(reorders, layout.shape))
            for i, (arg, layout) in enumerate(reads)
            if arg in converted
        ]
        self._results = [
            (i, layout) for i, (arg, layout) in enumerate(writes, len(reads)) if arg in converted
        ]

    def __call__(self, *tensors: OneDnnTensor) -> None:
        """Run on rounded copies of what is converted, and round what it gives."""
        given = list(tensors)
        for i, layout, copy in self._operands:
            copy.target(layout)
            round_to_bfloat16(tensors[i].values(layout), copy.values(layout))
            given[i] = copy
        super().__call__(*given)
        for i, layout in self._results:
            values = tensors[i].values(layout)
            round_to_bfloat16(values, values)
            tensors[i].target(layout)
            if tensors[i].is_pinned:
                tensors[i].settle()
