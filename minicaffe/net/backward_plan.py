"""Sixth pass: the backward plan, which layers and blobs take part in the backward pass.

A gradient is computed where two things hold: a layer before it needs it (a parameter that learns),
and a loss after it depends on it. propagate_down narrows or widens what a layer that runs computes;
force_backward makes every layer run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from minicaffe.layers import Layer
from minicaffe.log import logger
from minicaffe.net.step import Step
from minicaffe.net.wiring import Wire, Wiring
from minicaffe.schema import LayerParameter


@dataclass
class BackwardPlan:
    """The gradients that a backward pass computes.

    Parameters
    ----------
    layers : list of bool
        Whether each layer's backward is called.
    bottoms : list of list of bool
        Whether each bottom of each layer gets a gradient.
    """

    layers: list[bool] = field(default_factory=list)
    bottoms: list[list[bool]] = field(default_factory=list)


def plan_backward(
    wiring: Wiring, layers: list[Layer], loss_weights: list[list[float]], force_backward: bool
) -> BackwardPlan:
    """Decide which gradients are needed, and log it as Caffe does.

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
    plan = BackwardPlan()
    needed = [False] * len(wiring.blob_names)
    for wire, layer in zip(wiring.wires, layers, strict=True):
        _add_layer(wire, layer, needed, plan)
    _drop_unused(wiring, layers, loss_weights, plan)
    if force_backward:
        _force(layers, plan)
    return plan


def _add_layer(wire: Wire, layer: Layer, needed: list[bool], plan: BackwardPlan) -> None:
    param = wire.node.param
    learning = [_rate(param, i) != 0 for i in range(len(layer.blobs))]
    layer.param_needs_diff = learning
    wanted = [needed[blob] for blob in wire.bottoms]
    # As in Caffe, propagate_down: true does not make a layer run whose gradient nothing needs.
    runs = any(wanted) or any(learning)
    bottoms = list(param.propagate_down) or wanted
    for blob in wire.tops:
        needed[blob] = runs
    plan.bottoms.append(bottoms)
    plan.layers.append(runs)


def _rate(param: LayerParameter, index: int) -> float:
    return float(param.param[index].lr_mult) if index < len(param.param) else 1.0


def _drop_unused(
    wiring: Wiring, layers: list[Layer], loss_weights: list[list[float]], plan: BackwardPlan
) -> None:
    """Remove the gradients that no loss depends on."""
    under_loss: set[int] = set()
    without: set[int] = set()
    for i in reversed(range(len(layers))):
        wire = wiring.wires[i]
        tops = list(zip(wire.tops, loss_weights[i], strict=True))
        contributes = any(weight or blob in under_loss for blob, weight in tops)
        skipped = all(blob in without for blob in wire.tops)
        if plan.layers[i] and skipped:
            plan.bottoms[i] = [False] * len(wire.bottoms)
        if not contributes or skipped:
            plan.layers[i] = False
        verb = "needs" if plan.layers[i] else "does not need"
        logger.info(f"{layers[i].name} {verb} backward computation.")
        for k, blob in enumerate(wire.bottoms):
            if contributes:
                under_loss.add(blob)
            else:
                plan.bottoms[i][k] = False
            if not plan.bottoms[i][k]:
                without.add(blob)


def _force(layers: list[Layer], plan: BackwardPlan) -> None:
    for i, layer in enumerate(layers):
        # Data layers have no gradient to compute, and no code for it.
        plan.layers[i] = bool(plan.bottoms[i] or layer.blobs)
        plan.bottoms[i] = [
            wanted or k not in layer.without_gradient for k, wanted in enumerate(plan.bottoms[i])
        ]
        layer.param_needs_diff = [True] * len(layer.blobs)


def warn_of_idle_backward(steps: Sequence[Step], start: int, end: int, where: str) -> bool:
    """Warn if a backward pass from layer `start` down to `end` computes nothing; return whether."""
    if start < end or any(steps[index].needs_backward for index in range(start, end - 1, -1)):
        return False
    names = f'"{steps[start].layer.name}"'
    names += f' down to "{steps[end].layer.name}"' if start > end else ""
    logger.warning(
        f"{where}: backward() computes nothing: of the layers {names}, none needs a gradient, "
        "because no loss depends on it, or because nothing before it learns. The gradients "
        "returned are zeros, or older values. Write force_backward: true in the prototxt."
    )
    return True
