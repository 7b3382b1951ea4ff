"""Loops over packs of values with a number for each channel: a factor, a slope, a mean."""

from __future__ import annotations

import math
from typing import NamedTuple

from minicaffe.backends.cuda.backend import PACK_BYTES, CudaKernel, OpT
from minicaffe.backends.cuda.driver.device import THREADS, Argument, blocks
from minicaffe.backends.cuda.kernels._channel_sums import Channels
from minicaffe.backends.cuda.runtime.format import SIZE_BYTES, ValueType

# Blocks per multiprocessor of a fixed grid: with more, threads would read the numbers of their
# channels for a turn or two.
BLOCKS_EACH = 8


class ChannelGrid(NamedTuple):
    """Grid of a loop over packs.

    Parameters
    ----------
    n_blocks : int
    is_fixed : bool
        Whether each thread has the same channels in every turn: the variant FIXED_CHANNELS of
        kernels/_common.cuh, which reads the numbers of its channels once.
    """

    n_blocks: int
    is_fixed: bool

    @staticmethod
    def of(channels: Channels, value: ValueType, multiprocessors: int) -> ChannelGrid:
        """Return the grid for a tensor of this layout and type of values.

        Parameters
        ----------
        channels : Channels
        value : str
        multiprocessors : int
            Of the device.
        """
        pack = PACK_BYTES // SIZE_BYTES[value]
        n_blocks = blocks(-(-channels.size // pack))
        n, turn = channels.n_channels, pack * THREADS
        if channels.inner > 1 or channels.images > 1 or not n or n % pack:
            return ChannelGrid(n_blocks, False)
        # The smallest number of blocks whose turn, values in sequence, ends with the last channel.
        step = n // math.gcd(n, turn)
        if step > n_blocks:
            return ChannelGrid(n_blocks, False)
        enough = min(n_blocks, BLOCKS_EACH * multiprocessors)
        return ChannelGrid(-(-enough // step) * step, True)


class ChannelPacks(CudaKernel[OpT]):
    """Base class of kernels that use numbers for each channel."""

    def launch_channels(
        self, name: str, channels: Channels, *args: Argument, value: ValueType
    ) -> None:
        """Launch a function whose last arguments are the number of values and CHANNEL.

        Parameters
        ----------
        name : str
        channels : Channels
            Layout of the values.
        args : Address, int or float
            The arguments before those.
        value : str
            Type of the values.
        """
        if not channels.size:
            return
        n_blocks, is_fixed = ChannelGrid.of(channels, value, self.device.multiprocessors)
        launch = self.function(name, value, f"FIXED_CHANNELS={int(is_fixed)}")
        launch(n_blocks, THREADS, *args, channels.size, *channels.channel_args())
