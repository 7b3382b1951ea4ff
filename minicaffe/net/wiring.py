"""Third pass: resolve the names of bottoms and tops to blobs.

Reads names only, so that every misspelt name and every wrong number of blobs is found before a
layer is made.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from minicaffe.errors import NetError, Problems, near, nearest
from minicaffe.layers import LAYERS, Layer, layer_class
from minicaffe.layers.base import Arity
from minicaffe.layers.unread import uncomputed_settings
from minicaffe.net.include_rules import Node
from minicaffe.net.splits import is_inserted_copy
from minicaffe.schema import NetSource

# Names that misspelt ones are compared with, in all; the time would grow quadratically otherwise.
_MOST_COMPARED = 100_000
_SHAPES = re.compile(r"^ *Shapes: (.*?) *->", re.MULTILINE | re.DOTALL)


@dataclass
class Wire:
    """A layer with its blobs, by their index in `Wiring.blob_names`."""

    node: Node
    layer: type[Layer]
    bottoms: list[int]
    tops: list[int]


@dataclass
class Wiring:
    """The graph of a net.

    Parameters
    ----------
    wires : list of Wire
        In the order in which the layers run.
    blob_names : list of str
        In the order in which the blobs are made.
    outputs : list of str
        The blobs that no layer reads, sorted, as Caffe reports them. The automatic tops of losses,
        which have no name, are none of them.
    """

    wires: list[Wire]
    blob_names: list[str]
    outputs: list[str]


def wire(nodes: list[Node], source: NetSource) -> Wiring:
    """Connect the layers.

    Raises
    ------
    NetError
        Names every unknown layer type, every bottom that no earlier layer makes, every top made
        twice or in place where that is not allowed, and every wrong number of blobs, at once.
    """
    return _Wirer(source, nodes).run()


def bottom_names(kind: type[Layer]) -> str:
    """Return what the bottoms of a layer type are, as ``Shapes:`` in its docstring names them."""
    found = _SHAPES.search(kind.__doc__ or "")
    return " ".join(found[1].split()) if found else ""


class _Wirer:
    def __init__(self, source: NetSource, nodes: list[Node]) -> None:
        self.source, self.nodes = source, nodes
        self.problems = Problems(NetError)
        self.names: list[str] = []
        self.index: dict[str, int] = {}
        self.unread: dict[str, None] = {}
        self.makers = {top: n.param.name for n in nodes for top in n.param.top}
        self.copies = {
            top for node in nodes for top in node.param.top if is_inserted_copy(node.param, top)
        }
        kept = {node.index for node in nodes}
        self.excluded = {
            top: (index, layer.name)
            for index, layer in enumerate(source.param.layer)
            for top in layer.top
            if index not in kept
        }
        self.unknown_types: set[str] = set()
        self.n_compared = 0

    def run(self) -> Wiring:
        wires = [w for node in self.nodes if (w := self._wire(node))]
        self.problems.raise_if_any()
        return Wiring(wires, self.names, sorted(self.unread))

    def _wire(self, node: Node) -> Wire | None:
        param = node.param
        bottoms = [self._bottom(node, k) for k in range(len(param.bottom))]
        if param.type not in LAYERS:
            # Define its tops, because otherwise every layer that reads them would be reported too.
            for k in range(len(param.top)):
                self._new_top(node, k)
            self._unknown_type(node)
            return None
        for message in uncomputed_settings(param):
            self._problem(node, message)
        layer = layer_class(param.type).variant(param)
        self._count(node, "bottom", len(param.bottom), layer.bottoms, bottom_names(layer))
        tops = [self._top(node, k, layer) for k in range(len(param.top))]
        tops += [self._blob("(automatic)") for _ in range(layer.automatic_tops - len(tops))]
        self._count(node, "top", len(tops), layer.tops)
        if len(param.propagate_down) not in (0, len(param.bottom)):
            self._problem(
                node,
                f"propagate_down is given {len(param.propagate_down)} times for "
                f"{len(param.bottom)} bottoms; give it once for each, or not at all",
                "propagate_down",
            )
        return Wire(node, layer, bottoms, tops)

    def _unknown_type(self, node: Node) -> None:
        """Report a type that has no implementation; list the known types the first time only."""
        name = node.param.type
        try:
            layer_class(name)
        except NetError as error:
            message = str(error)
        if name and self.unknown_types:
            hint = "" if name in self.unknown_types else near(name, LAYERS)
            message = " ".join(filter(None, (f'unknown layer type "{name}".', hint)))
        self.unknown_types.add(name)
        self._problem(node, message, "type")

    def _bottom(self, node: Node, k: int) -> int:
        name = node.param.bottom[k]
        if name not in self.index:
            if name in self.makers:
                why = f'layer "{self.makers[name]}" makes it only later; move that layer up'
            elif name in self.excluded:
                index, other = self.excluded[name]
                why = (
                    f'layer "{other}" ({self.source.where(index)}) makes it, but its include or '
                    "exclude rule leaves it out of this phase (or level, or stage); correct the "
                    "rule, or add such a layer for this phase"
                )
            elif not self.index:
                why = "no layer before it makes a blob"
            elif self.n_compared > _MOST_COMPARED:
                why = "No earlier layer makes it."
            else:
                self.n_compared += len(self.index)
                why = nearest(name, self.index.keys() - self.copies)
            why = why[0].upper() + why[1:]
            self._problem(node, f'bottom "{name}" does not exist here. {why}', "bottom", k)
            return -1
        self.unread.pop(name, None)
        return self.index[name]

    def _top(self, node: Node, k: int, layer: type[Layer]) -> int:
        param, name = node.param, node.param.top[k]
        if k < len(param.bottom) and param.bottom[k] == name and name in self.index:
            if not layer.in_place:
                self._problem(
                    node,
                    f'top "{name}" is its bottom, but {param.type} cannot work in place; '
                    "give the top a name of its own",
                    "top",
                    k,
                )
            self.unread[name] = None
            return self.index[name]
        return self._new_top(node, k)

    def _new_top(self, node: Node, k: int) -> int:
        name = node.param.top[k]
        if name in self.index:
            self._problem(
                node,
                f'top "{name}" is made by an earlier layer already; give it another name, '
                "or include and exclude rules so that only one of the layers is in the net",
                "top",
                k,
            )
            return self.index[name]
        self.index[name] = len(self.names)
        self.unread[name] = None
        return self._blob(name)

    def _blob(self, name: str) -> int:
        self.names.append(name)
        return len(self.names) - 1

    def _count(self, node: Node, what: str, found: int, arity: Arity, names: str = "") -> None:
        fewest, most = (arity, arity) if isinstance(arity, int) else arity
        if found < fewest or (most is not None and found > most):
            if fewest == most:
                rule = f"exactly {fewest}"
            else:
                rule = f"at least {fewest}" if most is None else f"{fewest} to {most}"
            number = f"{found} {what}" + ("" if found == 1 else "s")
            listed = names and f": {names}"
            self._problem(node, f"has {number}; {node.param.type} takes {rule}{listed}")

    def _problem(self, node: Node, message: str, field: str = "", k: int = 0) -> None:
        where = node.where(self.source, field, k)
        self.problems.add(f'{where}, layer "{node.param.name}" ({node.param.type}): {message}')
