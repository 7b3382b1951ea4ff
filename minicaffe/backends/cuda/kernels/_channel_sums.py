"""Reductions over all axes except the channels: gradients of biases, slopes, factors, means."""

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
# Address of a sum, and whether it is overwritten (otherwise accumulated).
Sum: TypeAlias = tuple[Address, bool]
NO_SUM: Sum = (NULL, True)


class Result(NamedTuple):
    """Outputs of a reduction to two sums.

    Parameters
    ----------
    first, second : (Address, bool)
        As `CudaTensor.accumulate` returns it.
    factor : float
        The sums are multiplied by it.
    scale : LossScale, optional
        The sums are divided by it, because the terms are scaled and the outputs are not.
    """

    first: Sum = NO_SUM
    second: Sum = NO_SUM
    factor: float = 1.0
    scale: LossScale | None = None


NO_RESULT = Result()
# Number of input pointers of the kernel.
N_INPUTS = 6
# Blocks per multiprocessor, and minimum number of values per thread before a channel is split.
BLOCKS_EACH = 8
VALUES_EACH = 8
# Adjacent channels of a block, and of a block of the second step, as in kernels/_common.cuh.
CHANNELS_PER_BLOCK, FINAL_CHANNELS = 32, 8
# Shorter channels share a block, because most threads of a block per channel would be idle.
SHORT = 128


class Channels(NamedTuple):
    """Memory layout of channels: (outer, channels, inner).

    Parameters
    ----------
    outer, n_channels, inner : int
        With the channels last, inner is 1.
    images : int
        Number of such blocks in sequence, each with its own channels.
    """

    outer: int
    n_channels: int
    inner: int
    images: int = 1

    @staticmethod
    def of(shape: Shape, form: Format) -> Channels:
        """Return the layout of axis 1 of a tensor of this shape in a format."""
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
        """Return the layout whose channels are the indices of the axes before `axis`."""
        rows, length = math.prod(shape[:axis]), math.prod(shape[axis:])
        if not form.channels_last or axis < 2:
            return Channels(1, rows, length)
        return Channels(length, shape[1], 1, rows // shape[1])

    @property
    def all_channels(self) -> int:
        """Number of channels of all images."""
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
        """Number of channels of a thread block."""
        return CHANNELS_PER_BLOCK if self.inner == 1 or self.total < SHORT else 1

    def grid(self, multiprocessors: int) -> tuple[int, int]:
        """Return the grid: blocks along the channels, and the number of splits of each channel."""
        across = -(-self.all_channels // self.channels_per_block)
        rows = THREADS // self.channels_per_block
        enough = -(-BLOCKS_EACH * multiprocessors // max(across, 1))
        return max(across, 1), max(1, min(enough, -(-self.total // (rows * VALUES_EACH))))

    def loop_args(self) -> tuple[int, ...]:
        """Return the arguments CHANNEL_LOOP of kernels/_common.cuh, for reductions."""
        sizes = (self.channels_per_block, self.n_channels, self.all_channels, self.total)
        return (*sizes, *divisor(self.inner))

    def channel_args(self) -> tuple[int, ...]:
        """Return the arguments CHANNEL of kernels/_common.cuh, for the channel of a value.

        For a single image.
        """
        return (*divisor(self.inner), *divisor(self.n_channels))

    def trailing_args(self) -> tuple[int, ...]:
        """Return the arguments TRAILING of kernels/_common.cuh, for the layouts of `trailing`."""
        width = self.n_channels if self.inner == 1 else 1
        return (*divisor(self.outer * width * self.inner), *divisor(width))


class ChannelSums(CudaKernel[None]):
    """Reduction to two sums per channel: partial sums, then their sum in a fixed order.

    Parameters
    ----------
    backend : CudaBackend
    terms : str
        The summands: a row of the table in kernels/_channel_sums.cu.
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
        """Compute the sums and write them to one or two results.

        Parameters
        ----------
        channels : Channels
            Layout of the values.
        value : str
            Type of the values.
        given : sequence of Address
            x, dy, and per-channel mean, inverse deviation, factor and term; `NULL` for those that
            the terms do not read, trailing ones omitted.
        result, other : Result
            Outputs of the sums.
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
            max(-(-n // FINAL_CHANNELS), 1), THREADS, parts, splits, n, *results
        )


def _arguments(result: Result) -> tuple[Argument, ...]:
    """Return the arguments RESULT of kernels/_channel_sums.cu."""
    (first, overwrites_first), (second, overwrites_second) = result.first, result.second
    adds = (int(not overwrites_first), int(not overwrites_second))
    return (first, second, *adds, result.factor, inverse_scale_address(result.scale))
