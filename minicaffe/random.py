"""Counter-based random streams, which a resumed run reproduces.

Every consumer of random numbers (dropout of one layer, the crops of one data layer, one filler) has
its own stream. The numbers of a step are a function of (seed, name, step) only: the order in which
consumers run, threads and skipped steps do not change them, and a snapshot stores one number.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass
class RandomStream:
    """A named sequence of independent generators, one per step.

    The generator is Philox4x64 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC
    2011), keyed by a hash of seed and name; the step is the most significant word of its counter,
    so no two steps share a number however many are drawn.

    Parameters
    ----------
    seed : int
        The run's seed (``random_seed`` of the solver, or one drawn for the run).
    name : str
        The layer's name and the purpose; equal names give equal numbers.
    step : int
        The step of the next call of `generator`.
    """

    seed: int
    name: str
    step: int = 0

    def generator(self) -> np.random.Generator:
        """Return the generator of the current step and advance to the next step."""
        key = np.frombuffer(self._digest(), dtype="<u8").astype(np.uint64)
        counter = np.array([0, 0, 0, self.step], dtype=np.uint64)
        self.step += 1
        return np.random.Generator(np.random.Philox(key=key, counter=counter))

    def words(self) -> npt.NDArray[np.uint32]:
        """Return key and counter for a generator of 32-bit words, and advance to the next step.

        Returns
        -------
        uint32 array, (4,)
            Two words of a key, a function of seed and name, and the step, its lower word first.
        """
        key = np.frombuffer(self._digest(), dtype="<u4")[:2]
        step = (self.step & 0xFFFFFFFF, self.step >> 32)
        self.step += 1
        return np.array([*key, *step], np.uint32)

    def _digest(self) -> bytes:
        return hashlib.blake2b(f"{self.seed}/{self.name}".encode(), digest_size=16).digest()


def checked_step(step: object) -> int:
    """Return the step of a stream that a snapshot holds; ValueError if no stream can have it."""
    number = int(step)  # type: ignore[call-overload]
    if not 0 <= number < 1 << 63:
        raise ValueError(f"step {number} of random numbers")
    return int(number)
