"""Trials: scores of a net with small numbers, all on the same batches."""

from __future__ import annotations

import time
from contextlib import closing

from minicaffe.log import logger
from minicaffe.ops.backend import Backend
from minicaffe.quantization.batches import RecordedBatches
from minicaffe.quantization.float_net import FloatNet, fed_net
from minicaffe.quantization.formats import Assignment, LayerFormats
from minicaffe.quantization.score import NetScore
from minicaffe.schema import NetParameter
from minicaffe.solver.scores.output_scores import OutputScores

_LONG_S = 5.0  # after so long, log lines say how long it will take
_MINUTES_S = 100.0  # more is given in minutes


class Trials:
    """Runs nets and remembers their scores; logs each.

    Parameters
    ----------
    net : FloatNet
    batches : RecordedBatches
    n_batches : int
        How many of them are run.
    score : NetScore
    backend : Backend

    Attributes
    ----------
    most : int
        How many nets will run at most, for the log.
    """

    def __init__(
        self,
        net: FloatNet,
        batches: RecordedBatches,
        n_batches: int,
        score: NetScore,
        backend: Backend,
    ) -> None:
        self._net, self._batches, self._n_batches = net, batches, n_batches
        self._score, self._backend = score, backend
        self._known: dict[tuple[object, ...], float] = {}
        self._began = time.monotonic()
        self.most = 0

    def run(self, formats: LayerFormats, assignment: Assignment, what: str) -> float:
        """Return the score of the net in which layers have these bits."""
        key = tuple(sorted(assignment.items()))
        if key not in self._known:
            self._known[key] = self._run(formats, assignment)
            self._log(what, self._known[key])
        return self._known[key]

    def _run(self, formats: LayerFormats, assignment: Assignment) -> float:
        parameters = dict(self._net.parameters)
        param = NetParameter()
        param.CopyFrom(self._net.fed.param)
        layers = {layer.name: layer for layer in param.layer}
        for name, bits in assignment.items():
            product = self._net.products[name]
            if bits.weights is not None:
                parameters.update(formats.rounded(product, bits.weights))
            if bits.activations is not None:
                for sharer in product.names:
                    formats.set_activations(layers[sharer], bits.activations)
        net = fed_net(self._net, param, parameters, self._backend)
        with closing(net):
            scores = OutputScores(net, "Integral")
            for _ in self._batches.feed(net, self._n_batches):
                net.forward()
                scores.add()
            return self._score.of_outputs(scores.scores())

    def _log(self, what: str, value: float) -> None:
        n, elapsed_s = len(self._known), time.monotonic() - self._began
        left_s = elapsed_s / n * (self.most - n)
        left = f"{left_s / 60:.0f} min" if left_s > _MINUTES_S else f"{left_s:.0f} s"
        rest = f", {left} left" if elapsed_s > _LONG_S and left_s > 0 else ""
        logger.info(
            f"{what}: {self._score.name} = {value:g} (net {n} of at most {self.most}{rest})"
        )
