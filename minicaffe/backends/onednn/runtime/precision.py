"""Precision of products in convolutions and inner products: float32, or bfloat16 with float32 sums.

oneDNN can also compute float32 primitives in bfloat16 internally (dnnl_fpmath_mode_bf16). That mode
is not used, because it only permits bfloat16 (version 3.2 uses it on processors with AMX only), and
it saves no memory traffic.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from minicaffe.backends.onednn.runtime import library as _lib
from minicaffe.backends.onednn.runtime.library import Alg, DataType, Prop
from minicaffe.backends.onednn.runtime.memory import AnyLayout, Layout
from minicaffe.backends.onednn.runtime.primitive import Engine, Primitive
from minicaffe.errors import Unsupported


class ValueType(enum.IntEnum):
    """How C kernels read and write values, as in values.h; all arithmetic is that of float32."""

    FLOAT32 = 0
    ROUNDED_TO_BFLOAT16 = 1
    BFLOAT16 = 2


VALUE_BYTES = {ValueType.FLOAT32: 4, ValueType.BFLOAT16: 2}


def value_type(layout: Layout) -> ValueType:
    """Return how values in a layout are stored."""
    return ValueType.BFLOAT16 if layout.data_type is DataType.BF16 else ValueType.FLOAT32


class Precision(NamedTuple):
    """The data type of products' operands.

    Attributes
    ----------
    operands : DataType
        The type of a primitive's sources, weights and output gradients.
    rounds : bool
        Whether operands are float32 values, rounded to bfloat16 first.
    remark : str
        A description for the log.
    """

    operands: DataType
    rounds: bool
    remark: str


FP32 = Precision(DataType.F32, False, "")
BF16 = Precision(DataType.BF16, False, "bfloat16 where it is faster")
SLOW_BF16 = BF16._replace(remark="bfloat16, not faster: this CPU has no instructions for it")
ROUNDED = Precision(
    DataType.F32,
    True,
    "float32 on values rounded to bfloat16: its values, not its speed, which needs another CPU",
)


def find_precision(engine: Engine, name: str) -> Precision:
    """Return the fastest implementation of "fp32" or "bf16" that this CPU has."""
    if name == "fp32":
        return FP32
    if not _trains_in_bfloat16(engine):
        return ROUNDED
    return BF16 if engine.lib.c.dnnl_get_effective_cpu_isa() & _lib.ISA_BF16 else SLOW_BF16


def _trains_in_bfloat16(engine: Engine) -> bool:
    """Return whether the library has all three bfloat16 primitives of a convolution."""
    x, w, y = (
        AnyLayout(shape, DataType.BF16) for shape in ((1, 4, 3, 3), (5, 4, 3, 3), (1, 5, 1, 1))
    )
    steps = ((1, 1), (0, 0), (0, 0), (0, 0))
    try:
        forward = Primitive(
            *(engine, "convolution_forward", Prop.TRAINING, Alg.CONVOLUTION_DIRECT),
            *(x, w, None, y, *steps),
        )
        for direction, operands in (
            ("data", (x, w, y)),
            ("weights", (x, AnyLayout(w.shape), None, y)),
        ):
            Primitive(
                *(engine, f"convolution_backward_{direction}", Alg.CONVOLUTION_DIRECT),
                *(*operands, *steps),
                hint=forward,
            )
    except Unsupported:
        return False
    return True
