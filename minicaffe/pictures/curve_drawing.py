"""Drawing of curves as charts below each other, with a legend beside each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from minicaffe.pictures.curves import Y_MARGIN, Curve, Panel, Values, best_point, clipped_range
from minicaffe.pictures.figure import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Twelve colours whose differences are visible on white; more runs get colours of a rainbow.
COLOURS = (
    *("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf"),
    *("#8c564b", "#7f7f7f", "#e377c2", "#bcbd22", "#1b2a6b", "#000000"),
)
_MARKERS = "os^Dv<>p"
_FEW_POINTS = 60  # test curves of more points are drawn without markers
_DASH_PT = 7.0  # of each of several equal curves
_MOST_ROWS = 26  # of a column of a legend
_ROW_IN, _LEAST_PANEL_IN = 0.165, 2.9
_NOTE = "#a00000"


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
    columns = max((_legend_columns(panel) for panel in panels), default=0)
    heights = [_panel_height(panel) for panel in panels]
    figure = new_figure(8.5 + 2.5 * columns, 1.2 + sum(heights))
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axis, panel in zip(axes, panels, strict=True):
        _draw_panel(axis, panel, average)
    figure.align_ylabels(axes)
    axes[-1].set_xlabel(x_label)
    if max((one.x.max() for p in panels for one in p.curves if len(one.x)), default=0) >= 10:
        axes[-1].xaxis.set_major_formatter("{x:,.0f}")
    return figure


def _legend_columns(panel: Panel) -> int:
    return -(-len(panel.curves) // _MOST_ROWS) if panel.curves and panel.curves[0].label else 0


def _panel_height(panel: Panel) -> float:
    columns = _legend_columns(panel)
    rows = -(-len(panel.curves) // columns) if columns else 0
    return max(_LEAST_PANEL_IN, rows * _ROW_IN + 0.3)


def _draw_panel(axis: Axes, panel: Panel, average: int) -> None:
    colours = run_colours(1 + max((one.run for one in panel.curves), default=0))
    if panel.logarithmic:
        axis.set_yscale("log")
    turns = equal_curves(panel.curves)
    for one, (turn, n) in zip(panel.curves, turns, strict=True):
        _draw_curve(axis, one, colours[one.run], average if n == 1 else 1)
        if n > 1:
            # Dashes in turns, because only the last one of equal lines would be seen.
            axis.lines[-1].set_linestyle((turn * _DASH_PT, (_DASH_PT, (n - 1) * _DASH_PT)))
            axis.lines[-1].set_dash_capstyle("butt")
    if any(one.best for one in panel.curves):
        axis.margins(y=Y_MARGIN)
    notes = [_clip_start(axis, panel)]
    if any(n > 1 for _, n in turns):
        notes.append("dashes of several colours: equal curves")
    axis.set_title("; ".join(filter(None, notes)), loc="left", fontsize=8, color=_NOTE)
    _mark_best(axis, panel, colours)
    _note_not_finite(axis, panel, colours)
    axis.set_ylabel(panel.title)
    axis.grid(True, color="#e4e4e4", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    _draw_legend(axis, panel)


def run_colours(n: int) -> list[str]:
    """Return colours for `n` runs, as different as possible, as in HTML."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    if n <= len(COLOURS):
        return list(COLOURS[:n])
    return [to_hex(colour) for colour in colormaps["turbo"](np.linspace(0.02, 0.98, n))]


def equal_curves(curves: Sequence[Curve]) -> list[tuple[int, int]]:
    """Return, for each curve, its place among the curves that equal it and their number.

    Curves of different length are equal if the longer one begins with the shorter one.
    """
    groups: list[list[int]] = []
    for k, one in enumerate(curves):
        group = next((g for g in groups if all(_are_equal(one, curves[i]) for i in g)), None)
        if group is None:
            groups.append([k])
        else:
            group.append(k)
    places = {k: (turn, len(group)) for group in groups for turn, k in enumerate(group)}
    return [places[k] for k in range(len(curves))]


def _are_equal(a: Curve, b: Curve) -> bool:
    n = min(len(a.x), len(b.x))
    same_y = np.array_equal(a.y[:n], b.y[:n], equal_nan=True)
    return n > 1 and np.array_equal(a.x[:n], b.x[:n]) and same_y


