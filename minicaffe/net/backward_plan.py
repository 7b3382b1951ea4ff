"""Sixth pass: which layers and blobs take part in the backward pass.

A gradient is computed where two things hold: something behind it wants it (a parameter that
learns), and a loss in front of it depends on it. propagate_down narrows or widens what a layer that
runs computes; force_backward makes every layer run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from minicaffe.layers import Layer
from minicaffe.log import logger
from minicaffe.net.wiring import Wire, Wiring


@dataclass
class Gradients:
    """What the backward pass does.

    Parameters
    ----------
    layers : list of bool
        Whether each layer's backward is called.
    bottoms : list of list of bool
        Whether each bottom of each layer gets a gradient.
    """

    layers: list[bool] = field(default_factory=list)
    bottoms: list[list[bool]] = field(default_factory=list)


def plan_gradients(
    wiring: Wiring, layers: list[Layer], loss_weights: list[list[float]], force_backward: bool
) -> Gradients:
    """Decide which gradients are needed, and say so in the log as Caffe does.

    Sets `param_needs_diff` of every layer.

    Parameters
    ----------
    wiring : Wiring
        The graph.
    layers : list of Layer
        The layers, set up, in the graph's order.
    loss_weights : list of list of float
        Loss weight of each top of each layer.
    force_backward : bool
        The net's field of that name: compute all gradients that exist.
    """
    gradients = Gradients()
    needed = [False] * len(wiring.blob_names)
    for wire, layer in zip(wiring.wires, layers, strict=True):
        _want(wire, layer, needed, gradients)
    _drop_what_no_loss_needs(wiring, layers, loss_weights, gradients)
    if force_backward:
        _force(layers, gradients)
    return gradients


def _want(wire: Wire, layer: Layer, needed: list[bool], gradients: Gradients) -> None:
    param = wire.node.param
    learning = [_rate(param, i) != 0 for i in range(len(layer.blobs))]
    layer.param_needs_diff = learning
    wanted = [needed[blob] for blob in wire.bottoms]
    # propagate_down: true does not make a layer run that nothing behind it needs: as in Caffe.
    runs = any(wanted) or any(learning)
    bottoms = list(param.propagate_down) or wanted
    for blob in wire.tops:
        needed[blob] = runs
    gradients.bottoms.append(bottoms)
    gradients.layers.append(runs)


def _rate(param: Any, index: int) -> float:
    return float(param.param[index].lr_mult) if index < len(param.param) else 1.0


def _drop_what_no_loss_needs(
    wiring: Wiring, layers: list[Layer], loss_weights: list[list[float]], gradients: Gradients
) -> None:
    under_loss: set[int] = set()
    without: set[int] = set()
    for i in reversed(range(len(layers))):
        wire = wiring.wires[i]
        tops = list(zip(wire.tops, loss_weights[i], strict=True))
        contributes = any(weight or blob in under_loss for blob, weight in tops)
        skipped = all(blob in without for blob in wire.tops)
        if gradients.layers[i] and skipped:
            gradients.bottoms[i] = [False] * len(wire.bottoms)
        if not contributes or skipped:
            gradients.layers[i] = False
        verb = "needs" if gradients.layers[i] else "does not need"
        logger.info(f"{layers[i].name} {verb} backward computation.")
        for k, blob in enumerate(wire.bottoms):
            if contributes:
                under_loss.add(blob)
            else:
                gradients.bottoms[i][k] = False
            if not gradients.bottoms[i][k]:
                without.add(blob)


def _force(layers: list[Layer], gradients: Gradients) -> None:
    for i, layer in enumerate(layers):
        # Data layers have no gradient to compute, and no code for it.
        gradients.layers[i] = bool(gradients.bottoms[i] or layer.blobs)
        gradients.bottoms[i] = [
            wanted or k not in layer.without_gradient
            for k, wanted in enumerate(gradients.bottoms[i])
        ]
        layer.param_needs_diff = [True] * len(layer.blobs)
