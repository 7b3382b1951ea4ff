"""Sums of gradients that are sent in 16 bits, with error feedback.

Each process sends its gradients rounded to 16 bits, and adds the rounding errors to the gradients
of its next iteration, so that they are delayed and not lost (error feedback: Seide et al., "1-bit
stochastic gradient descent and its application to data-parallel distributed training of speech
DNNs", Interspeech 2014). A vector is divided among the processes. Each receives the others' values
of its part, adds them in float32 in the order of the ranks, and sends the sum to all, rounded too;
the error of that rounding is added to its own next gradient.

A finite value that is too large for float16 is sent as the largest one, and the rest later. NaN and
infinities are sent as they are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from minicaffe.distributed.communicator import Communicator
from minicaffe.distributed.gradient_sums import GradientSum, Piece
from minicaffe.ops.backend import HostArray

Bits = npt.NDArray[np.uint16]
Floats = npt.NDArray[np.float32]


class NumberFormat(ABC):
    """A floating-point format of 16 bits."""

    @abstractmethod
    def narrow(self, values: Floats, bits: Bits) -> None:
        """Overwrite bits with the nearest numbers of the format; ties go to the even one."""

    @abstractmethod
    def widen(self, bits: Bits) -> Floats:
        """Return the numbers."""


class Float16(NumberFormat):
    """IEEE 754's binary16."""

    _LARGEST = float(np.finfo(np.float16).max)

    def narrow(self, values: Floats, bits: Bits) -> None:
        """Overwrite bits; finite values that are too large become the largest one."""
        rounded = bits.view(np.float16)
        with np.errstate(over="ignore", under="ignore"):
            np.copyto(rounded, values, casting="same_kind")
        if not np.isfinite(rounded).all():
            limited = np.clip(values, -self._LARGEST, self._LARGEST)
            np.copyto(rounded, limited, casting="same_kind", where=np.isfinite(values))

    def widen(self, bits: Bits) -> Floats:
        """Return the numbers."""
        return bits.view(np.float16).astype(np.float32)


class Bfloat16(NumberFormat):
    """The upper half of float32: as many exponent bits, 8 bits of precision."""

    def narrow(self, values: Floats, bits: Bits) -> None:
        """Overwrite bits."""
        words = values.view(np.uint32)
        rounded = words >> 16
        rounded &= 1
        rounded += 0x7FFF
        rounded += words
        rounded >>= 16
        np.copyto(bits, rounded, casting="same_kind")
        # Rounding up the mantissa of a NaN would change its exponent.
        if not np.isfinite(self.widen(bits)).all():
            bits[np.isnan(values)] = 0x7FC0

    def widen(self, bits: Bits) -> Floats:
        """Return the numbers."""
        words = bits.astype(np.uint32)
        words <<= 16
        return words.view(np.float32)


FORMATS: dict[str, NumberFormat] = {"float16": Float16(), "bfloat16": Bfloat16()}


class RoundedSum(GradientSum):
    """Sums of what all processes send in 16 bits.

    Parameters
    ----------
    communicator : Communicator
    number_format : NumberFormat
    """

    def __init__(self, communicator: Communicator, number_format: NumberFormat) -> None:
        super().__init__(communicator)
        self._format = number_format
        # What was not sent yet, of each piece of each bucket; padded to one size for all parts.
        self._unsent: dict[Piece, Floats] = {}

    def _sum(self, piece: Piece, values: HostArray) -> None:
        n = self._communicator.size
        share = -(-values.size // n)
        unsent = self._unsent.get(piece)
        if unsent is None:
            unsent = self._unsent[piece] = np.zeros(n * share, np.float32)
        unsent[: values.size] += values
        bits = np.empty((n, share), np.uint16)
        self._format.narrow(unsent, bits.reshape(-1))
        with np.errstate(invalid="ignore"):
            unsent -= self._format.widen(bits.reshape(-1))
            total = self._sum_of_share(bits)
            own = unsent.reshape(n, share)[self._communicator.rank]
            own += total
            rounded = bits[self._communicator.rank]
            self._format.narrow(total, rounded)
            own -= self._format.widen(rounded)
        # NaN would never leave; a backend that skips an update with such gradients goes on.
        is_finite = np.isfinite(unsent)
        if not is_finite.all():
            unsent[~is_finite] = 0
        for partner in self._partners():
            if partner == self._communicator.rank:
                self._communicator.exchange(rounded, np.empty_like(rounded), partner)
            else:
                self._communicator.exchange(rounded, bits[partner], partner)
        values[...] = self._format.widen(bits.reshape(-1))[: values.size]

    def _sum_of_share(self, bits: Bits) -> Floats:
        """Return the sum of this process's part of a vector, from what all send of it."""
        received = np.empty_like(bits)
        for partner in self._partners():
            self._communicator.exchange(bits[partner], received[partner], partner)
        total = self._format.widen(received[0])
        for other in received[1:]:
            total += self._format.widen(other)
        return total

    def _partners(self) -> Iterator[int]:
        """Yield all ranks, such that in each round the partner's partner is this process."""
        for step in range(self._communicator.size):
            yield (step - self._communicator.rank) % self._communicator.size
