"""Training curves: values of loss, accuracy and learning rate over iterations or seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from minicaffe.analysis.training_log import LogRow, TrainingLog

if TYPE_CHECKING:
    from minicaffe.schema import SolverParameter

Values = npt.NDArray[np.float64]

_WIDE_RANGE = 20.0  # learning rates of a larger ratio get a logarithmic axis

_START_SHARE = 0.05  # of a curve: its first points
_LEAST_POINTS = 5  # of a curve whose first points may lie outside
_MOST_CLIPPED_SHARE = (
    1 / 3
)  # of the axis is left for the other points if the first ones are clipped
Y_MARGIN = 0.12  # of the y axis, with room for the best value


@dataclass
class Curve:
    """One line of a chart.

    Attributes
    ----------
    label : str
    x, y : ndarray
        The line has a gap where y is NaN.
    run : int
        Index of the run, which determines the colour.
    nth : int
        Index among the run's test curves, which determines the marker; -1 for a training curve.
    stepped : bool
        Whether a value holds until the next point, like a learning rate; never averaged.
    best : "", "lowest" or "highest"
        Which value is the best and is marked; none if empty.
    """

    label: str
    x: Values
    y: Values
    run: int = 0
    nth: int = -1
    stepped: bool = False
    best: Literal["", "lowest", "highest"] = ""


@dataclass
class Panel:
    """One chart.

    Attributes
    ----------
    title : str
        Of the y axis.
    curves : list of Curve
    logarithmic : bool
        Whether the y axis is logarithmic.
    clips_start : bool
        Whether first points far from all others may lie outside the axes.
    """

    title: str
    curves: list[Curve] = field(default_factory=list)
    logarithmic: bool = False
    clips_start: bool = False


def output_curve(
    label: str, rows: Sequence[LogRow], name: str, by: str, run: int, nth: int = -1
) -> Curve:
    """Return one net output of a log as a curve over "iterations" or "seconds"."""
    chosen = [row for row in rows if name in row.values]
    x = [row.iteration if by == "iterations" else row.seconds for row in chosen]
    return Curve(label, np.array(x, float), np.array([r.values[name] for r in chosen]), run, nth)


def best_of_tests(log: TrainingLog, name: str) -> Literal["lowest", "highest"]:
    """Return which value of a test output is the best: the lowest of losses and errors."""
    from minicaffe.solver.scores.model_selection import is_cost

    return "lowest" if name in log.loss_names or is_cost(name) else "highest"


def rate_curve(log: TrainingLog, label: str, by: str, run: int) -> Curve:
    """Return the learning rate of a log as a stepped curve."""
    rows = log.loss or log.train
    x = [row.iteration if by == "iterations" else row.seconds for row in rows]
    y = [log.rate_at(row.iteration) for row in rows]
    return Curve(label, np.array(x, float), np.array(y, float), run, stepped=True)


def training_panels(
    logs: Sequence[TrainingLog], by: str = "iterations", logarithmic: bool = False
) -> list[Panel]:
    """Return the charts of several runs: loss, other net outputs, learning rate."""
    loss = Panel("loss", logarithmic=logarithmic, clips_start=True)
    other = Panel("accuracy", clips_start=True)
    rate = Panel("learning rate")
    names = short_names([log.path for log in logs])
    for run, (log, name) in enumerate(zip(logs, names, strict=True)):
        prefix = f"{name}: " if len(logs) > 1 else ""
        loss.curves.append(output_curve(f"{prefix}train loss", log.loss, "loss", by, run))
        for kind, rows in (("train", log.train), ("test", log.test)):
            for output in log.names(rows):
                panel = loss if output in log.loss_names else other
                if kind == "train" and panel is loss:
                    continue  # the iteration lines contain the smoothed sum of these
                earlier = [c for c in panel.curves if c.run == run and c.nth >= 0]
                nth = -1 if kind == "train" else len(earlier)
                label = f"{prefix}{kind} {output}"
                one = output_curve(label, rows, output, by, run, nth)
                if kind == "test":
                    one.best = best_of_tests(log, output)
                panel.curves.append(one)
        rate.curves.append(rate_curve(log, name if len(logs) > 1 else "", by, run))
    rate.logarithmic = _is_wide(rate.curves)
    return [panel for panel in (loss, other, rate) if any(len(c.x) for c in panel.curves)]


def best_point(one: Curve) -> int | None:
    """Return the index of a curve's best value, the first one of equal values."""
    if not one.best or not np.isfinite(one.y).any():
        return None
    values = -one.y if one.best == "lowest" else one.y
    return int(np.where(np.isfinite(one.y), values, -np.inf).argmax())


