"""Problems of a prototxt, as the program reports them when it reads the file and builds the net."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

from google.protobuf.message import Message

from minicaffe.analysis.sizes import measure
from minicaffe.editor.outline import PrototxtOutline
from minicaffe.errors import MinicaffeError
from minicaffe.layers import LAYERS
from minicaffe.log import collected_warnings, suppress_info
from minicaffe.net.include_rules import Node, filter_layers
from minicaffe.net.splits import insert_splits
from minicaffe.net.wiring import wire
from minicaffe.schema import (
    TEST,
    TRAIN,
    NetSource,
    NetState,
    SolverParameter,
    SolverSource,
    parse_net,
    parse_prototxt,
    upgrade_solver,
)
from minicaffe.schema.minicaffe_pb2 import LabelMap
from minicaffe.schema.source_text import TOKEN, SourceText
from minicaffe.solver.setting_problems import solver_problems

Severity: TypeAlias = Literal["error", "warning"]
# A message that begins with its place, and how severe it is.
Problem: TypeAlias = tuple[str, Severity]

_WHERE = re.compile(r"(\d+)(?::(\d+))?(?:: |, )")


class Diagnosis(NamedTuple):
    """A problem of a part of a text: a range of offsets."""

    start: int
    end: int
    message: str
    severity: Severity


def diagnose(text: str, name: str) -> list[Diagnosis]:
    """Return the problems of a text.

    Shapes begin with the settings of data layers; data is opened only where these do not tell the
    size of the images. No code is run: nets with layers in Python are checked without shapes.

    Parameters
    ----------
    text : str
    name : str
        The name of the file, as messages about other lines give it.
    """
    root = PrototxtOutline(text, name).root
    if not root.fields:
        return []
    kind = root.descriptor.name if root.descriptor is not None else ""
    check = {"SolverParameter": _solver_problems, "LabelMap": _label_map_problems}
    found: list[Problem] = []
    with collected_warnings() as warnings:
        try:
            found += check.get(kind, _net_problems)(text, name)
        except MinicaffeError as error:
            found += [(line, "error") for line in str(error).splitlines()]
    found += [(w.text, "warning") for w in warnings if w.text.startswith(f"{name}:")]
    source = SourceText(name, text)
    return [_located(source, *problem) for problem in dict.fromkeys(found)]


def _located(source: SourceText, message: str, severity: Severity) -> Diagnosis:
    """Return a message with the range of the word or the line that it begins with."""
    rest = message.removeprefix(f"{source.path}:")
    where = _WHERE.match(rest)
    if where is None:
        return Diagnosis(0, len(source.text.partition("\n")[0]), message, severity)
    line, column = int(where[1]), where[2]
    text = rest[where.end() :]
    start = source.offset(line, 1)
    if column is not None:
        at = min(start + int(column) - 1, len(source.text))
        token = TOKEN.match(source.text, at)
        return Diagnosis(at, token.end() if token and token.lastgroup else at, text, severity)
    content = source.text[start:].partition("\n")[0].rstrip()
    indent = len(content) - len(content.lstrip())
    return Diagnosis(start + indent, start + len(content), text, severity)


def _solver_problems(text: str, name: str) -> Iterator[Problem]:
    parsed = parse_prototxt(text, SolverParameter, name)
    upgrade_solver(parsed.message, name)
    source = SolverSource(parsed.message, name, parsed)
    for field, message in solver_problems(parsed.message):
        yield f"{source.where(field)}: {message}", "error"


def _label_map_problems(text: str, name: str) -> Iterator[Problem]:
    kind: type[Message] = LabelMap
    parse_prototxt(text, kind, name)
    return iter(())


def _net_problems(text: str, name: str) -> Iterator[Problem]:
    source = parse_net(text, name)
    layers_with_problems: set[int] = set()
    for state, nodes in _states(source):
        try:
            wire(insert_splits(nodes), source)
        except MinicaffeError as error:
            yield from ((line, "error") for line in str(error).splitlines())
            continue
        if not any(LAYERS[node.param.type].exposes_blobs for node in nodes):
            yield from _shape_problems(source, state, layers_with_problems)


def _states(source: NetSource) -> Iterator[tuple[NetState, list[Node]]]:
    """Yield the phases that a net is made for, with their layers.

    A phase whose layers all have bottoms is not one of them, unless both are so.
    """
    states = [source.param.state] if source.param.HasField("state") else []
    states = states or [NetState(phase=phase) for phase in (TRAIN, TEST)]
    found = [(state, filter_layers(source, state)) for state in states]
    with_data = [(s, nodes) for s, nodes in found if any(not n.param.bottom for n in nodes)]
    yield from with_data or found


def _shape_problems(source: NetSource, state: NetState, seen: set[int]) -> Iterator[Problem]:
    """Yield problems of layers that are not in `seen` yet, where shapes are known, and add these.

    Data that does not exist is worth a warning only, because the editor may run in another folder.
    """
    with suppress_info():
        nodes = filter_layers(source, state)
    sizes = measure(source, state, reads_data=False)
    unknown: set[str] = set()
    skipped: set[str] = set()
    severities: dict[str, Severity] = {}
    for node in nodes:
        param, where = node.param, f"{node.where(source)}, "
        is_data = not param.bottom
        if param.name in sizes.assumed:
            unknown.update(param.top[1:])  # labels: boxes and label images have other shapes
        elif not unknown.isdisjoint(param.bottom):
            unknown.update(param.top)
            skipped.add(where)
        severities[where] = "warning" if is_data else "error"
        if node.index in seen:
            skipped.add(where)
    for line in sizes.problem.splitlines():
        where = next((where for where in severities if line.startswith(where)), "")
        if where and where not in skipped:
            skipped.add(where)
            yield line, severities[where]
    seen.update(n.index for n in nodes if n.index is not None and f"{n.where(source)}, " in skipped)
