"""Rendering of a graph of a net: as SVG, and as PNG by Pillow.

The SVG is light, and dark where the reader's browser prefers dark pages. Programs that do not know
this rule draw the colours in the attributes, which are those of the light one.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path

from PIL import Image, ImageDraw

from minicaffe.atomic_file import write_atomically
from minicaffe.errors import UsageError
from minicaffe.pictures.font import font, text_length
from minicaffe.pictures.graph_layout import GraphLayout, Point, Size, lay_out_graph
from minicaffe.pictures.grid import MOST_PIXELS
from minicaffe.pictures.net_graph import DARK_COLOURS, Graph, GraphNode

_TITLE_PX, _TEXT_PX, _LINE_PX, _PAD = 14, 12, 16, 8
# Text is measured in Pillow's font; fonts of browsers are wider.
_FONT_SLACK = 1.12
_INK, _GREY, _ARROW, _PAPER = "#222222", "#555555", "#777777", "#ffffff"
# Of each colour, the one on a dark page.
DARK = {_INK: "#e6e9ed", _GREY: "#b4bcc6", _ARROW: "#8d96a1", _PAPER: "#15191e", **DARK_COLOURS}
_ARROW_PX, _CURVE_STEPS = 7.0, 16
_OVERSAMPLING = 2
GRAPH_TYPES = (".svg", ".png")


def draw_graph(graph: Graph, path: str | Path, direction: str = "TB") -> None:
    """Render a graph to an SVG or PNG file.

    Parameters
    ----------
    graph : Graph
    path : str or Path
        The extension selects the format.
    direction : str
        Direction of the arrows: TB, BT, LR or RL.
    """
    content = graph_bytes(graph, Path(path).suffix.lower(), direction, path)
    with write_atomically(path) as file:
        file.write(content)


def graph_bytes(graph: Graph, kind: str, direction: str = "TB", name: object = "graph") -> bytes:
    """Return a graph in the format ".svg" or ".png"; `name` identifies it in messages."""
    if kind not in GRAPH_TYPES:
        raise UsageError(
            f"{name}: unknown type of drawing; the extension must be {' or '.join(GRAPH_TYPES)}"
        )
    sizes, plan = _planned(graph, direction)
    if kind == ".svg":
        return graph_svg(graph, plan, sizes).encode()
    content = io.BytesIO()
    graph_image(graph, plan, sizes).save(content, "PNG", optimize=True)
    return content.getvalue()


def page_svg(graph: Graph) -> str:
    """Return a graph as SVG for a page whose style sheet has the rules of `DARK`.

    Each node is a group with its number in ``data-node``.
    """
    sizes, plan = _planned(graph, "TB")
    return graph_svg(graph, plan, sizes, has_style=False)


def _planned(graph: Graph, direction: str) -> tuple[list[Size], GraphLayout]:
    sizes = [_node_size(node) for node in graph.nodes]
    return sizes, lay_out_graph(sizes, graph.arrows, direction)


def _node_size(node: GraphNode) -> Size:
    texts = [(node.title, _TITLE_PX), *((line, _TEXT_PX) for line in [*node.lines, *node.in_place])]
    width = max(text_length(text, px) for text, px in texts) * _FONT_SLACK + 2 * _PAD
    in_place = len(node.in_place) * _LINE_PX + (_PAD if node.in_place else 0)
    return width, (1 + len(node.lines)) * _LINE_PX + 2 * _PAD + in_place


def _texts(node: GraphNode, centre: Point, size: Size) -> Iterator[tuple[str, int, str, float]]:
    """Yield the lines of a node: text, size in pixels, colour and y of the middle."""
    y = centre[1] - size[1] / 2 + _PAD + _LINE_PX / 2
    yield node.title, _TITLE_PX, _INK, y
    for line in node.lines:
        y += _LINE_PX
        yield line, _TEXT_PX, _GREY, y
    y += _PAD
    for line in node.in_place:
        y += _LINE_PX
        yield line, _TEXT_PX, _INK, y


def _divider_y(node: GraphNode, centre: Point, size: Size) -> float | None:
    """Return the y of the line above the in-place layers, None if there are none."""
    below = len(node.in_place) * _LINE_PX + _PAD
    return centre[1] + size[1] / 2 - below - _PAD / 2 if node.in_place else None


def graph_svg(
    graph: Graph, plan: GraphLayout, sizes: Sequence[Size], has_style: bool = True
) -> str:
    """Return a graph as SVG, with the rules for dark pages if `has_style`."""
    width, height = round(plan.width), round(plan.height)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="Helvetica, Arial, sans-serif">',
        f"<title>{escape(graph.name)}</title>",
        *([_dark_style()] if has_style else []),
        f'<rect width="{width}" height="{height}" {_painted("fill", _PAPER)}/>',
    ]
    for path in plan.paths:
        line, head = _svg_path(path, plan.sideways), _svg_points(_head(path, plan))
        parts.append(f'<path d="{line}" fill="none" {_painted("stroke", _ARROW)}/>')
        parts.append(f'<polygon points="{head}" {_painted("fill", _ARROW)}/>')
    placed = zip(graph.nodes, plan.centres, sizes, strict=True)
    for k, (node, centre, size) in enumerate(placed):
        parts += [f'<g data-node="{k}">', *_svg_node(node, centre, size), "</g>"]
    return "\n".join([*parts, "</svg>\n"])


def _dark_style() -> str:
    """Return the rules that replace each colour on a dark page."""
    rules = [
        f".{kind}-{light[1:]}{{{kind}:{dark}}}"
        for light, dark in DARK.items()
        for kind in ("fill", "stroke")
    ]
    return f"<style>@media (prefers-color-scheme: dark){{{''.join(rules)}}}</style>"


def _painted(kind: str, colour: str) -> str:
    """Return the attributes for a colour as "fill" or "stroke", with the class of its dark one."""
    return f'{kind}="{colour}" class="{kind}-{colour[1:]}"'


def _svg_node(node: GraphNode, centre: Point, size: Size) -> Iterator[str]:
    x, y = centre[0] - size[0] / 2, centre[1] - size[1] / 2
    yield (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{size[0]:.1f}" height="{size[1]:.1f}" rx="5" '
        f'fill="{node.colour}" stroke="{_ARROW}" '
        f'class="fill-{node.colour[1:]} stroke-{_ARROW[1:]}"/>'
    )
    divide = _divider_y(node, centre, size)
    if divide is not None:
        yield f'<path d="M{x:.1f} {divide:.1f}h{size[0]:.1f}" {_painted("stroke", _ARROW)}/>'
    for text, px, colour, middle in _texts(node, centre, size):
        weight = ' font-weight="bold"' if px == _TITLE_PX else ""
        yield (
            f'<text x="{centre[0]:.1f}" y="{middle + px * 0.36:.1f}" font-size="{px}" '
            f'{_painted("fill", colour)} text-anchor="middle"{weight}>{escape(text)}</text>'
        )


def _controls(a: Point, b: Point, sideways: bool) -> tuple[Point, Point]:
    """Return the control points of the cubic Bezier curve from `a` to `b`."""
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


def _head(path: Sequence[Point], plan: GraphLayout) -> list[Point]:
    """Return the triangle of an arrowhead."""
    (x0, y0), (x, y) = path[-2:]
    size = _ARROW_PX
    if plan.sideways:
        back = x - size if x0 < x else x + size
        return [(x, y), (back, y - size / 2), (back, y + size / 2)]
    back = y - size if y0 < y else y + size
    return [(x, y), (x - size / 2, back), (x + size / 2, back)]


def graph_image(graph: Graph, plan: GraphLayout, sizes: Sequence[Size]) -> Image.Image:
    """Return a graph as an image; shapes are drawn at twice the size and reduced (antialiasing)."""
    scale = _OVERSAMPLING
    width, height = round(plan.width), round(plan.height)
    if width * height * scale * scale > MOST_PIXELS:
        raise UsageError(
            f"the image would have {width} x {height} pixels, which is too large; write an .svg"
        )
    large = Image.new("RGB", (width * scale, height * scale), "white")
    pen = ImageDraw.Draw(large)
    for path in plan.paths:
        points = [(x * scale, y * scale) for x, y in _sampled(path, plan.sideways)]
        pen.line(points, fill=_ARROW, width=scale, joint="curve")
        pen.polygon([(x * scale, y * scale) for x, y in _head(path, plan)], fill=_ARROW)
    for node, centre, size in zip(graph.nodes, plan.centres, sizes, strict=True):
        _paint_node(pen, node, centre, size, scale)
    small = large.reduce(scale)
    pen = ImageDraw.Draw(small)
    for node, centre, size in zip(graph.nodes, plan.centres, sizes, strict=True):
        for text, px, colour, middle in _texts(node, centre, size):
            pen.text((centre[0], middle), text, colour, font(px, text), anchor="mm")
    return small


def _paint_node(
    pen: ImageDraw.ImageDraw, node: GraphNode, centre: Point, size: Size, scale: int
) -> None:
    left, top = centre[0] - size[0] / 2, centre[1] - size[1] / 2
    corners = [v * scale for v in (left, top, left + size[0], top + size[1])]
    pen.rounded_rectangle(corners, 5 * scale, fill=node.colour, outline=_ARROW, width=scale)
    divide = _divider_y(node, centre, size)
    if divide is not None:
        y = divide * scale
        pen.line([corners[0], y, corners[2], y], fill=_ARROW, width=scale)


def _sampled(path: Sequence[Point], sideways: bool) -> Iterator[Point]:
    """Yield points along the Bezier curves of an arrow."""
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
