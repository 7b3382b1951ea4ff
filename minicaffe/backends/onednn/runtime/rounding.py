"""bfloat16 emulation on CPUs without it: float32 primitives on operands rounded to bfloat16."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from minicaffe.backends.onednn.runtime.call import Call, Port
from minicaffe.backends.onednn.runtime.primitive import Primitive
from minicaffe.backends.onednn.runtime.reorder import Reorders
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor

# A bfloat16 is the upper half of a float32.
LOWER_HALF = np.uint32(0xFFFF)


def round_to_bfloat16(
    values: npt.NDArray[np.float32], out: npt.NDArray[np.float32] | None = None
) -> npt.NDArray[np.float32]:
    """Round to the nearest bfloat16 values, ties to even.

    Parameters
    ----------
    values : float32 array
    out : float32 array of the same shape, optional
        Overwritten and returned; may be `values`.
    """
    bits = values.view(np.uint32)
    # Adds just under half a unit of the upper half, or half a unit if the upper half is odd; the
    # carry from the lower half rounds. An overflow gives infinity, as required.
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
    """A call of a float32 primitive that rounds operands and results as a bfloat16 one does.

    Parameters
    ----------
    primitive, reads, writes
        As for `Call`.
    converted : collection of int
        The arguments that are bfloat16 in the emulated primitive.
    reorders : Reorders
        The backend's.
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
        """Run on rounded copies of the converted operands, and round the converted results."""
        operands = list(tensors)
        for i, layout, copy in self._operands:
            copy.target(layout)
            round_to_bfloat16(tensors[i].values(layout), copy.values(layout))
            operands[i] = copy
        super().__call__(*operands)
        for i, layout in self._results:
            values = tensors[i].values(layout)
            round_to_bfloat16(values, values)
            tensors[i].target(layout)
            tensors[i].write_back()
