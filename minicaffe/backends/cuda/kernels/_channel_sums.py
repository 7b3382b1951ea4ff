"""Sums over everything but the channels: gradients of biases, slopes, factors and means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from minicaffe.backends.cuda.backend import CudaBackend, CudaKernel
from minicaffe.backends.cuda.driver.device import THREADS, Address, Argument
from minicaffe.backends.cuda.kernels._divisor import divisor
from minicaffe.backends.cuda.runtime.format import Format, ValueType
from minicaffe.backends.cuda.runtime.loss_scale import LossScale, inverse_scale_address
from minicaffe.ops.backend import Shape

NULL = Address(0)
# Where a sum goes, and whether it overwrites what is there.
Sum: TypeAlias = tuple[Address, bool]
NO_SUM: Sum = (NULL, True)


class Result(NamedTuple):
    """Where two sums go.

    Parameters
    ----------
    first, second : (Address, bool)
        As `CudaTensor.accumulate` returns it.
    factor : float
        The sums are multiplied by it.
    scale : LossScale, optional
        The sums are divided by it: what was summed has it, what they are added to has not.
    """

    first: Sum = NO_SUM
    second: Sum = NO_SUM
    factor: float = 1.0
    scale: LossScale | None = None


NO_RESULT = Result()
# How many arrays the kernel that sums parts may be given.
N_INPUTS = 6
# Blocks for each multiprocessor, and values for each thread before there is another block.
BLOCKS_EACH = 8
VALUES_EACH = 8
# Channels of a block whose threads lie side by side, as in kernels/common.cuh.
CHANNELS_PER_BLOCK = 32
# Channels of fewer values would leave most threads of a block of their own without work.
SHORT = 128


class Channels(NamedTuple):
    """How values of channels lie in memory: (outer, channels, inner).

    Parameters
    ----------
    outer, n_channels, inner : int
        With the channels last, inner is 1.
    images : int
        How many of these lie one behind another, each with channels of its own.
    """

    outer: int
    n_channels: int
    inner: int
    images: int = 1

    @staticmethod
    def of(shape: Shape, form: Format) -> Channels:
        """Return how axis 1 of a tensor of this shape lies in a format."""
        count = shape[1] if len(shape) > 1 else 1
        pixels = math.prod(shape[2:] if len(shape) > 1 else shape)
        outer = shape[0] if len(shape) > 1 else 1
        return (
            Channels(outer * pixels, count, 1)
            if form.channels_last
            else Channels(outer, count, pixels)
        )

    @staticmethod
    def trailing(shape: Shape, axis: int, form: Format) -> Channels:
        """Return how the values for each index of the axes before `axis` lie: its channels."""
        rows, length = math.prod(shape[:axis]), math.prod(shape[axis:])
        if not form.channels_last or axis < 2:
            return Channels(1, rows, length)
        return Channels(length, shape[1], 1, rows // shape[1])

    @property
    def all_channels(self) -> int:
        """Number of the channels of all images."""
        return self.images * self.n_channels

    @property
    def total(self) -> int:
        """Number of values of a channel."""
        return self.outer * self.inner

    @property
    def size(self) -> int:
        """Number of values."""
        return self.total * self.all_channels

    @property
    def channels_per_block(self) -> int:
        """How many channels a block of sums has."""
        return CHANNELS_PER_BLOCK if self.inner == 1 or self.total < SHORT else 1

    def grid(self, multiprocessors: int) -> tuple[int, int]:
        """Return the blocks along the channels and the parts that each channel is split into."""
        across = -(-self.all_channels // self.channels_per_block)
        rows = THREADS // self.channels_per_block
        enough = -(-BLOCKS_EACH * multiprocessors // max(across, 1))
        return max(across, 1), max(1, min(enough, -(-self.total // (rows * VALUES_EACH))))

    def loop_args(self) -> tuple[int, ...]:
        """Return the arguments of a kernel that sums: WALK in kernels/common.cuh."""
        sizes = (self.channels_per_block, self.n_channels, self.all_channels, self.total)
        return (*sizes, *divisor(self.inner))

    def channel_args(self) -> tuple[int, ...]:
        """Return the arguments of a kernel that asks for the channel of a value: CHANNEL.

        For a single image.
        """
        return (*divisor(self.inner), *divisor(self.n_channels))

    def trailing_args(self) -> tuple[int, ...]:
        """Return the arguments for the channels of `trailing`: TRAILING in kernels/common.cuh."""
        width = self.n_channels if self.inner == 1 else 1
        return (*divisor(self.outer * width * self.inner), *divisor(width))


class ChannelSums(CudaKernel):
    """Two sums for each channel: of parts, then of those parts in a fixed order.

    Parameters
    ----------
    backend : CudaBackend
    terms : str
        What is summed: a row of the table in kernels/channel_sums.cu.
    """

    file = "_channel_sums"

    def __init__(self, backend: CudaBackend, terms: str) -> None:
        super().__init__(backend, None)
        self.defines = (f"TERMS={terms}",)

    def __call__(
        self,
        channels: Channels,
        value: ValueType,
        given: Sequence[Address],
        result: Result,
        other: Result = NO_RESULT,
    ) -> None:
        """Take the sums and leave them in one or two places.

        Parameters
        ----------
        channels : Channels
            How the values lie.
        value : str
            Their type.
        given : sequence of Address
            x, dy, and for each channel mean, inverse deviation, factor and term; `NULL` for what
            the terms do not read, and nothing for the last of them.
        result, other : Result
            Where the sums go.
        """
        given = (*given, *(NULL,) * (N_INPUTS - len(given)))
        results = (*_arguments(result), *_arguments(other))
        grid, n = channels.grid(self.device.multiprocessors), channels.all_channels
        splits = grid[1]
        if splits == 1:
            self.function("reduce_single_block", value)(
                grid, THREADS, *given, *channels.loop_args(), *results
            )
            return
        parts = self.scratch(max(8 * splits * n, 4), "channel sums")
        self.function("reduce_partial", value)(grid, THREADS, *given, parts, *channels.loop_args())
        self.function("reduce_final")(
            max(-(-n // CHANNELS_PER_BLOCK), 1), THREADS, parts, splits, n, *results
        )


def _arguments(result: Result) -> tuple[Argument, ...]:
    """Return RESULT in kernels/channel_sums.cu."""
    (first, overwrites_first), (second, overwrites_second) = result.first, result.second
    adds = (int(not overwrites_first), int(not overwrites_second))
    return (first, second, *adds, result.factor, inverse_scale_address(result.scale))
