"""Training curves: loss, accuracy and learning rate over iterations or seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from minicaffe.analysis.training_log import LogRow, TrainingLog
from minicaffe.pictures.figure import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from minicaffe.schema import SolverParameter

Values = npt.NDArray[np.float64]

_COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#7f7f7f")
_MARKERS = "os^Dv<>p"
_FEW_POINTS = 60  # test curves of more points are drawn without markers
_WIDE_RANGE = 20.0  # learning rates of a larger ratio get a logarithmic axis
_MOST_LEGEND_ROWS = 6
_MOST_OUTSIDE_ROWS = 16  # of a legend beside the axes


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
    """

    label: str
    x: Values
    y: Values
    run: int = 0
    nth: int = -1
    stepped: bool = False


@dataclass
class Panel:
    """One chart: the title of its y axis and its curves."""

    title: str
    curves: list[Curve] = field(default_factory=list)
    logarithmic: bool = False


def output_curve(
    label: str, rows: Sequence[LogRow], name: str, by: str, run: int, nth: int = -1
) -> Curve:
    """Return one net output of a log as a curve over "iterations" or "seconds"."""
    chosen = [row for row in rows if name in row.values]
    x = [row.iteration if by == "iterations" else row.seconds for row in chosen]
    return Curve(label, np.array(x, float), np.array([r.values[name] for r in chosen]), run, nth)


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
    loss, other = Panel("loss", logarithmic=logarithmic), Panel("accuracy")
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
                panel.curves.append(output_curve(label, rows, output, by, run, nth))
        rate.curves.append(rate_curve(log, name if len(logs) > 1 else "", by, run))
    rate.logarithmic = _is_wide(rate.curves)
    return [panel for panel in (loss, other, rate) if any(len(c.x) for c in panel.curves)]


def short_names(paths: Sequence[str]) -> list[str]:
    """Return the stem of each file, preceded by its folder if stems are not unique."""
    stems = [Path(path).stem for path in paths]
    if len(set(stems)) == len(stems):
        return stems
    return [f"{Path(path).resolve().parent.name}/{Path(path).stem}" for path in paths]


def _is_wide(curves: Sequence[Curve]) -> bool:
    values = np.concatenate([c.y[np.isfinite(c.y)] for c in curves] or [np.zeros(0)])
    return bool(len(values) and values.min() > 0 and values.max() > _WIDE_RANGE * values.min())


def draw_curves(panels: Sequence[Panel], x_label: str, average: int = 1) -> Figure:
    """Draw charts below each other with a common x axis.

    Parameters
    ----------
    panels : sequence of Panel
    x_label : str
    average : int
        Number of points of the moving average, drawn over a faint training curve.

    Returns
    -------
    matplotlib.figure.Figure
    """
    has_long_legend = any(len(panel.curves) > _MOST_LEGEND_ROWS for panel in panels)
    figure = new_figure(12 if has_long_legend else 9, 1.2 + 2.9 * len(panels))
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axis, panel in zip(axes, panels, strict=True):
        for one in panel.curves:
            _draw_curve(axis, one, average)
        _note_not_finite(axis, panel)
        axis.set_ylabel(panel.title)
        axis.grid(True, color="#e4e4e4", linewidth=0.8)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
        if panel.logarithmic:
            axis.set_yscale("log")
        _legend(axis, panel)
    figure.align_ylabels(axes)
    axes[-1].set_xlabel(x_label)
    if max((one.x.max() for p in panels for one in p.curves if len(one.x)), default=0) >= 10:
        axes[-1].xaxis.set_major_formatter("{x:,.0f}")
    return figure


def _draw_curve(axis: Axes, one: Curve, average: int) -> None:
    colour = _COLOURS[one.run % len(_COLOURS)]
    if one.nth >= 0:
        marker = _MARKERS[one.nth % len(_MARKERS)] if len(one.x) <= _FEW_POINTS else None
        style = ("--", ":", "-.")[one.nth % 3]
        axis.plot(one.x, one.y, style, color=colour, marker=marker, markersize=4, label=one.label)
    elif average > 1 and not one.stepped:
        axis.plot(one.x, one.y, color=colour, linewidth=0.8, alpha=0.25)
        axis.plot(one.x, moving_average(one.y, average), color=colour, label=one.label)
    else:
        marker = "." if len(one.x) == 1 else None
        style = "steps-post" if one.stepped else "default"
        axis.plot(one.x, one.y, color=colour, marker=marker, drawstyle=style, label=one.label)


def moving_average(values: Values, n: int) -> Values:
    """Return the moving average of each value and up to n - 1 values before it, without NaN."""
    known = np.isfinite(values)
    sums = np.cumsum(np.where(known, values, 0.0))
    counts = np.cumsum(known)
    sums[n:], counts[n:] = sums[n:] - sums[:-n].copy(), counts[n:] - counts[:-n].copy()
    return np.where(known, sums / np.maximum(counts, 1), np.nan)


def _note_not_finite(axis: Axes, panel: Panel) -> None:
    """Mark where a curve becomes NaN or infinite, because a gap does not show which."""
    notes = []
    for one in panel.curves:
        wrong = np.flatnonzero(~np.isfinite(one.y))
        if len(wrong):
            axis.axvline(one.x[wrong[0]], color=_COLOURS[one.run % len(_COLOURS)], linestyle=":")
            notes.append(f"{one.label}: {one.y[wrong[0]]:g} from {one.x[wrong[0]]:g} on")
    if notes:
        axis.text(0.01, 0.02, "\n".join(notes), transform=axis.transAxes, fontsize=8, color="#a00")


def _legend(axis: Axes, panel: Panel) -> None:
    if panel.curves and panel.curves[0].label:
        n = len(panel.curves)
        if n <= _MOST_LEGEND_ROWS:
            axis.legend(fontsize=8, framealpha=0.8)
            return
        # Beside the axes, because a long legend would cover the curves.
        columns = -(-n // _MOST_OUTSIDE_ROWS)
        size = {1: 7, 2: 6}.get(columns, 5)
        axis.legend(
            ncols=columns,
            fontsize=size,
            loc="upper left",
            bbox_to_anchor=(1.01, 1),
            borderaxespad=0,
        )


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
