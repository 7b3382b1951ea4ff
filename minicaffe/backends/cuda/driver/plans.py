"""Convolution problems, execution plans, and the protocol of a library that creates plans.

A problem is frozen and holds plain numbers. A `Dnn` creates candidate plans for it, and `tuning`
selects one. A plan operates on device addresses, identified by their `Role`. Shapes are always
logical, (N, C, *S) and (K, C / group, *kernel), for every memory layout.
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
    """The operand that a tensor is in a plan; gradients begin with D."""

    X = 1
    W = 2
    B = 3
    Y = 4
    DX = 11
    DW = 12
    DY = 13


@dataclass(frozen=True)
class Operand:
    """Shape and type of a contiguous tensor that a plan reads or writes."""

    shape: Shape
    dtype: str

    @property
    def size_bytes(self) -> int:
        """Size of the tensor, bytes."""
        return math.prod(self.shape) * SIZES[self.dtype]


def strides(shape: Shape, channels_last: bool) -> Shape:
    """Return the strides, in values, of a contiguous tensor.

    Parameters
    ----------
    shape : tuple of int
        Logical: (N, C, *S).
    channels_last : bool
        Whether the memory order is N, *S, C.
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
    """A convolution or one of its gradients, as the key of plans; outputs are overwritten.

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
        Whether x, w and y are stored as N, *S, C and K, *kernel, C / group.
    dtype : {"float32", "bfloat16", "float16"}
        Type of all tensors; sums are float32.
    bias, relu : bool
        Epilogue: add B, then apply ReLU. Forward only.
    math : {"fp32", "tf32"}
        Whether float32 factors may be rounded to 10 bits of mantissa for the tensor cores.

    Raises
    ------
    ShapeError
        If y does not follow from x and w.
    Unsupported
        If the number of axes or the dtype is not one of those above.
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
            raise Unsupported(f"cuDNN: {self}: a gradient has no epilogue of bias or relu")

    def _expected_y(self) -> Shape:
        sizes = (int(n / step) + 1 for n, step in zip(self._slack(), self.stride, strict=True))
        return (self.x[0], self.w[0], *sizes)

    def _slack(self) -> list[int]:
        """Return how far the kernel can move in the padded image, by axis."""
        window = zip(self.x[2:], self.w[2:], self.pad, self.dilation, strict=True)
        return [s + 2 * p - (d * (k - 1) + 1) for s, k, p, d in window]

    @property
    def exceeds_image(self) -> bool:
        """Whether the kernel is larger than the padded image; see `minicaffe.ops.conv`."""
        return any(size < 0 for size in self._slack())

    @property
    def canonical(self) -> ConvolutionProblem:
        """The problem with two spatial axes or more, as cuDNN requires: adds an axis of one row."""
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
        """The tensors that a plan reads and writes."""
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


@dataclass(frozen=True)
class PlanLimits:
    """Which plans a `Dnn` excludes.

    Parameters
    ----------
    is_deterministic : bool
        Exclude plans whose order of summation may vary between runs.
    workspace_limit : int
        Bytes of device memory; plans that need more are excluded.
    """

    is_deterministic: bool = False
    workspace_limit: int = 1 << 30

    def __str__(self) -> str:
        kind = " deterministic" if self.is_deterministic else ""
        return f"{kind} up to {self.workspace_limit >> 20} MiB"


class Plan(Protocol):
    """One algorithm for a convolution problem."""

    @property
    def name(self) -> str:
        """Identifies the algorithm in every process with the same library version."""

    @property
    def workspace_bytes(self) -> int:
        """Workspace in device memory; known after `prepare`."""

    def prepare(self) -> None:
        """Compile and load the code of the plan, unless that is already done.

        Raises
        ------
        Unsupported
            If that is not possible, or not within the limits of its `Dnn`.
        """

    def __call__(self, addresses: Mapping[Role, int], workspace: int) -> None:
        """Enqueue the plan on the stream; can be captured.

        Parameters
        ----------
        addresses : mapping
            Device addresses of the convolution's `operands`.
        workspace : int
            Address of `workspace_bytes` bytes, aligned to 256; ignored if that is 0.
        """


class Dnn(Protocol):
    """A library that creates plans for convolutions."""

    @property
    def version(self) -> str:
        """Library, version, and the options that decide which plans exist."""

    def plans(self, what: ConvolutionProblem) -> Sequence[Plan]:
        """Return at least one plan, not prepared, in the order of preference.

        Raises
        ------
        Unsupported
            If there is no plan.
        """


def _joined(values: Shape) -> str:
    return "x".join(map(str, values))