def _draw_curve(axis: Axes, one: Curve, colour: str, average: int) -> None:
    label = _legend_text(one)
    if one.nth >= 0:
        marker = _MARKERS[one.nth % len(_MARKERS)] if len(one.x) <= _FEW_POINTS else None
        style = ("--", ":", "-.")[one.nth % 3]
        axis.plot(one.x, one.y, style, color=colour, marker=marker, markersize=4, label=label)
    elif average > 1 and not one.stepped:
        axis.plot(one.x, one.y, color=colour, linewidth=0.8, alpha=0.25)
        axis.plot(one.x, moving_average(one.y, average), color=colour, label=label)
    else:
        marker = "." if len(one.x) == 1 else None
        style = "steps-post" if one.stepped else "default"
        axis.plot(one.x, one.y, color=colour, marker=marker, drawstyle=style, label=label)


def _legend_text(one: Curve) -> str:
    best = best_point(one)
    return one.label if best is None else f"{one.label}, best {one.y[best]:.4g}"


def moving_average(values: Values, n: int) -> Values:
    """Return the moving average of each value and up to n - 1 values before it, without NaN."""
    known = np.isfinite(values)
    sums = np.cumsum(np.where(known, values, 0.0))
    counts = np.cumsum(known)
    sums[n:], counts[n:] = sums[n:] - sums[:-n].copy(), counts[n:] - counts[:-n].copy()
    return np.where(known, sums / np.maximum(counts, 1), np.nan)


def _mark_best(axis: Axes, panel: Panel, colours: Sequence[str]) -> None:
    """Mark the best value of each curve with a ring, and the best of all with its number."""
    from matplotlib.patheffects import withStroke

    bests = [(one, k) for one in panel.curves if (k := best_point(one)) is not None]
    for one, k in bests:
        ring = axis.plot(one.x[k], one.y[k], "o", color=colours[one.run], markersize=9)[0]
        ring.set_fillstyle("none")
    for goal, choose, offset_pt in (("lowest", min, -12), ("highest", max, 12)):
        points = [(float(one.y[k]), one, k) for one, k in bests if one.best == goal]
        if not points:
            continue
        value, one, k = choose(points, key=lambda point: point[0])
        text = axis.annotate(
            f"{value:.4g}",
            (one.x[k], value),
            (0, offset_pt),
            textcoords="offset points",
            ha="center",
            va="center",
            fontweight="bold",
            color=colours[one.run],
        )
        text.set_path_effects([withStroke(linewidth=3, foreground="white")])


def _clip_start(axis: Axes, panel: Panel) -> str:
    """Leave first points that squeeze all others outside the axes; return a note about them."""
    limits = clipped_range(panel)
    if limits is None:
        return ""
    low, high, note = limits
    axis.set_ylim(low, high)
    return note


def _note_not_finite(axis: Axes, panel: Panel, colours: Sequence[str]) -> None:
    """Mark where a curve becomes NaN or infinite, because a gap does not show which."""
    notes = []
    for one in panel.curves:
        wrong = np.flatnonzero(~np.isfinite(one.y))
        if len(wrong):
            axis.axvline(one.x[wrong[0]], color=colours[one.run], linestyle=":")
            notes.append(f"{one.label}: {one.y[wrong[0]]:g} from {one.x[wrong[0]]:g} on")
    if notes:
        axis.text(0.01, 0.02, "\n".join(notes), transform=axis.transAxes, fontsize=8, color=_NOTE)


def _draw_legend(axis: Axes, panel: Panel) -> None:
    """Draw the legend beside the axes, because it would cover the curves."""
    columns = _legend_columns(panel)
    if not columns:
        return
    legend = axis.legend(
        ncols=columns,
        fontsize=8,
        loc="upper left",
        bbox_to_anchor=(1.01, 1),
        borderaxespad=0,
        handlelength=2.6,
        frameon=False,
    )
    for line, one in zip(legend.get_lines(), panel.curves, strict=True):
        # Curves in turns of dashes have gaps that are longer than a line of the legend.
        line.set_linestyle(("--", ":", "-.")[one.nth % 3] if one.nth >= 0 else "-")
