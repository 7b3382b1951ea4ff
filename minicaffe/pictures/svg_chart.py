"""Charts of curves as SVG: without matplotlib, in colours for light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

import numpy as np

from minicaffe.pictures.curves import (
    Y_MARGIN,
    Curve,
    Panel,
    Values,
    best_point,
    clipped_range,
)

_WIDTH, _HEIGHT = 720, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 22, 34
_TICKS = 6
_COLOURS = 6  # the variables --c0 to --c5 of the page

# On a narrow screen a chart scrolls, because its text would be too small otherwise.
CHART_STYLE = """
.scroll { overflow-x: auto; }
.chart { min-width: 36em; }
.chart text { font: 12px system-ui, sans-serif; fill: var(--ink); }
.chart .grid { stroke: var(--line); }
.chart .note { fill: var(--grey); }
.chart polyline, .chart circle { fill: none; stroke-width: 2; }
.key svg { vertical-align: middle; }
.key span { margin-right: 1.5em; white-space: nowrap; }
"""


@dataclass(frozen=True)
class _Scale:
    """Map of values from `low` to `high` to pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def place(self, value: float) -> float:
        """Return the place of a value, pixels."""
        if self.is_log:
            value = math.log10(value)
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return round numbers: about six, or the powers of ten."""
        if self.is_log:
            return [10.0**k for k in range(math.ceil(self.low), math.floor(self.high) + 1)]
        if not self.high > self.low:
            return [self.low]
        raw = (self.high - self.low) / _TICKS
        power = 10.0 ** math.floor(math.log10(raw))
        step = next((power * k for k in (1, 2, 5) if power * k >= raw), 10 * power)
        return [
            step * k for k in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)
        ]


def svg_chart(panel: Panel, x_label: str) -> str:
    """Return a chart as HTML: an SVG element and its key.

    Its colours are the variables --ink, --grey, --line and --c0 to --c5 of the page.
    """
    title = escape(panel.title)
    curves = [one for one in panel.curves if np.isfinite(one.y).any()]
    if not curves:
        return f"<p>{title}: no finite values.</p>"
    x, (y, note) = _x_scale(curves), _y_scale(panel, curves)
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    area = f"{_LEFT} {_TOP} {right - _LEFT} {bottom - _TOP}"
    parts = [
        '<div class="scroll">'
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}">',
        *_grid(x, y),
        f'<text x="{_LEFT}" y="14" style="font-weight:bold">{title}</text>',
        f'<text class="note" x="{right}" y="14" text-anchor="end">{escape(note)}</text>',
        f'<text x="{right}" y="{_HEIGHT - 4}" text-anchor="end">{escape(x_label)}</text>',
        # An inner svg cuts what lies outside of it.
        f'<svg x="{_LEFT}" y="{_TOP}" width="{right - _LEFT}" height="{bottom - _TOP}" '
        f'viewBox="{area}">',
    ]
    for k, one in enumerate(curves):
        parts += _lines(one, k, x, y)
    parts.append("</svg>")
    parts += [_ring(one, k, x, y) for k, one in enumerate(curves)]
    key = "".join(_key(one, k) for k, one in enumerate(curves) if one.label)
    return "\n".join([*parts, "</svg></div>", f'<p class="key">{key}</p>'])


def _x_scale(curves: Sequence[Curve]) -> _Scale:
    x = np.concatenate([one.x for one in curves])
    return _Scale(float(x.min()), float(x.max()), _LEFT, _WIDTH - _RIGHT)


def _y_scale(panel: Panel, curves: Sequence[Curve]) -> tuple[_Scale, str]:
    """Return the scale of y, and a note about first points that lie outside."""
    y = np.concatenate([one.y[np.isfinite(one.y)] for one in curves])
    ends = _HEIGHT - _BOTTOM, _TOP
    if clipped := clipped_range(panel):
        return _Scale(*clipped[:2], *ends), clipped[2]
    is_log = panel.logarithmic and bool((y > 0).all())
    values = np.log10(y) if is_log else y
    low, high = float(values.min()), float(values.max())
    room = Y_MARGIN * ((high - low) or abs(high) or 1.0)
    return _Scale(low - room, high + room, *ends, is_log), ""


def _grid(x: _Scale, y: _Scale) -> Iterator[str]:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    for value in x.ticks():
        at = f"{x.place(value):.1f}"
        yield f'<path class="grid" d="M{at} {_TOP}V{bottom}"/>'
        yield f'<text x="{at}" y="{bottom + 15}" text-anchor="middle">{value:,.10g}</text>'
    for value in y.ticks():
        at = f"{y.place(value):.1f}"
        yield f'<path class="grid" d="M{_LEFT} {at}H{right}"/>'
        yield f'<text x="{_LEFT - 6}" y="{at}" dy="4" text-anchor="end">{value:.4g}</text>'


def _paint(one: Curve, k: int) -> str:
    dash = "stroke-dasharray:6 3" if one.nth >= 0 else ""
    return f'style="stroke:var(--c{k % _COLOURS});{dash}"'


def _lines(one: Curve, k: int, x: _Scale, y: _Scale) -> Iterator[str]:
    """Yield a line for each run of finite values."""
    known = np.isfinite(one.y).tolist()
    for is_known, group in groupby(range(len(known)), key=known.__getitem__):
        part = list(group)
        if is_known:
            corners = _corners(one, part)
            points = " ".join(f"{x.place(a):.1f},{y.place(b):.1f}" for a, b in corners)
            yield f'<polyline points="{points}" {_paint(one, k)}/>'


def _ring(one: Curve, k: int, x: _Scale, y: _Scale) -> str:
    best = best_point(one)
    if best is None:
        return ""
    at = f'cx="{x.place(float(one.x[best])):.1f}" cy="{y.place(float(one.y[best])):.1f}"'
    return f'<circle {at} r="5" style="stroke:var(--c{k % _COLOURS})"/>'


def _corners(one: Curve, part: Sequence[int]) -> Iterator[tuple[float, float]]:
    """Yield the points of a line; a stepped one holds each value until the next point."""
    xs: Values = one.x[list(part)]
    ys: Values = one.y[list(part)]
    for k, (a, b) in enumerate(zip(xs.tolist(), ys.tolist(), strict=True)):
        if k and one.stepped:
            yield a, float(ys[k - 1])
        yield a, b


def _key(one: Curve, k: int) -> str:
    best = best_point(one)
    text = one.label
    if best is not None:
        text += f", best {one.y[best]:.4g} at {one.x[best]:,.10g}"
    wrong = np.flatnonzero(~np.isfinite(one.y))
    if len(wrong):
        text += f", {one.y[wrong[0]]:g} from {one.x[wrong[0]]:,.10g} on"
    line = f'<path d="M0 5H28" stroke-width="2" {_paint(one, k)}/>'
    return f'<span><svg width="28" height="10">{line}</svg> {escape(text)}</span>'
