"""The study of a net: scores at each number of bits, for all layers and for one, and the search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from minicaffe.quantization.formats import Assignment, Bits, LayerFormats
from minicaffe.quantization.score import Score
from minicaffe.quantization.trials import Trials


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
    score : Score
    margin : float
        By how much a score may be worse than that of floats; see `Score.shortfall`.
    float_score : float
    float_bytes : int
        Size of all parameters.
    uniform : list of UniformTrial
        In the order of the bits, most bits first.
    alone : dict of (str, int) to float
        The score with one layer's weights in some bits, by the layer's name and the bits.
    found : FoundNet
    """

    score: Score
    margin: float
    float_score: float
    float_bytes: int
    uniform: list[UniformTrial] = field(default_factory=list)
    alone: dict[tuple[str, int], float] = field(default_factory=dict)
    found: FoundNet = field(init=False)


def study_net(
    formats: LayerFormats,
    trials: Trials,
    score: Score,
    bits: Sequence[int],
    margin: float,
) -> Study:
    """Try numbers of bits, then search for the smallest net within the margin.

    Parameters
    ----------
    formats : LayerFormats
    trials : Trials
    score : Score
    bits : sequence of int
        The numbers to try, in descending order.
    margin : float
        See `Study`.
    """
    net = formats.net
    n, with_activations = len(net.products), formats.calibration is not None
    per_number = 3 if with_activations else 1
    of_search = n * (len(bits) - 1) + (len(bits) if with_activations else 0)
    trials.most = 1 + (per_number + n) * len(bits) + of_search
    study = Study(score, margin, trials.run(formats, {}, "Floats"), formats.parameter_bytes({}))
    for number in bits:
        study.uniform.append(_uniform(formats, trials, number))
    for name in net.products:
        for number in bits:
            what = f"{name} alone at {number} bits"
            study.alone[name, number] = trials.run(formats, {name: Bits(number)}, what)
    study.found = _Search(study, formats, trials, bits).run()
    return study


def _uniform(formats: LayerFormats, trials: Trials, number: int) -> UniformTrial:
    products = formats.net.products

    def run(bits: Bits, what: str) -> float:
        return trials.run(formats, dict.fromkeys(products, bits), f"{what} at {number} bits")

    weights = run(Bits(number), "Weights")
    size = formats.parameter_bytes(dict.fromkeys(products, Bits(number)))
    if formats.calibration is None:
        return UniformTrial(number, weights, None, None, size)
    activations = run(Bits(None, number), "Activations")
    return UniformTrial(number, weights, activations, run(Bits(number, number), "Both"), size)


class _Search:
    """Greedy search for the smallest net within the margin.

    It begins with the smallest net within the margin whose layers all have the same bits. Then the
    layer takes the next smaller number of bits that, alone, loses least for each byte saved; a
    layer whose step leads out of the margin keeps its bits. Activations have the
    most bits throughout, because theirs do not change the size of the parameters.
    """

    def __init__(
        self,
        study: Study,
        formats: LayerFormats,
        trials: Trials,
        bits: Sequence[int],
    ) -> None:
        self._study, self._formats, self._trials = study, formats, trials
        self._products = formats.net.products
        self._bits = bits
        self._activations = bits[0] if formats.calibration else None

    def run(self) -> FoundNet:
        """Return the net that was found."""
        level, value = self._start()
        levels = dict.fromkeys(self._products, level)
        is_within = self._is_within(value)
        if is_within:
            levels, value = self._descend(levels, value)
        assignment = self._assignment(levels)
        size = self._formats.parameter_bytes(assignment)
        return FoundNet(assignment, value, size, is_within)

    def _descend(self, levels: dict[str, int], value: float) -> tuple[dict[str, int], float]:
        """Take steps until each layer has the fewest bits or one that leads out of the margin."""
        candidates = set(levels)
        while candidates := {name for name in candidates if levels[name] + 1 < len(self._bits)}:
            name = min(candidates, key=lambda layer: (self._price(layer, levels[layer]), layer))
            tried = {**levels, name: levels[name] + 1}
            what = f"Search: {name} at {self._bits[tried[name]]} bits"
            score = self._trials.run(self._formats, self._assignment(tried), what)
            if self._is_within(score):
                levels, value = tried, score
            else:
                candidates.remove(name)
        return levels, value

    def _start(self) -> tuple[int, float]:
        """Return the level of the smallest uniform net within the margin, and its score."""
        level, value = 0, self._try_uniform(0)
        for smaller in range(1, len(self._bits)):
            if not self._is_within(value):
                break
            tried = self._try_uniform(smaller)
            if not self._is_within(tried):
                break
            level, value = smaller, tried
        return level, value

    def _try_uniform(self, level: int) -> float:
        assignment = self._assignment(dict.fromkeys(self._products, level))
        what = f"Search: all layers at {self._bits[level]} bits"
        return self._trials.run(self._formats, assignment, what)

    def _assignment(self, levels: dict[str, int]) -> Assignment:
        return {name: Bits(self._bits[level], self._activations) for name, level in levels.items()}

    def _is_within(self, value: float) -> bool:
        study = self._study
        return study.score.is_within(value, study.float_score, study.margin)

    def _price(self, name: str, level: int) -> tuple[float, int]:
        """Return what a layer loses alone for each byte that its next step saves.

        Of steps that lose nothing, the one that saves most comes first.
        """
        now, then = self._bits[level], self._bits[level + 1]
        alone = self._study.alone
        loss = self._study.score.shortfall(alone[name, then], alone[name, now])
        product = self._products[name]
        saved = self._formats.saving(product, then) - self._formats.saving(product, now)
        return max(loss, 0.0) / max(saved, 1), -saved
