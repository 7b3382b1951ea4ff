"""Results of a study: the scores of a net at each number of bits, and the net of the search."""

from __future__ import annotations

from dataclasses import dataclass, field

from minicaffe.quantization.formats import Assignment
from minicaffe.quantization.score import NetScore


@dataclass(frozen=True)
class UniformTrial:
    """All layers at the same number of bits.

    Attributes
    ----------
    bits : int
    weights : float
        The score with the weights in these bits.
    activations : float or None
        ... with activations in these bits; None if activations are not quantised.
    both : float or None
        ... with both.
    size_bytes : int
        Of all parameters.
    """

    bits: int
    weights: float
    activations: float | None
    both: float | None
    size_bytes: int


@dataclass(frozen=True)
class FoundNet:
    """The net that the search has found.

    Attributes
    ----------
    assignment : dict of str to Bits
    score : float
    size_bytes : int
    is_within : bool
        Whether the score is within the margin; if not, it is the net of the most bits.
    """

    assignment: Assignment
    score: float
    size_bytes: int
    is_within: bool


@dataclass
class Study:
    """What was found out about a net.

    Attributes
    ----------
    score : NetScore
    margin : float
        By how much a score may be worse than that of floats; see `NetScore.shortfall`.
    float_score : float
    float_bytes : int
        Size of all parameters.
    uniform : list of UniformTrial
        In the order of the bits, most bits first.
    alone : dict of (str, int) to float
        The score with one layer's weights in some bits, by the layer's name and the bits.
    found : FoundNet
    """

    score: NetScore
    margin: float
    float_score: float
    float_bytes: int
    uniform: list[UniformTrial] = field(default_factory=list)
    alone: dict[tuple[str, int], float] = field(default_factory=dict)
    found: FoundNet = field(init=False)
