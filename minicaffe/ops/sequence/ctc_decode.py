"""Greedy decoding of sequences, and comparison with labels: what every backend must compute.

x (T, N, C) holds scores; with `samples_first` it is (N, T, C). The best class of each step (the
first of equal ones) is taken; equal neighbours are merged if `merges_repeated`; blanks are dropped.

CtcDecode: tensors in planning order x, y (N, T, ...) with N T values; a row of y is the sequence,
then -1.

SequenceScores: x, labels (N, L...), scores with one value for each of `measures`, in C order. In a
row of labels, entries equal to `blank` are skipped. Measures over the samples:

accuracy    the share of sequences that equal their labels
similarity  1 - mean of the edit distance (insertions, deletions, substitutions) over the length of
            the longer one of sequence and labels; 0 / 0 counts as 0

Both are 0 for an empty batch. No gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from minicaffe.ops.backend import Op, Tensor

SequenceMeasure: TypeAlias = Literal["accuracy", "similarity"]


@dataclass(frozen=True)
class CtcDecode(Op["CtcDecodeKernel"]):
    """Describe greedy decoding."""

    blank: int
    merges_repeated: bool = True
    samples_first: bool = False


class CtcDecodeKernel(Protocol):
    """Forward only: sequences have no gradient."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""


@dataclass(frozen=True)
class SequenceScores(Op["SequenceScoresKernel"]):
    """Describe a comparison of decoded sequences with labels."""

    decode: CtcDecode
    measures: tuple[SequenceMeasure, ...]


class SequenceScoresKernel(Protocol):
    """Forward only: measures have no gradient."""

    def forward(self, x: Tensor, labels: Tensor, scores: Tensor) -> None:
        """Overwrite scores.

        Raises
        ------
        LabelError
            If a label is not a whole number in 0 .. C - 1.
        """