def clipped_range(panel: Panel) -> tuple[float, float, str] | None:
    """Return the range of y without points that squeeze all others, and a note about them.

    These are first points, and those of curves that become NaN or infinite beside others that do
    not. None if the whole range is to be shown.
    """
    steady = [one for one in panel.curves if np.isfinite(one.y).all()]
    diverging = [one.y for one in panel.curves if not np.isfinite(one.y).all()]
    if not steady:
        steady, diverging = panel.curves, []
    if panel.logarithmic or not panel.clips_start or not steady:
        return None
    if any(np.isfinite(one.y).sum() < _LEAST_POINTS for one in steady):
        return None
    starts = [one.x <= one.x[0] + _START_SHARE * (one.x[-1] - one.x[0]) for one in steady]
    rest = np.concatenate([one.y[~start] for one, start in zip(steady, starts, strict=True)])
    starting = [one.y[start] for one, start in zip(steady, starts, strict=True)]
    first = np.concatenate([*starting, *diverging])
    rest, first = rest[np.isfinite(rest)], first[np.isfinite(first)]
    if not len(rest) or not len(first):
        return None
    low, high = float(rest.min()), float(rest.max())
    extent = max(high, first.max()) - min(low, first.min())
    if high - low >= _MOST_CLIPPED_SHARE * extent:
        return None
    room = Y_MARGIN * ((high - low) or abs(high) or 1.0)
    low, high = low - room, high + room
    outside = np.sort(first[(first < low) | (first > high)])
    if not len(outside):
        return None
    values = f"{outside[0]:.4g}" + (f" to {outside[-1]:.4g}" if np.ptp(outside) else "")
    points = "a first point is" if len(outside) == 1 else "first points are"
    if diverging:
        points = "values of diverging curves, or first points, are"
    return low, high, f"{points} outside the axis: {values}"


def short_names(paths: Sequence[str]) -> list[str]:
    """Return the stem of each file, preceded by its folder if stems are not unique."""
    stems = [Path(path).stem for path in paths]
    if len(set(stems)) == len(stems):
        return stems
    return [f"{Path(path).resolve().parent.name}/{Path(path).stem}" for path in paths]


def _is_wide(curves: Sequence[Curve]) -> bool:
    values = np.concatenate([c.y[np.isfinite(c.y)] for c in curves] or [np.zeros(0)])
    return bool(len(values) and values.min() > 0 and values.max() > _WIDE_RANGE * values.min())


def rate_panel(params: Sequence[SolverParameter], names: Sequence[str]) -> Panel:
    """Return the learning-rate schedules of solvers as curves over all iterations.

    Parameters
    ----------
    params : sequence of SolverParameter
        Their learning-rate settings must be valid: see `lr_policy_problems`.
    names : sequence of str
        Of the solvers, for the legend.
    """
    from minicaffe.solver.lr_policy import horizon, learning_rate

    panel = Panel("learning rate")
    for run, (param, name) in enumerate(zip(params, names, strict=True)):
        x = _iterations(param, horizon(param))
        y = np.array([learning_rate(param, int(i)) for i in x])
        panel.curves.append(Curve(f"{name} ({param.lr_policy})", x.astype(float), y, run))
    panel.logarithmic = _is_wide(panel.curves)
    return panel


def _iterations(param: SolverParameter, horizon: int) -> npt.NDArray[np.int64]:
    """Return up to 2,001 evenly spaced iterations, and those next to each step."""
    last = max(horizon, 1)
    points = set(np.linspace(0, last, min(last + 1, 2001)).astype(int).tolist())
    steps = [*param.stepvalue, *(i + 1 for i in param.stageiter)]
    steps += [param.warmup_iter, param.rampup_interval]
    if param.lr_policy == "step" and last // param.stepsize < 1000:
        steps = list(range(param.stepsize, last + 1, param.stepsize))
    points.update(i for step in steps for i in (step - 1, step) if 0 <= i <= last)
    return np.array(sorted(points))
