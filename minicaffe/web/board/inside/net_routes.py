"""Routes of the net of a run: its drawing, and the facts about a layer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from google.protobuf import text_format
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from minicaffe.analysis.sizes import NetSizes
from minicaffe.errors import nearest
from minicaffe.ops.backend import Shape
from minicaffe.pictures.graph_drawing import page_svg
from minicaffe.pictures.net_drawing import graph_of
from minicaffe.schema import LayerParameter
from minicaffe.web.application import json_response
from minicaffe.web.board.inside.run_parts import RunNet, RunParts
from minicaffe.web.board.run_index import RunIndex

_MOST_KEPT = 4


class _DrawnNet(NamedTuple):
    net: RunNet  # as in the file
    sizes: NetSizes
    svg: str
    nodes: list[list[str]]


def net_routes(index: RunIndex) -> list[BaseRoute]:
    """Return the routes of nets."""
    routes = _NetRoutes(index)
    return [Route("/net", routes.drawing), Route("/net/layer", routes.layer)]


class _NetRoutes:
    """Draws nets; the newest drawings are kept. Sync methods run in threads."""

    def __init__(self, index: RunIndex) -> None:
        self._index, self._lock = index, Lock()
        self._drawn: OrderedDict[tuple[Path, int], _DrawnNet] = OrderedDict()

    def drawing(self, request: Request) -> Response:
        """Return the drawing: groups of the SVG have the numbers of the nodes."""
        parts = RunParts(self._index, request.query_params)
        drawn = self._drawing(parts)
        layers = drawn.sizes.layers.values()
        return json_response(
            {
                "nets": parts.net_names(),
                "net": drawn.net.name,
                "svg": drawn.svg,
                "nodes": drawn.nodes,
                "batch": drawn.sizes.batch,
                "parameters": sum(one.parameters for one in layers),
                "multiply_adds": sum(one.multiply_adds for one in layers),
                "notes": drawn.sizes.notes(),
            }
        )

    def layer(self, request: Request) -> Response:
        """Return type, settings, shapes and sizes of a layer."""
        drawn = self._drawing(RunParts(self._index, request.query_params))
        name = request.query_params.get("layer", "")
        found = {layer.name: k for k, layer in enumerate(drawn.net.source.param.layer)}
        shown = {one for node in drawn.nodes for one in node}
        if name not in shown:
            raise HTTPException(404, f"no layer {name}. {nearest(name, shown)}")
        # Of layers of one name in both phases, that of the drawing is in the sizes.
        layers = drawn.net.source.param.layer
        same = [k for k in drawn.sizes.layers if layers[k].name == name]
        number = next(iter(same), found[name])
        param, sizes = layers[number], drawn.sizes.layers.get(number)
        return json_response(
            {
                "name": name,
                "type": param.type,
                "bottoms": _blobs(param.bottom, sizes.bottoms if sizes else []),
                "tops": _blobs(param.top, sizes.tops if sizes else []),
                "settings": _settings(param),
                "parameters": sizes.parameters if sizes else None,
                "multiply_adds": sizes.multiply_adds // drawn.sizes.batch if sizes else None,
                "memory_bytes": sizes.memory_bytes if sizes else None,
            }
        )

    def _drawing(self, parts: RunParts) -> _DrawnNet:
        net = parts.net()
        path = parts.folder / f"{net.name}.prototxt"
        key = path, path.stat().st_mtime_ns
        with self._lock:
            if key not in self._drawn:
                graph, sizes = graph_of(parts.measurable_net(net.name).source, (net.phase,))
                nodes = [node.layers for node in graph.nodes]
                self._drawn[key] = _DrawnNet(net, sizes, page_svg(graph), nodes)
            self._drawn.move_to_end(key)
            if len(self._drawn) > _MOST_KEPT:
                self._drawn.popitem(last=False)
            return self._drawn[key]


def _blobs(names: Iterable[str], shapes: Iterable[Shape]) -> list[dict[str, object]]:
    """Return names and shapes; of a layer that could not be built, names alone."""
    return [{"name": a, "shape": b} for a, b in zip_longest(names, shapes)]


def _settings(param: LayerParameter) -> str:
    """Return the settings of a layer as prototxt, without what is shown beside them."""
    shown = type(param)()
    shown.CopyFrom(param)
    for field in ("name", "type", "bottom", "top"):
        shown.ClearField(field)
    return text_format.MessageToString(shown).rstrip()
