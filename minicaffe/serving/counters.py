"""Counters of a model, and their text for Prometheus.

The text is in version 0.0.4 of Prometheus' exposition format.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SAMPLES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
OUTCOMES = ("ok", "invalid", "refused", "timeout", "cancelled", "failed")


class Histogram:
    """Numbers of values up to some bounds.

    Parameters
    ----------
    bounds : sequence of float
        In ascending order.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def metric_lines(self, name: str, labels: str) -> Iterable[str]:
        """Yield the lines of a metric with some labels, ``model="m"``."""
        count = 0
        for bound, n in zip((*self._bounds, "+Inf"), self._counts, strict=True):
            count += n
            text = bound if isinstance(bound, str) else f"{bound:g}"
            yield f'{name}_bucket{{{labels},le="{text}"}} {count}'
        yield f"{name}_sum{{{labels}}} {self._total:.9g}"
        yield f"{name}_count{{{labels}}} {count}"


class ModelCounters:
    """What happened to the requests of a version of a model; one thread writes it.

    Attributes
    ----------
    outcomes : Counter
        Requests by `OUTCOMES`.
    request_seconds, queue_seconds, compute_seconds : Histogram
        From a request to its answer; from a request to its computation; of a batch.
    batch_samples : Histogram
        Samples of a batch.
    """

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter(dict.fromkeys(OUTCOMES, 0))
        self.request_seconds = Histogram(_SECONDS)
        self.queue_seconds = Histogram(_SECONDS)
        self.compute_seconds = Histogram(_SECONDS)
        self.batch_samples = Histogram(_SAMPLES)


class _Counted(Protocol):
    @property
    def counters(self) -> ModelCounters: ...
    @property
    def queue_length(self) -> int: ...


_HISTOGRAMS = {
    "request_seconds": "Seconds from a request that was answered to its answer.",
    "queue_seconds": "Seconds from a request to its computation.",
    "compute_seconds": "Seconds of the computation of a batch.",
    "batch_samples": "Samples of a batch.",
}


def prometheus_text(models: Mapping[tuple[str, str], _Counted]) -> str:
    """Return the counters of models, by name and version.

    Parameters
    ----------
    models : mapping of (str, str) to object
        With `counters` and `queue_length`.
    """
    labelled = [
        (f'model="{_escaped(name)}",version="{_escaped(version)}"', model)
        for (name, version), model in models.items()
    ]
    lines = [
        "# HELP minicaffe_requests_total Requests by outcome.",
        "# TYPE minicaffe_requests_total counter",
    ]
    for labels, model in labelled:
        lines += [
            f'minicaffe_requests_total{{{labels},outcome="{outcome}"}} {n}'
            for outcome, n in model.counters.outcomes.items()
        ]
    lines += [
        "# HELP minicaffe_queue_length Requests that wait for their computation.",
        "# TYPE minicaffe_queue_length gauge",
        *(f"minicaffe_queue_length{{{labels}}} {one.queue_length}" for labels, one in labelled),
    ]
    for name, text in _HISTOGRAMS.items():
        lines += [f"# HELP minicaffe_{name} {text}", f"# TYPE minicaffe_{name} histogram"]
        for labels, model in labelled:
            histogram: Histogram = getattr(model.counters, name)
            lines += histogram.metric_lines(f"minicaffe_{name}", labels)
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
