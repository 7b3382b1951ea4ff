"""What is asked of cuDNN, and what answers: convolutions, plans, and the protocol of a library.

The description of a convolution is frozen and holds plain numbers. A `Dnn` turns it into candidate
plans, and `tuning` chooses one. A plan works on device addresses, named by their `Role`. Shapes are
always logical: (N, C, *S) and (K, C / group, *kernel), whatever the order in memory.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias

from minicaffe.errors import ShapeError, Unsupported
from minicaffe.ops.backend import Shape

Direction: TypeAlias = Literal["forward", "data", "weights"]
Math: TypeAlias = Literal["fp32", "tf32"]

SIZES = {"float32": 4, "bfloat16": 2, "float16": 2}


class Role(enum.IntEnum):
    """The part that a tensor plays in a plan; gradients begin with D."""

    X = 1
    W = 2
    B = 3
    Y = 4
    DX = 11
    DW = 12
    DY = 13


@dataclass(frozen=True)
class Operand:
    """Shape and type of a tensor that a plan reads or writes, without gaps."""

    shape: Shape
    dtype: str

    @property
    def size_bytes(self) -> int:
        """Bytes of device memory."""
        return math.prod(self.shape) * SIZES[self.dtype]


def strides(shape: Shape, channels_last: bool) -> Shape:
    """Return the strides, in values, of a tensor without gaps.

    Parameters
    ----------
    shape : tuple of int
        Logical: (N, C, *S).
    channels_last : bool
        Whether the channels of one pixel lie side by side: N, *S, C in memory.
    """
    order = (0, *range(2, len(shape)), 1) if channels_last else tuple(range(len(shape)))
    found = [1] * len(shape)
    step = 1
    for axis in reversed(order):
        found[axis] = step
        step *= shape[axis]
    return tuple(found)


@dataclass(frozen=True)
class ConvolutionProblem:
    """A convolution, or one of its gradients. Outputs are overwritten.

    Parameters
    ----------
    direction : {"forward", "data", "weights"}
        "forward" reads X, W and, with bias, B, and writes Y; "data" reads DY and W and writes DX;
        "weights" reads X and DY and writes DW.
    x, w, y : tuple of int
        (N, C, *S), (K, C / group, *kernel), (N, K, *S'), with 1 to 3 spatial axes.
    stride, pad, dilation : tuple of int
        One entry for each spatial axis.
    group : int
    channels_last : bool
        Order in memory of x, w and y alike: N, *S, C and K, *kernel, C / group.
    dtype : {"float32", "bfloat16", "float16"}
        Of all tensors; sums are made in float32.
    bias, relu : bool
        Add B to the sums; then replace what is negative by zero. Forward only.
    math : {"fp32", "tf32"}
        Whether float32 factors may be rounded to 10 bits of mantissa for the tensor cores.

    Raises
    ------
    ShapeError
        If y is not what x and w make.
    Unsupported
        If the number of axes or the dtype is none of those above.
    """

    direction: Direction
    x: Shape
    w: Shape
    y: Shape
    stride: Shape
    pad: Shape
    dilation: Shape
    group: int = 1
    channels_last: bool = False
    dtype: str = "float32"
    bias: bool = False
    relu: bool = False
    math: Math = "tf32"

    def __post_init__(self) -> None:
        if len(self.x) not in (3, 4, 5):
            raise Unsupported(f"cuDNN: {self}: images must have 1 to 3 spatial axes")
        if self.dtype not in SIZES:
            raise Unsupported(f"cuDNN: {self}: {self.dtype} is none of {', '.join(SIZES)}")
        if self.y != self._expected_y() or self.x[1] != self.w[1] * self.group:
            raise ShapeError(
                f"cuDNN: {self}: x and w make {self._expected_y()} of {self.w[1] * self.group} "
                f"channels, not {self.y} of {self.x[1]}"
            )
        if (self.bias or self.relu) and self.direction != "forward":
            raise Unsupported(f"cuDNN: {self}: a gradient is not combined with bias or relu")

    def _expected_y(self) -> Shape:
        window = zip(self.x[2:], self.w[2:], self.stride, self.pad, self.dilation, strict=True)
        sizes = ((s + 2 * p - (d * (k - 1) + 1)) // step + 1 for s, k, step, p, d in window)
        return (self.x[0], self.w[0], *sizes)

    @property
    def canonical(self) -> ConvolutionProblem:
        """The same with at least two spatial axes, as cuDNN needs: a unit axis of rows first."""
        if len(self.x) > 3:
            return self

        def lifted(shape: Shape) -> Shape:
            return (*shape[:-1], 1, shape[-1])

        return replace(
            self,
            x=lifted(self.x),
            w=lifted(self.w),
            y=lifted(self.y),
            stride=(1, *self.stride),
            pad=(0, *self.pad),
            dilation=(1, *self.dilation),
        )

    @property
    def operands(self) -> dict[Role, Operand]:
        """What a plan for this reads and writes."""
        shapes: dict[Role, Shape]
        if self.direction == "forward":
            shapes = {Role.X: self.x, Role.W: self.w, Role.Y: self.y}
            if self.bias:
                shapes[Role.B] = (1, self.y[1], *(1 for _ in self.y[2:]))
        elif self.direction == "data":
            shapes = {Role.DY: self.y, Role.W: self.w, Role.DX: self.x}
        else:
            shapes = {Role.X: self.x, Role.DY: self.y, Role.DW: self.w}
        return {role: Operand(shape, self.dtype) for role, shape in shapes.items()}

    def __str__(self) -> str:
        epilogue = ("+bias" if self.bias else "") + ("+relu" if self.relu else "")
        numbers = " ".join(
            f"{name} {_joined(value)}"
            for name, value in (
                *(("x", self.x), ("w", self.w), ("y", self.y), ("stride", self.stride)),
                *(("pad", self.pad), ("dilation", self.dilation)),
            )
        )
        return (
            f"convolution {self.direction}{epilogue} {numbers} group {self.group} "
            f"channels {'last' if self.channels_last else 'first'} {self.dtype} {self.math}"
        )


class Plan(Protocol):
    """One way to do a convolution."""

    @property
    def name(self) -> str:
        """The same for the same way in every process, as long as the library is the same."""
        ...

    @property
    def workspace_bytes(self) -> int:
        """Device memory needed while it runs; known once it is prepared."""
        ...

    def prepare(self) -> None:
        """Compile and load what it needs, if that was not done yet.

        Raises
        ------
        Unsupported
            If it cannot be done, or not within the limits of its `Dnn`.
        """
        ...

    def __call__(self, addresses: Mapping[Role, int], workspace: int) -> None:
        """Start the work on the stream; may be recorded.

        Parameters
        ----------
        addresses : mapping
            Where the tensors of each role of the convolution's `operands` lie.
        workspace : int
            Address of `workspace_bytes` bytes, aligned to 256; whatever, if these are 0.
        """
        ...


class Dnn(Protocol):
    """A library that has plans."""

    @property
    def version(self) -> str:
        """Library, version, and whatever else decides which plans there are."""
        ...

    def plans(self, what: ConvolutionProblem) -> Sequence[Plan]:
        """Return at least one plan, not prepared, the most promising first.

        Raises
        ------
        Unsupported
            If there is none.
        """
        ...


def _joined(values: Shape) -> str:
    return "x".join(map(str, values))
