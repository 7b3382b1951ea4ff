"""Counter-based random streams, which a resumed run reproduces.

Every consumer of random numbers (dropout of one layer, the crops of one data layer, one filler) has
its own stream. The numbers of a step are a function of (seed, name, step) only: the order in which
consumers run, threads and skipped steps do not change them, and a snapshot stores one number.

If several processes train a net, a step is a batch of all of them, and each process draws for its
parts of it: see `minicaffe.distributed.parts`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

_BLOCK_BITS = 256  # random bits that Philox4x64 makes for a value of its counter


@dataclass
class RandomStream:
    """A named sequence of independent generators, one per step.

    The generator is Philox4x64 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC
    2011), keyed by a hash of seed and name; the step is the most significant word of its counter,
    so no two steps share a number however many are drawn. `generator` puts the part of the batch
    into the word before; the methods that draw for values do not, because what they return is a
    function of the index of the value in the whole batch.

    Parameters
    ----------
    seed : int
        The run's seed (``random_seed`` of the solver, or one drawn for the run).
    name : str
        The layer's name and the purpose; equal names give equal numbers.
    step : int
        The step of the next draw.
    first_part, n_parts : int
        The parts of each batch for which this process draws, one after another; the step advances
        after the last of them.
    n_draws : int
        How often a pass over a part draws, each time from a step of its own.
    """

    seed: int
    name: str
    step: int = 0
    first_part: int = 0
    n_parts: int = 1
    n_draws: int = 1
    _n_drawn: int = field(default=0, init=False, repr=False)  # since the batch began

    def generator(self) -> np.random.Generator:
        """Return the generator of the current step and part, and advance.

        For what is not drawn value by value: parts differ, and a batch of one part gets other
        numbers than the same batch in two.
        """
        step, part = self._advance()
        return self._generator(step, part=part)

    def undivided(self) -> RandomStream:
        """Return a stream for one draw, which all parts of a batch share, and advance."""
        step, _ = self._advance()
        return RandomStream(self.seed, self.name, step)

    def bits(self, n: int) -> npt.NDArray[np.uint16]:
        """Return 16 random bits for each of the n values of this part, and advance."""
        generator, skipped = self._generator_for(n, 16)
        words = generator.bit_generator.random_raw(-(-(skipped + n) // 4))
        return words.view(np.uint16)[skipped : skipped + n]

    def shares(self, n: int) -> npt.NDArray[np.float32]:
        """Return a number in [0, 1) for each of the n values of this part, and advance."""
        generator, skipped = self._generator_for(n, 32)
        return generator.random(skipped + n, np.float32)[skipped:]

    def fine_shares(self, n: int) -> npt.NDArray[np.float64]:
        """Return what `shares` does, of all the bits of a float64."""
        generator, skipped = self._generator_for(n, 64)
        return generator.random(skipped + n)[skipped:]

    def row_generators(self, n: int) -> list[np.random.Generator]:
        """Return a generator for each of the n rows of this part, and advance."""
        step, part = self._advance()
        return [self._generator(step, row=part * n + k) for k in range(n)]

    def words(self) -> npt.NDArray[np.uint32]:
        """Return key and counter for a generator of 32-bit words, and advance.

        Returns
        -------
        uint32 array, (5,)
            Two words of a key, a function of seed and name; the step, its lower word first; the
            part, by which a kernel finds the index of a value in the whole batch.
        """
        step, part = self._advance()
        key = np.frombuffer(self._digest(), dtype="<u4")[:2]
        return np.array([*key, step & 0xFFFFFFFF, step >> 32, part], np.uint32)

    def go_to(self, seed: int, step: int) -> None:
        """Continue with a step, of a seed, from its first part on."""
        self.seed, self.step, self._n_drawn = seed, step, 0

    def pass_over(self, n_batches: int) -> None:
        """Advance as the draws of so many batches do."""
        self.step += n_batches * self.n_draws

    def _advance(self) -> tuple[int, int]:
        """Return step and part of the next draw; count it."""
        part, draw = divmod(self._n_drawn, self.n_draws)
        found = self.step + draw, self.first_part + part
        self._n_drawn += 1
        if self._n_drawn == self.n_parts * self.n_draws:
            self._n_drawn = 0
            self.step += self.n_draws
        return found

    def _generator_for(self, n: int, bits: int) -> tuple[np.random.Generator, int]:
        """Return a generator for this part's n values, and how many values come before them."""
        step, part = self._advance()
        block, skipped = divmod(part * n, _BLOCK_BITS // bits)
        return self._generator(step, block=block), skipped

    def _generator(
        self, step: int, part: int = 0, row: int = 0, block: int = 0
    ) -> np.random.Generator:
        key = np.frombuffer(self._digest(), dtype="<u8").astype(np.uint64)
        counter = np.array([block, row, part, step], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=key, counter=counter))

    def _digest(self) -> bytes:
        return hashlib.blake2b(f"{self.seed}/{self.name}".encode(), digest_size=16).digest()


def checked_step(step: object) -> int:
    """Return the step of a stream that a snapshot holds; ValueError if no stream can have it."""
    number = int(step)  # type: ignore[call-overload]
    if not 0 <= number < 1 << 63:
        raise ValueError(f"step {number} of random numbers")
    return int(number)
