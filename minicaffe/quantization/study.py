"""The study of a net: scores at each number of bits, for all layers and for one, and the search."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.quantization.findings import Study, UniformTrial
from minicaffe.quantization.formats import Bits, LayerFormats
from minicaffe.quantization.score import NetScore
from minicaffe.quantization.search import Search, most_trials
from minicaffe.quantization.trials import Trials


def study_net(
    formats: LayerFormats,
    trials: Trials,
    score: NetScore,
    bits: Sequence[int],
    margin: float,
) -> Study:
    """Try numbers of bits, then search for the smallest net within the margin.

    Parameters
    ----------
    formats : LayerFormats
    trials : Trials
    score : NetScore
    bits : sequence of int
        The numbers to try, in descending order.
    margin : float
        See `Study`.
    """
    net = formats.net
    n, with_activations = len(net.products), formats.calibration is not None
    per_number = 3 if with_activations else 1
    trials.most = 1 + (per_number + n) * len(bits) + most_trials(n, len(bits))
    study = Study(score, margin, trials.run(formats, {}, "Floats"), formats.parameter_bytes({}))
    for number in bits:
        study.uniform.append(_uniform(formats, trials, number))
    for name in net.products:
        for number in bits:
            what = f"{name} alone at {number} bits"
            study.alone[name, number] = trials.run(formats, {name: Bits(number)}, what)
    study.found = Search(study, formats, trials).run()
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
