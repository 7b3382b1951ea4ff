"""Text and HTML representations of a net for Python sessions and notebooks."""

from __future__ import annotations

import html
from collections.abc import Iterable

from minicaffe.blob import Blob
from minicaffe.net import Net

_COLUMNS = ("layer", "type", "bottoms", "tops", "parameters")


def net_text(net: Net, phase: str) -> str:
    """Return a net in one line: name, phase, inputs and outputs with shapes, sizes."""
    return (
        f"Net({net.name!r}, {phase}, {len(net.layers)} layers, {_count(net):,} parameters, "
        f"inputs: {_blobs(net.inputs)}; outputs: {_blobs(net.outputs)})"
    )


def net_html(net: Net, phase: str) -> str:
    """Return a net as an HTML table, one row per layer, with shapes of blobs and parameters."""
    rows = "".join(_row("td", cells) for cells in _cells(net))
    caption = f"{net.name} ({phase}), {_count(net):,} parameters"
    return (
        f"<table><caption>{html.escape(caption)}</caption>"
        f"<thead>{_row('th', _COLUMNS)}</thead><tbody>{rows}</tbody></table>"
    )


def _cells(net: Net) -> list[tuple[str, ...]]:
    return [
        (
            step.layer.name,
            step.layer.type,
            _blobs(step.bottom),
            _blobs(step.top),
            ", ".join(_sizes(blob.shape) for blob in step.layer.blobs),
        )
        for step in net.steps
    ]


def _row(tag: str, cells: tuple[str, ...]) -> str:
    inner = "".join(f"<{tag} style='text-align:left'>{html.escape(c)}</{tag}>" for c in cells)
    return f"<tr>{inner}</tr>"


def _blobs(blobs: Iterable[Blob]) -> str:
    return ", ".join(f"{blob.name} {_sizes(blob.shape)}" for blob in blobs) or "none"


def _sizes(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "()"


def _count(net: Net) -> int:
    return sum(parameter.blob.count for parameter in net.parameters)
