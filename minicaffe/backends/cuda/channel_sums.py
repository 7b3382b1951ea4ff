"""Sums over everything but the channels: gradients of biases, slopes, factors and means."""

from __future__ import annotations

import math
from typing import NamedTuple

from minicaffe.backends.cuda.backend import CudaBackend, CudaKernel
from minicaffe.backends.cuda.device import THREADS, Address
from minicaffe.backends.cuda.divisor import divisor
from minicaffe.backends.cuda.format import Format, ValueType
from minicaffe.ops.backend import Shape

NOWHERE = Address(0)
# Blocks for each multiprocessor, and values for each thread before there is another block.
BLOCKS_EACH = 8
VALUES_EACH = 8
# Channels of a block whose threads lie side by side, as in kernels/common.cuh.
LANES = 32


class Channels(NamedTuple):
    """How values of channels lie in memory: (outer, count, inner).

    Parameters
    ----------
    outer, count, inner : int
        With the channels last, inner is 1.
    """

    outer: int
    count: int
    inner: int

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

    @property
    def total(self) -> int:
        """Number of values of a channel."""
        return self.outer * self.inner

    @property
    def size(self) -> int:
        """Number of values."""
        return self.total * self.count

    @property
    def lanes(self) -> int:
        """How many channels a block of sums has."""
        return LANES if self.inner == 1 else 1

    def grid(self, multiprocessors: int) -> tuple[int, int]:
        """Return the blocks along the channels and the parts that each channel is split into."""
        across = -(-self.count // self.lanes)
        rows = THREADS // self.lanes
        enough = -(-BLOCKS_EACH * multiprocessors // max(across, 1))
        return max(across, 1), max(1, min(enough, -(-self.total // (rows * VALUES_EACH))))

    def walk(self) -> tuple[int, ...]:
        """Return the arguments of a kernel that sums: WALK in kernels/common.cuh."""
        return (self.lanes, self.count, self.total, *divisor(self.inner))

    def find(self) -> tuple[int, ...]:
        """Return the arguments of a kernel that asks for the channel of a value: CHANNEL."""
        return (*divisor(self.inner), *divisor(self.count))


class ChannelSums(CudaKernel):
    """Two sums for each channel, in two steps: of parts, then of those parts in a fixed order.

    Parameters
    ----------
    backend : CudaBackend
    terms : str
        What is summed: a row of the table in kernels/channel_sums.cu.
    """

    file = "channel_sums"

    def __init__(self, backend: CudaBackend, terms: str) -> None:
        super().__init__(backend, None)
        self.defines = (f"TERMS={terms}",)

    def __call__(
        self,
        channels: Channels,
        value: ValueType,
        given: tuple[Address, ...],
        first: tuple[Address, bool] = (NOWHERE, False),
        second: tuple[Address, bool] = (NOWHERE, False),
        factor: float = 1.0,
    ) -> None:
        """Sum.

        Parameters
        ----------
        channels : Channels
            How the values lie.
        value : str
            Their type.
        given : tuple of Address
            x, dy, and the mean and inverse deviation of each channel; `NOWHERE` for what the terms
            do not read.
        first, second : (Address, bool)
            Where the sums go, as `CudaTensor.accumulate` returns it.
        factor : float
            The sums are multiplied by it.
        """
        grid = channels.grid(self.device.multiprocessors)
        parts = self.scratch(max(8 * grid[1] * channels.count, 4), "channel sums")
        self.function("parts", value)(grid, THREADS, *given, parts, *channels.walk())
        adds = [int(not is_first) for _, is_first in (first, second)]
        self.function("whole", value)(
            -(-max(channels.count, 1) // LANES),
            THREADS,
            *(parts, grid[1], channels.count, first[0], second[0], *adds, factor),
        )
