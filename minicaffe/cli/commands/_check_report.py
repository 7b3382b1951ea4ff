"""Report of the command check: facts about a training, then its problems."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing

from minicaffe.analysis.training_check.finding import Finding
from minicaffe.analysis.training_check.net_check import (
    class_findings,
    input_findings,
    surveys_of,
    transform_findings,
    transform_text,
    value_range,
)
from minicaffe.analysis.training_check.source_survey import SourceSurvey
from minicaffe.analysis.training_check.trial import Trial, try_iterations
from minicaffe.blob import Blob
from minicaffe.cli.commands.summarize import bytes_text
from minicaffe.cli.data_checks import warn_of_repeated_samples, warn_of_unfilled_inputs
from minicaffe.errors import MinicaffeError
from minicaffe.layers import Layer
from minicaffe.layers.batch_layer import BatchLayer
from minicaffe.log import collected_warnings
from minicaffe.net import Net
from minicaffe.ops.backend import Backend
from minicaffe.schema import SolverSource
from minicaffe.solver.averaging.share import averages_weights
from minicaffe.solver.memory import host_demand
from minicaffe.solver.solver import Solver
from minicaffe.text.durations import duration_text

_MOST_OUTPUTS = 6


class TrainingReport:
    """Checks a training, and holds what was found.

    Parameters
    ----------
    source : SolverSource

    Attributes
    ----------
    findings : list of Finding
    """

    def __init__(self, source: SolverSource) -> None:
        self._source = source
        self._facts: list[str] = []
        self.findings: list[Finding] = []

    def check(self, choose: Callable[[], Backend]) -> None:
        """Make all checks, as far as errors allow; `choose` returns the backend."""
        with collected_warnings() as warnings:
            try:
                with closing(Solver(self._source, choose())) as solver:
                    self._check_solver(solver)
            except MinicaffeError as error:
                lines = str(error).splitlines()
                self.findings += [Finding(line, is_error=True) for line in lines]
        logged = [Finding(one.text, one.is_obstacle) for one in warnings]
        self.findings = sorted([*self.findings, *logged], key=lambda finding: not finding.is_error)

    def lines(self) -> Iterator[str]:
        """Yield the report."""
        n_errors = sum(finding.is_error for finding in self.findings)
        n_warnings = len(self.findings) - n_errors
        counts = [_count(n_errors, "error"), _count(n_warnings, "warning")]
        result = ", ".join(filter(None, counts)) or "no problem found"
        yield f"{self._source.path}: {result}"
        yield from self._facts
        for finding in self.findings:
            yield f"{'error' if finding.is_error else 'warning':<10} {finding.text}"

    def _check_solver(self, solver: Solver) -> None:
        nets = (solver.net, *solver.test_nets)
        for net in nets:
            warn_of_unfilled_inputs(net)
        for net, batches in zip(solver.test_nets, solver.param.test_iter, strict=False):
            warn_of_repeated_samples(net, batches)
        self.findings += transform_findings(solver.net, solver.test_nets)
        surveys: dict[Layer, SourceSurvey] = {}
        for net in nets:
            of_net = surveys_of(net)
            for survey in of_net.values():
                self.findings += survey.findings()
            self.findings += class_findings(net, of_net)
            surveys |= of_net
        self._add_net(solver)
        blocked = any(finding.is_error for finding in self.findings)
        trial = None if blocked else try_iterations(solver)
        for number, net in enumerate(nets):
            name = f"test #{number - 1}" if number else "train"
            self._facts += _data_lines(name, net, surveys, has_values=trial is not None)
            if trial is not None:
                self.findings += input_findings(net)
        self._add_outputs(solver)
        if trial is not None:
            self._add_trial(solver, trial)

    def _add_net(self, solver: Solver) -> None:
        net = solver.net
        n = sum(parameter.blob.count for parameter in net.parameters)
        backend = solver.backend.description
        text = f'"{net.name}", {_count(len(net.layers), "layer")}, {n:,} parameters; {backend}'
        self._facts.append(_fact("net", text))
        n_kept = solver.rule.n_history + averages_weights(solver.param)
        demand = host_demand(net, solver.test_nets, n_kept)
        self._facts.append(_fact("memory", f"at least {bytes_text(demand.total)} for the training"))

    def _add_outputs(self, solver: Solver) -> None:
        for name, net in (("outputs", solver.net), *(("", one) for one in solver.test_nets[:1])):
            shown = [_named_shape(blob) for blob in net.outputs[:_MOST_OUTPUTS]]
            rest = len(net.outputs) - len(shown)
            text = ", ".join(shown) + (f" and {rest} more" if rest else "")
            self._facts.append(_fact(name or "  of tests", text or "none"))

    def _add_trial(self, solver: Solver, trial: Trial) -> None:
        param, samples = solver.param, 0
        layer = next((one for one in solver.net.layers if isinstance(one, BatchLayer)), None)
        if layer is not None:
            samples = layer.source.shapes[0][0] * param.iter_size
        speed = f" ({samples / trial.iteration_s:,.0f} samples/s)" if samples else ""
        total = f"{_time(trial.total_s)} for {param.max_iter:,} iterations"
        if trial.test_s:
            total += f", with tests of {_time(trial.test_s)}"
        self._facts.append(_fact("loss", f"{trial.loss:.4g} in the first iteration"))
        self._facts.append(
            _fact("time", f"{1000 * trial.iteration_s:.3g} ms an iteration{speed}; {total}")
        )


def _data_lines(
    name: str, net: Net, surveys: Mapping[Layer, SourceSurvey], has_values: bool
) -> Iterator[str]:
    """Yield lines about the data layers of a net."""
    for step in net.steps:
        layer = step.layer
        if not isinstance(layer, BatchLayer):
            continue
        tops = ", ".join(_named_shape(blob) for blob in step.top)
        values = f"; values {value_range(step.top[0].data.get())}" if has_values else ""
        transform = transform_text(layer)
        yield _fact(name, f"{tops}{values}" + (f"; {transform}" if transform else ""))
        if layer in surveys:
            yield _fact("", _survey_text(surveys[layer]))
        name = ""


def _survey_text(survey: SourceSurvey) -> str:
    if survey.n is None:
        return "unknown number of samples"
    text = f"{_count(survey.n, 'sample')}, {_count(-(-survey.n // survey.batch), 'batch')}"
    if not survey.label_counts or len(survey.layer.param.top) < 2:
        return text
    labels, counts = survey.label_counts, survey.label_counts.values()
    each = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    text += (
        f"; labels {min(labels)} to {max(labels)}, {len(labels)} different, each of {each} samples"
    )
    return text + ("" if survey.is_whole else f" in the first {labels.total()}")


def _named_shape(blob: Blob) -> str:
    return " ".join(filter(None, (blob.name, " x ".join(map(str, blob.shape)))))


def _time(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 60 else duration_text(seconds)


def _fact(name: str, text: str) -> str:
    return f"{name:<10} {text}"


def _count(n: int, noun: str) -> str:
    ending = "" if n == 1 else "es" if noun.endswith("ch") else "s"
    return f"{n} {noun}{ending}" if n else ""
