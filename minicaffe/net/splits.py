"""Second pass: insert a Split layer after every top that several layers read.

Split adds the gradients of these layers. Names are Caffe's, so that blob names and
logs agree: blob "ip2" made by layer "ip2" as top 0 becomes ``ip2_ip2_0_split_0``, ``..._1``, made
by the layer ``ip2_ip2_0_split``.
"""

from __future__ import annotations

from collections import Counter

from minicaffe.log import logger
from minicaffe.net.include_rules import Node
from minicaffe.schema import LayerParameter

# A top, by the index of its layer and its own.
Top = tuple[int, int]


def insert_splits(nodes: list[Node]) -> list[Node]:
    """Return the layers with Split layers inserted and their readers' bottoms renamed.

    A top with a loss weight of its own counts as read once more: the loss.
    """
    readers = _readers(nodes)
    uses = Counter(readers.values())
    weights = _explicit_loss_weights(nodes)
    uses.update(weights.keys())
    served: Counter[Top] = Counter({top: 1 for top in weights if uses[top] > 1})
    result = []
    for i, node in enumerate(nodes):
        for j, blob in enumerate(node.param.bottom):
            top = readers.get((i, j))
            if top is not None and uses[top] > 1:
                maker = nodes[top[0]].param.name
                node.param.bottom[j] = _blob_name(maker, blob, top[1], served[top])
                served[top] += 1
        result.append(node)
        for j in range(len(node.param.top)):
            if uses[i, j] > 1:
                result.append(_split(node, j, uses[i, j], weights.get((i, j))))
    return result


def _readers(nodes: list[Node]) -> dict[tuple[int, int], Top]:
    """Return the top that each bottom reads: the last one of its name so far."""
    made: dict[str, Top] = {}
    readers = {}
    for i, node in enumerate(nodes):
        for j, blob in enumerate(node.param.bottom):
            # A bottom that nothing makes is left to the wiring pass, which reports it.
            if blob in made:
                readers[i, j] = made[blob]
        made.update({blob: (i, j) for j, blob in enumerate(node.param.top)})
    return readers


def is_inserted_copy(param: LayerParameter, top: str) -> bool:
    """Return whether a top is a copy with a name that `insert_splits` gives."""
    return param.type == "Split" and top.startswith(f"{param.name}_")


def _explicit_loss_weights(nodes: list[Node]) -> dict[Top, float]:
    return {
        (i, j): weight
        for i, node in enumerate(nodes)
        for j, weight in enumerate(node.param.loss_weight)
        if weight and j < len(node.param.top)
    }


def _split(node: Node, top: int, uses: int, weight: float | None) -> Node:
    blob, maker = node.param.top[top], node.param.name
    param = type(node.param)(name=f"{blob}_{maker}_{top}_split", type="Split", bottom=[blob])
    param.top.extend(_blob_name(maker, blob, top, k) for k in range(uses))
    if weight is not None:
        param.loss_weight.extend([weight] + [0.0] * (uses - 1))
        _drop_loss_weight(node.param, top)
    return Node(param, node.index)


def _drop_loss_weight(param: LayerParameter, top: int) -> None:
    """Set a top's weight to 0, because the loss moves to a copy of the top.

    Caffe drops all weights of the layer here, and so accepts any number of them. Here the other
    tops keep theirs.
    """
    given, n = list(param.loss_weight), len(param.top)
    if len(given) > n:
        logger.warning(
            f'layer "{param.name}" ({param.type}): loss_weight is given {len(given)} times for {n} '
            f"top{'s' * (n > 1)}; those from number {n + 1} on have no effect. Remove them."
        )
    kept = [*given, *[0.0] * n][:n]
    kept[top] = 0.0
    param.loss_weight[:] = kept


def _blob_name(layer: str, blob: str, top: int, k: int) -> str:
    return f"{blob}_{layer}_{top}_split_{k}"
