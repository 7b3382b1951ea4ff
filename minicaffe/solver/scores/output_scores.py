"""Scores of a test: the means of its outputs, and average precisions of detections."""

from __future__ import annotations

import numpy as np

from minicaffe.errors import SolverError
from minicaffe.layers.detection.detection_evaluate import DetectionEvaluate
from minicaffe.log import logger
from minicaffe.net import Net
from minicaffe.ops.backend import HostArray
from minicaffe.schema import SolverSource
from minicaffe.solver.parallel.agreement import Agreement
from minicaffe.solver.scores.average_precision import average_precisions, mean_average_precision


def check_evaluation(source: SolverSource, net: Net) -> None:
    """Raise a SolverError unless eval_type fits the outputs of a test net."""
    names = [net.outputs[k].name for k in _detection_outputs(net)]
    is_detection = source.param.eval_type == "detection"
    if is_detection and not names:
        raise SolverError(
            f'{source.where("eval_type")}: eval_type: "detection" needs a test net with a '
            f"DetectionEvaluate layer whose top no layer reads; {net.source.where()} has none"
        )
    if names and not is_detection:
        raise SolverError(
            f'{net.source.where()}: output "{names[0]}" has the rows of a DetectionEvaluate layer, '
            f'which have no mean. Set eval_type: "detection" in {source.path}'
        )


def _detection_outputs(net: Net) -> list[int]:
    """Return the indices of the outputs that are rows of detections."""
    steps = [step for step in net.steps if isinstance(step.layer, DetectionEvaluate)]
    tops = [blob for step in steps for blob in step.top]
    return [k for k, blob in enumerate(net.outputs) if blob in tops]


def scalar_outputs(net: Net) -> list[str]:
    """Return the names of the outputs of a test net whose score is one number."""
    detections = _detection_outputs(net)
    return [blob.name for k, blob in enumerate(net.outputs) if blob.count == 1 or k in detections]


class OutputScores:
    """Collects the outputs of a test net over the batches of a test.

    Parameters
    ----------
    net : Net
    ap_version : str
        How the average precision of detections is computed: a key of `AP_VERSIONS`.
    """

    def __init__(self, net: Net, ap_version: str) -> None:
        self._net, self._version = net, ap_version
        self._batches, self._loss = 0, 0.0
        self._totals: list[HostArray] = []
        self._rows: dict[int, list[HostArray]] = {k: [] for k in _detection_outputs(net)}

    @property
    def mean_loss(self) -> float:
        """The mean of the losses."""
        return self._loss / self._batches

    def add(self, loss: float = 0.0) -> list[HostArray]:
        """Add the outputs of a batch and return them; empty arrays for rows of detections."""
        self._batches += 1
        self._loss += loss
        values = self._net.output_values()
        for k, rows in self._rows.items():
            rows.append(values[k].reshape(-1, values[k].shape[-1]))
            values[k] = np.zeros(0)
        before = self._totals or [np.zeros_like(value) for value in values]
        self._totals = [a + b for a, b in zip(before, values, strict=True)]
        return values

    def combine(self, ranks: Agreement) -> None:
        """Add the batches of all processes, by rank, so that each has the scores of the test."""
        if ranks.is_alone:
            return
        found = ranks.gathered((self._batches, self._loss, self._totals, self._rows))
        self._batches = sum(batches for batches, *_ in found)
        self._loss = sum(loss for _, loss, *_ in found)
        totals = [of_rank for *_, of_rank, _ in found if of_rank]
        self._totals = [sum(values[1:], values[0]) for values in zip(*totals, strict=True)]
        self._rows = {k: [row for *_, rows in found for row in rows[k]] for k in self._rows}

    def scores(self, lists_classes: bool = False) -> list[HostArray]:
        """Return the means of the outputs, and mean average precisions.

        Logs which classes have no detections, and with `lists_classes` the precision of the others.
        """
        found: list[HostArray] = [np.asarray(total / self._batches) for total in self._totals]
        for k, rows in self._rows.items():
            precisions = average_precisions(np.concatenate(rows), self._version)
            for label, precision in precisions.items():
                if precision is None:
                    logger.warning(f"Missing true_pos for label: {label}")
                elif lists_classes:
                    logger.info(f"class{label}: {precision:g}")
            found[k] = np.asarray(mean_average_precision(precisions))
        return found
