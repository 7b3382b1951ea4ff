"""First pass: select the layers whose include and exclude rules match a NetState."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from minicaffe.errors import NetError, Problems
from minicaffe.log import logger
from minicaffe.schema import LayerParameter, NetSource, NetState, NetStateRule


@dataclass
class Node:
    """A layer of the prototxt, or inserted by a pass, before it is made.

    Parameters
    ----------
    param : LayerParameter
        The node's own copy; passes may change it.
    index : int or None
        The layer's index in the source, for messages; None for a layer that a pass inserted.
    """

    param: LayerParameter
    index: int | None

    def where(self, source: NetSource, field: str = "", k: int = 0) -> str:
        """Return file and line of the layer, or of one value of a field of it."""
        return source.where(self.index, field, k) if self.index is not None else str(source.path)


def filter_layers(source: NetSource, state: NetState) -> list[Node]:
    """Return the layers whose include and exclude rules match a NetState.

    A layer with include rules stays if one matches, a layer with exclude rules if none does. Logs
    why a rule did not match, as Caffe does.

    Raises
    ------
    NetError
        If a layer has both kinds of rules.
    """
    problems = Problems(NetError)
    nodes = []
    for index, layer in enumerate(source.param.layer):
        if len(layer.include) and len(layer.exclude):
            problems.add(
                f'{source.where(index)}, layer "{layer.name}" ({layer.type}): has include and '
                "exclude rules; use one kind only"
            )
        if len(layer.include):
            stays = any(_matches(rule, state, layer.name) for rule in layer.include)
        else:
            stays = not any(_matches(rule, state, layer.name) for rule in layer.exclude)
        if stays:
            param = type(layer)()
            param.CopyFrom(layer)
            nodes.append(Node(param, index))
    problems.raise_if_any()
    return nodes


def _matches(rule: NetStateRule, state: NetState, layer: str) -> bool:
    reason = next(_mismatches(rule, state), None)
    if reason:
        logger.info(f"The NetState {reason} specified by a rule in layer {layer}")
    return reason is None


def _mismatches(rule: NetStateRule, state: NetState) -> Iterator[str]:
    if rule.HasField("phase") and rule.phase != state.phase:
        yield f"phase ({state.phase}) differed from the phase ({rule.phase})"
    if rule.HasField("min_level") and state.level < rule.min_level:
        yield f"level ({state.level}) is below the min_level ({rule.min_level})"
    if rule.HasField("max_level") and state.level > rule.max_level:
        yield f"level ({state.level}) is above the max_level ({rule.max_level})"
    for stage in rule.stage:
        if stage not in state.stage:
            yield f"did not contain stage '{stage}'"
    for stage in rule.not_stage:
        if stage in state.stage:
            yield f"contained a not_stage '{stage}'"
