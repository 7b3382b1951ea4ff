"""Graphs drawn as SVG, and as PNG by Pillow."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path

from PIL import Image, ImageDraw

from minicaffe.atomic_file import write_atomically
from minicaffe.errors import UsageError
from minicaffe.pictures.font import font
from minicaffe.pictures.graph_layout import Layout, Point, Size, layout
from minicaffe.pictures.net_graph import Box, Graph

_TITLE_PX, _TEXT_PX, _LINE_PX, _PAD = 14, 12, 16, 8
# Fonts of browsers are wider than the one measured with.
_FONT_SLACK = 1.12
_INK, _GREY, _ARROW = "#222222", "#555555", "#777777"
_ARROW_PX, _CURVE_STEPS = 7.0, 16
_OVERSAMPLING = 2
_MOST_PIXELS = 300_000_000
TYPES = (".svg", ".png")


def draw_graph(graph: Graph, path: str | Path, direction: str = "TB") -> None:
    """Write a graph to a file, as SVG or PNG.

    Parameters
    ----------
    graph : Graph
    path : str or Path
        Its ending says which.
    direction : str
        TB, BT, LR or RL: the way that arrows point.
    """
    content = graph_bytes(graph, Path(path).suffix.lower(), direction, path)
    with write_atomically(path) as file:
        file.write(content)


def graph_bytes(graph: Graph, kind: str, direction: str = "TB", name: object = "graph") -> bytes:
    """Return a graph in the format ".svg" or ".png"; messages call it `name`."""
    if kind not in TYPES:
        raise UsageError(f"{name}: the ending says what to draw; give {' or '.join(TYPES)}")
    sizes = [_box_size(box) for box in graph.boxes]
    plan = layout(sizes, graph.arrows, direction)
    if kind == ".svg":
        return svg(graph, plan, sizes).encode()
    content = io.BytesIO()
    picture(graph, plan, sizes).save(content, "PNG", optimize=True)
    return content.getvalue()


def _box_size(box: Box) -> Size:
    texts = [(box.title, _TITLE_PX), *((line, _TEXT_PX) for line in [*box.lines, *box.riders])]
    width = max(font(px).getlength(text) for text, px in texts) * _FONT_SLACK + 2 * _PAD
    riders = len(box.riders) * _LINE_PX + (_PAD if box.riders else 0)
    return width, (1 + len(box.lines)) * _LINE_PX + 2 * _PAD + riders


def _texts(box: Box, centre: Point, size: Size) -> Iterator[tuple[str, int, str, float]]:
    """Yield the lines of a box: text, size, colour and the middle of the line."""
    y = centre[1] - size[1] / 2 + _PAD + _LINE_PX / 2
    yield box.title, _TITLE_PX, _INK, y
    for line in box.lines:
        y += _LINE_PX
        yield line, _TEXT_PX, _GREY, y
    y += _PAD
    for line in box.riders:
        y += _LINE_PX
        yield line, _TEXT_PX, _INK, y


def _rider_line(box: Box, centre: Point, size: Size) -> float | None:
    """Return the height at which the layers in place are divided off, if there are any."""
    below = len(box.riders) * _LINE_PX + _PAD
    return centre[1] + size[1] / 2 - below - _PAD / 2 if box.riders else None


def svg(graph: Graph, plan: Layout, sizes: Sequence[Size]) -> str:
    """Return a graph as SVG."""
    width, height = round(plan.width), round(plan.height)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="Helvetica, Arial, sans-serif">',
        f"<title>{escape(graph.name)}</title>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for path in plan.paths:
        parts.append(f'<path d="{_svg_path(path, plan.sideways)}" fill="none" stroke="{_ARROW}"/>')
        parts.append(f'<polygon points="{_svg_points(_head(path, plan))}" fill="{_ARROW}"/>')
    for box, centre, size in zip(graph.boxes, plan.centres, sizes, strict=True):
        parts += _svg_box(box, centre, size)
    return "\n".join([*parts, "</svg>\n"])


def _svg_box(box: Box, centre: Point, size: Size) -> Iterator[str]:
    x, y = centre[0] - size[0] / 2, centre[1] - size[1] / 2
    yield (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{size[0]:.1f}" height="{size[1]:.1f}" rx="5" '
        f'fill="{box.colour}" stroke="{_ARROW}"/>'
    )
    divide = _rider_line(box, centre, size)
    if divide is not None:
        yield f'<path d="M{x:.1f} {divide:.1f}h{size[0]:.1f}" stroke="{_ARROW}"/>'
    for text, px, colour, middle in _texts(box, centre, size):
        weight = ' font-weight="bold"' if px == _TITLE_PX else ""
        yield (
            f'<text x="{centre[0]:.1f}" y="{middle + px * 0.36:.1f}" font-size="{px}" '
            f'fill="{colour}" text-anchor="middle"{weight}>{escape(text)}</text>'
        )


def _controls(a: Point, b: Point, sideways: bool) -> tuple[Point, Point]:
    """Return the points that a curve from `a` to `b` heads for, half-way along the layout."""
    if sideways:
        half = (a[0] + b[0]) / 2
        return (half, a[1]), (half, b[1])
    half = (a[1] + b[1]) / 2
    return (a[0], half), (b[0], half)


def _svg_path(path: Sequence[Point], sideways: bool) -> str:
    curves = [
        "C" + " ".join(f"{x:.1f} {y:.1f}" for x, y in (*_controls(a, b, sideways), b))
        for a, b in pairwise(path)
    ]
    return f"M{path[0][0]:.1f} {path[0][1]:.1f}{''.join(curves)}"


def _svg_points(points: Sequence[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _head(path: Sequence[Point], plan: Layout) -> list[Point]:
    """Return the triangle at the end of an arrow."""
    (x0, y0), (x, y) = path[-2:]
    size = _ARROW_PX
    if plan.sideways:
        back = x - size if x0 < x else x + size
        return [(x, y), (back, y - size / 2), (back, y + size / 2)]
    back = y - size if y0 < y else y + size
    return [(x, y), (x - size / 2, back), (x + size / 2, back)]


def picture(graph: Graph, plan: Layout, sizes: Sequence[Size]) -> Image.Image:
    """Return a graph as a picture: shapes drawn large and reduced, so that they look smooth."""
    scale = _OVERSAMPLING
    width, height = round(plan.width), round(plan.height)
    if width * height * scale * scale > _MOST_PIXELS:
        raise UsageError(f"the picture would have {width} x {height} pixels; write an .svg instead")
    large = Image.new("RGB", (width * scale, height * scale), "white")
    pen = ImageDraw.Draw(large)
    for path in plan.paths:
        points = [(x * scale, y * scale) for x, y in _sampled(path, plan.sideways)]
        pen.line(points, fill=_ARROW, width=scale, joint="curve")
        pen.polygon([(x * scale, y * scale) for x, y in _head(path, plan)], fill=_ARROW)
    for box, centre, size in zip(graph.boxes, plan.centres, sizes, strict=True):
        _paint_box(pen, box, centre, size, scale)
    small = large.reduce(scale)
    pen = ImageDraw.Draw(small)
    for box, centre, size in zip(graph.boxes, plan.centres, sizes, strict=True):
        for text, px, colour, middle in _texts(box, centre, size):
            pen.text((centre[0], middle), text, colour, font(px), anchor="mm")
    return small


def _paint_box(pen: ImageDraw.ImageDraw, box: Box, centre: Point, size: Size, scale: int) -> None:
    left, top = centre[0] - size[0] / 2, centre[1] - size[1] / 2
    corners = [v * scale for v in (left, top, left + size[0], top + size[1])]
    pen.rounded_rectangle(corners, 5 * scale, fill=box.colour, outline=_ARROW, width=scale)
    divide = _rider_line(box, centre, size)
    if divide is not None:
        y = divide * scale
        pen.line([corners[0], y, corners[2], y], fill=_ARROW, width=scale)


def _sampled(path: Sequence[Point], sideways: bool) -> Iterator[Point]:
    """Yield points along the curves of an arrow."""
    yield path[0]
    for a, b in pairwise(path):
        p, q = _controls(a, b, sideways)
        for step in range(1, _CURVE_STEPS + 1):
            t = step / _CURVE_STEPS
            u = 1 - t
            weights = u**3, 3 * u * u * t, 3 * u * t * t, t**3
            xs, ys = zip(a, p, q, b, strict=True)
            x, y = (sum(w * v for w, v in zip(weights, vs, strict=True)) for vs in (xs, ys))
            yield x, y
