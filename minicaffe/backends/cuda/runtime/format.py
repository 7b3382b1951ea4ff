"""Memory formats: order (C order or channels last) and type of a tensor's values on the device."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from minicaffe.ops.backend import Shape

# Names of the types in the kernel sources.
ValueType: TypeAlias = Literal["float", "bfloat16", "float16"]
SIZE_BYTES: dict[ValueType, int] = {"float": 4, "bfloat16": 2, "float16": 2}
# The largest finite value of each type.
LARGEST: dict[ValueType, float] = {
    "float": 3.4028234663852886e38,
    "bfloat16": 3.3895313892515355e38,
    "float16": 65504.0,
}
# Names of the types in the bindings of cuBLAS and cuDNN.
DTYPES: dict[ValueType, str] = {"float": "float32", "bfloat16": "bfloat16", "float16": "float16"}


@dataclass(frozen=True)
class Format:
    """Order and type of values in memory.

    Parameters
    ----------
    channels_last : bool
        Whether axis 1 is moved to the end: (N, C, H, W) is stored as (N, H, W, C), and the filters
        of a convolution, (F, C, H, W), as (F, H, W, C). Otherwise C order.
    value : str
        Type of the values.
    """

    channels_last: bool = False
    value: ValueType = "float"

    def on(self, shape: Shape) -> Format:
        """Return the canonical one of the formats that are equivalent for this shape."""
        return self if not self.channels_last or _differs(shape) else Format(False, self.value)

    def size_bytes(self, shape: Shape) -> int:
        """Return the size of a tensor of this shape."""
        return math.prod(shape) * SIZE_BYTES[self.value]


PLAIN = Format()


@functools.cache
def _differs(shape: Shape) -> bool:
    """Return whether the two orders differ for this shape."""
    return len(shape) > 2 and shape[1] > 1 and math.prod(shape[2:]) > 1
