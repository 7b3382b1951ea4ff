"""How nets show themselves in a Python session and in a notebook."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minicaffe.pycaffe.net import Net

_COLUMNS = ("layer", "type", "bottoms", "tops", "parameters")


def net_text(net: Net, phase: str) -> str:
    """Return a net in one line: name, phase, inputs and outputs with shapes, sizes."""
    return (
        f"Net({net._net.name!r}, {phase}, {len(net.layers)} layers, {_count(net):,} parameters, "
        f"inputs: {_blobs(net, net.inputs)}; outputs: {_blobs(net, net.outputs)})"
    )


def net_html(net: Net, phase: str) -> str:
    """Return a net as an HTML table, a layer a row, with the shapes of blobs and parameters."""
    rows = "".join(_row("td", cells) for cells in _cells(net))
    caption = f"{net._net.name} ({phase}), {_count(net):,} parameters"
    return (
        f"<table><caption>{html.escape(caption)}</caption>"
        f"<thead>{_row('th', _COLUMNS)}</thead><tbody>{rows}</tbody></table>"
    )


def _cells(net: Net) -> list[tuple[str, ...]]:
    return [
        (
            name,
            layer.type,
            _blobs(net, net.bottom_names[name]),
            _blobs(net, net.top_names[name]),
            ", ".join(_sizes(blob.shape) for blob in layer.blobs),
        )
        for name, layer in net.layer_dict.items()
    ]


def _row(tag: str, cells: tuple[str, ...]) -> str:
    inner = "".join(f"<{tag} style='text-align:left'>{html.escape(c)}</{tag}>" for c in cells)
    return f"<tr>{inner}</tr>"


def _blobs(net: Net, names: list[str]) -> str:
    return ", ".join(f"{name} {_sizes(net.blobs[name].shape)}" for name in names) or "none"


def _sizes(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "()"


def _count(net: Net) -> int:
    return sum(parameter.blob.count for parameter in net._net.parameters)
